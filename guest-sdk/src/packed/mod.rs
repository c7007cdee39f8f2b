//! Questions and answers in bytes, as the contract's `packed` has them: the wire format of postcard 1.
//!
//! A query is read into the one that was decided before. Its texts and lists are still there, so that
//! nothing is allocated and nothing moved. The crate `postcard` makes each value anew, which took
//! longer than most policies do.

// Texts are checked here, and then written as bytes.
#![allow(unsafe_code)]

mod contract;

use std::str::from_utf8;

/// Longer texts are copied by `memory.copy`, which is a call of the host: that costs more than a few words.
const SHORT: usize = 40;

/// What is read from bytes.
pub(crate) trait Unpack: Sized {
    /// Nothing was read yet.
    const BLANK: Self;

    /// Reads what `from` begins with, in place of what was there before.
    ///
    /// # Panics
    /// If it is no such value: hosts pack values of the contract.
    fn unpack(&mut self, from: &mut Bytes<'_>);

    /// The same for a list of these.
    #[inline]
    fn unpack_list(list: &mut Vec<Self>, from: &mut Bytes<'_>) {
        let count = from.size();
        list.truncate(count);
        list.iter_mut().for_each(|it| it.unpack(from));
        while list.len() < count {
            list.push(read(from));
        }
    }
}

/// What is written as bytes.
pub(crate) trait Pack: Sized {
    /// Appends it.
    fn pack(&self, to: &mut Vec<u8>);

    /// The same for a list of these.
    #[inline]
    fn pack_list(list: &[Self], to: &mut Vec<u8>) {
        list.len().pack(to);
        list.iter().for_each(|it| it.pack(to));
    }
}

/// Bytes that are to be read.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    #[inline]
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            torn()
        };
        self.0 = rest;
        *first
    }

    /// Seven bits to a byte, the low ones first.
    #[inline]
    fn number(&mut self) -> u64 {
        let first = self.byte();
        match first < 0x80 {
            true => first.into(),
            false => self.long_number(first),
        }
    }

    fn long_number(&mut self, first: u8) -> u64 {
        let mut number = u64::from(first & 0x7F);
        for shift in (7..64).step_by(7) {
            let byte = self.byte();
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return number;
            }
        }
        torn()
    }

    #[inline]
    fn size(&mut self) -> usize {
        self.number().try_into().unwrap_or_else(|_| torn())
    }

    #[inline]
    fn flag(&mut self) -> bool {
        match self.byte() {
            0 => false,
            1 => true,
            _ => torn(),
        }
    }

    /// A size, and as many bytes.
    #[inline]
    fn slice(&mut self) -> &'a [u8] {
        let size = self.size();
        let Some((slice, rest)) = self.0.split_at_checked(size) else {
            torn()
        };
        self.0 = rest;
        slice
    }
}

/// A value of its own.
#[inline]
fn read<T: Unpack>(from: &mut Bytes<'_>) -> T {
    let mut it = T::BLANK;
    it.unpack(from);
    it
}

#[cold]
fn torn() -> ! {
    panic!("the host's question is none of this contract")
}

/// Appends a few bytes by words.
#[inline]
fn append(bytes: &[u8], to: &mut Vec<u8>) {
    if bytes.len() > SHORT {
        return to.extend_from_slice(bytes);
    }
    to.reserve(bytes.len());
    let (words, mut rest) = bytes.as_chunks::<8>();
    words.iter().for_each(|word| to.extend_from_slice(word));
    if let Some((half, few)) = rest.split_first_chunk::<4>() {
        to.extend_from_slice(half);
        rest = few;
    }
    if let Some((pair, few)) = rest.split_first_chunk::<2>() {
        to.extend_from_slice(pair);
        rest = few;
    }
    to.extend(rest.first());
}

/// Whether it is text. Most is ASCII, which is told by words.
#[inline]
fn is_text(bytes: &[u8]) -> bool {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let (words, rest) = bytes.as_chunks::<8>();
    let of_words = words
        .iter()
        .fold(0, |all, it| all | u64::from_le_bytes(*it));
    let of_rest = rest.iter().fold(0, |all, it| all | *it);
    (of_words & HIGH == 0 && of_rest < 0x80) || from_utf8(bytes).is_ok()
}

impl Unpack for u8 {
    const BLANK: Self = 0;

    #[inline]
    fn unpack(&mut self, from: &mut Bytes<'_>) {
        *self = from.byte();
    }

    #[inline]
    fn unpack_list(list: &mut Vec<Self>, from: &mut Bytes<'_>) {
        list.clear();
        list.extend_from_slice(from.slice());
    }
}

impl Pack for u8 {
    #[inline]
    fn pack(&self, to: &mut Vec<u8>) {
        to.push(*self);
    }

