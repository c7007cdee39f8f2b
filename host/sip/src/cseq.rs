//! CSeq (RFC 3261 §20.16): a number below 2^31 and the method that it counts.

use crate::fault::Fault;
use crate::grammar::{decimal, is_lws, trim_start};
use crate::method::Method;

/// The largest sequence number (RFC 3261 §8.1.1.5).
const NUMBER_MAX: u32 = (1 << 31) - 1;

/// A decoded CSeq value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CSeq {
    /// Below 2^31.
    pub number: u32,
    /// The method of the request that this number was given to.
    pub method: Method,
}

impl CSeq {
    /// Reads a CSeq value. Fails when the number is out of range or the method is no token.
    pub fn parse(value: &[u8]) -> Result<CSeq, Fault> {
        let blank = value.iter().position(|b| is_lws(*b));
        let (digits, method) = value.split_at(blank.ok_or(Fault::Grammar("no method"))?);
        let number =
            decimal(digits, NUMBER_MAX).ok_or(Fault::Grammar("number is not below 2^31"))?;
        let method = Method::parse(trim_start(method));
        Ok(CSeq {
            number,
            method: method.ok_or(Fault::Grammar("the method is no token"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::CSeq;
    use crate::method::Method;

    #[test]
    fn numbers_stay_below_two_to_the_31() {
        let good = CSeq {
            number: 9,
            method: Method::Invite,
        };
        assert_eq!(CSeq::parse(b"0009\r\n  INVITE"), Ok(good));
        assert_eq!(
            CSeq::parse(b"2147483647 BYE").map(|c| c.number),
            Ok(2_147_483_647)
        );
        for bad in [
            &b"2147483648 BYE"[..],
            b"-1 BYE",
            b"1",
            b"1 ",
            b" 1 BYE",
            b"1 A B",
            b"",
            b"1BYE",
        ] {
            assert!(CSeq::parse(bad).is_err());
        }
    }
}