    #[inline]
    fn pack_list(list: &[Self], to: &mut Vec<u8>) {
        list.len().pack(to);
        to.extend_from_slice(list);
    }
}

impl Unpack for bool {
    const BLANK: Self = false;

    #[inline]
    fn unpack(&mut self, from: &mut Bytes<'_>) {
        *self = from.flag();
    }
}

impl Pack for bool {
    #[inline]
    fn pack(&self, to: &mut Vec<u8>) {
        to.push((*self).into());
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Unpack for $number {
            const BLANK: Self = 0;

            #[inline]
            fn unpack(&mut self, from: &mut Bytes<'_>) {
                *self = from.number().try_into().unwrap_or_else(|_| torn());
            }
        }

        impl Pack for $number {
            #[inline]
            fn pack(&self, to: &mut Vec<u8>) {
                let mut rest = *self;
                while rest >= 0x80 {
                    to.push(rest as u8 | 0x80);
                    rest >>= 7;
                }
                to.push(rest as u8);
            }
        }
    )*};
}

numbers!(u16, u32, u64, usize);

impl Unpack for String {
    const BLANK: Self = String::new();

    #[inline(never)]
    fn unpack(&mut self, from: &mut Bytes<'_>) {
        let text = from.slice();
        if !is_text(text) {
            torn();
        }
        // SAFETY: it is text.
        let bytes = unsafe { self.as_mut_vec() };
        bytes.clear();
        append(text, bytes);
    }
}

impl Pack for String {
    #[inline(never)]
    fn pack(&self, to: &mut Vec<u8>) {
        self.len().pack(to);
        append(self.as_bytes(), to);
    }
}

impl<T: Unpack> Unpack for Option<T> {
    const BLANK: Self = None;

    #[inline]
    fn unpack(&mut self, from: &mut Bytes<'_>) {
        match from.flag() {
            false => *self = None,
            true => self.get_or_insert(T::BLANK).unpack(from),
        }
    }
}

impl<T: Pack> Pack for Option<T> {
    #[inline]
    fn pack(&self, to: &mut Vec<u8>) {
        to.push(self.is_some().into());
        if let Some(it) = self {
            it.pack(to);
        }
    }
}

impl<T: Unpack> Unpack for Vec<T> {
    const BLANK: Self = Vec::new();

    #[inline]
    fn unpack(&mut self, from: &mut Bytes<'_>) {
        T::unpack_list(self, from);
    }
}

impl<T: Pack> Pack for Vec<T> {
    #[inline]
    fn pack(&self, to: &mut Vec<u8>) {
        T::pack_list(self, to);
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::{Cause, Inquiry, NoAnswer, Param, Plan, Query, Rejection, Scheme, Verdict};

    fn packed(it: &impl Pack) -> Vec<u8> {
        let mut bytes = Vec::new();
        it.pack(&mut bytes);
        bytes
    }

    /// The value that all of the bytes are, read into this one.
    fn read_into<T: Unpack>(mut it: T, bytes: &[u8]) -> Option<T> {
        let mut bytes = Bytes(bytes);
        let read = catch_unwind(AssertUnwindSafe(|| it.unpack(&mut bytes)));
        (read.is_ok() && bytes.0.is_empty()).then_some(it)
    }

    fn comes_back<T: Pack + Unpack + PartialEq + Debug>(it: &T) {
        assert_eq!(read_into(T::BLANK, &packed(it)).as_ref(), Some(it));
    }

    fn text(text: &str) -> Vec<u8> {
        packed(&text.to_owned())
    }

    /// A party with something in each field, `sips:`.
    fn party(user: &str) -> Vec<u8> {
        let params = [vec![2], text("a"), vec![0], text("b"), vec![1], text("1")];
        let uri = [vec![1], text(user), text("pbx.example")];
        [vec![1], text("Zoë"), uri.concat(), params.concat()].concat()
    }

    /// A query with something in each field.
    fn query(cause: &[u8]) -> Vec<u8> {
        let parties = [party("ruri"), party("alice"), party("bob")].concat();
        let lists = [vec![1], party("first"), vec![2], party("x"), party("y")].concat();
        let source = [vec![2], text("127.0.0.2:5060"), vec![1, 200]].concat();
        let headers = [vec![1], text("X-Site"), text("köln")].concat();
        let call = [
            text("c-1"),
            text("pbx-a"),
            parties,
            lists,
            source,
            headers,
            vec![0],
        ];
        let rest = [
            vec![2, 0, 255],
            packed(&300_u64),
            packed(&u64::MAX),
            vec![1],
        ];
        [&call.concat(), cause, &rest.concat()].concat()
    }

    fn causes() -> [Vec<u8>; 5] {
        let failed = [text("gw-a"), text("127.0.0.3"), vec![0xF7, 3, 1, 34, 1, 5]];
        let answers = [text("lnp"), text("+1"), vec![0], text("+2")].concat();
        let silent = [text("lnp"), text("+1"), vec![1, 3]].concat();
        [
            vec![0],
            [vec![1, 1], failed.concat()].concat(),
            [vec![2, 1], party("carol")].concat(),
            [vec![3], text("pbx-b"), party("carol"), vec![1]].concat(),
            [vec![4, 2], answers, silent].concat(),
        ]
    }

    #[test]
    fn numbers_and_texts_come_back() {
        for number in [0, 1, 127, 128, 255, 16_383, 16_384, u64::MAX] {
            comes_back(&number);
            comes_back(&(number as u16));
            comes_back(&Some(number as u32));
        }
        for length in 0..100 {
            comes_back(&"x".repeat(length));
            // A letter of two bytes at each place.
            (0..=length)
                .for_each(|at| comes_back(&("x".repeat(at) + "ë" + &"x".repeat(length - at))));
        }
        assert_eq!(packed(&300_u16), [0xAC, 2]);
        assert_eq!(text("ab"), [2, b'a', b'b']);
    }

    #[test]
    fn a_query_is_read_whole_or_not_at_all() {
        let mut last = Query::BLANK;
        for cause in causes() {
            let bytes = query(&cause);
            last = read_into(last, &bytes).expect("it is a query");
            assert_eq!(last.call.callee.user, "bob");
            assert_eq!(last.call.callee.params[1].value.as_deref(), Some("1"));
            assert_eq!(last.call.headers[0].value, "köln");
            assert_eq!((last.unix_ms, last.seed), (300, u64::MAX));
            for length in 0..bytes.len() {
                assert_eq!(read_into(Query::BLANK, &bytes[..length]), None, "{length}");
            }
        }
        let Cause::Answered(answers) = &last.cause else {
            panic!("{:?}", last.cause);
        };
        let outcomes: Vec<_> = answers.iter().map(|it| it.outcome.clone()).collect();
        assert_eq!(outcomes, [Ok("+2".to_owned()), Err(NoAnswer::Failed)]);
    }

    /// Each query is read into the one before it. The last is blank: a zero for each field.
    #[test]
    fn nothing_is_left_of_the_query_before() {
        let mut queries: Vec<Vec<u8>> = causes().iter().map(|cause| query(cause)).collect();
        queries.push(vec![0; 30]);
        for before in &queries {
            for after in &queries {
                let reused = read_into(Query::BLANK, before).and_then(|it| read_into(it, after));
                assert!(reused.is_some());
                assert_eq!(reused, read_into(Query::BLANK, after));
            }
        }
    }

    #[test]
    fn what_is_no_text_or_no_case_is_not_read() {
        assert_eq!(read_into(String::new(), &[1, 0xFF]), None);
        assert_eq!(read_into(Scheme::Sip, &[4]), None);
        assert_eq!(read_into(Cause::NewCall, &[5]), None);
        assert_eq!(read_into(true, &[2]), None);
        assert_eq!(read_into(0_u16, &[0x80, 0x80, 4]), None);
        assert_eq!(read_into(0_u64, &[0x80; 10]), None);
        // As many as no memory has.
        let endless = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1];
        assert_eq!(read_into(Vec::<Param>::new(), &endless), None);
        assert_eq!(read_into(Vec::<u8>::new(), &endless), None);
    }

    #[test]
    fn verdicts_are_packed_by_the_order_of_the_contract() {
        let rejection = Rejection::with(486)
            .phrase("No")
            .q850(17)
            .retry_after_s(300);
        let bytes = [0xE6, 3, 1, 2, b'N', b'o', 1, 17, 1, 0xAC, 2];
        assert_eq!(
            packed(&Verdict::Reject(rejection)),
            [&[1][..], &bytes].concat()
        );
        let inquiry = Inquiry::of("lnp", "+1").timeout_ms(5).cookie([9]);
        let bytes = [3, 1, 3, b'l', b'n', b'p', 2, b'+', b'1', 1, 5, 1, 9];
        assert_eq!(packed(&Verdict::Inquire(inquiry)), bytes);
        assert_eq!(packed(&Verdict::Pass), [4]);
        let plan = Plan::to("gw-a").or_reply(480).max_duration_s(9);
        let bytes = [2, 0xE0, 3, 0, 1, 9, 0, 0, 0];
        let candidate = [
            4, b'g', b'w', b'-', b'a', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(
            packed(&Verdict::Connect(plan)),
            [&[0, 1][..], &candidate, &bytes].concat()
        );
    }
}
