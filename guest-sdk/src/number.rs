//! Telephone numbers in E.164 form, as SIP and `tel:` URIs carry them (RFC 3966, RFC 3261 §19.1.6).

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use crate::{Party, Scheme};

/// Most digits of an E.164 number.
const DIGITS_MAX: usize = 15;

/// An E.164 number: `+` and 1 to 15 digits. Reads as a `str`.
///
/// ```
/// use intertrunk_sdk::Number;
///
/// let number = Number::parse("+14255550100").expect("it is a number");
/// assert!(number.starts_with("+1425"));
/// assert_eq!(number.last(4), "0100");
/// assert_eq!(number.strip(1), "4255550100");
/// assert_eq!(Number::parse("0100"), None);
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Number<'a>(Cow<'a, str>);

impl<'a> Number<'a> {
    /// Reads `+` and digits; nothing else is a number.
    pub fn parse(text: impl Into<Cow<'a, str>>) -> Option<Self> {
        let text = text.into();
        let digits = text.strip_prefix('+')?;
        let is_number =
            (1..=DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        is_number.then_some(Number(text))
    }

    /// The digits, without `+`.
    pub fn digits(&self) -> &str {
        &self.0[1..]
    }

    /// The last `n` digits; all of them if there are fewer.
    pub fn last(&self, n: usize) -> &str {
        let digits = self.digits();
        &digits[digits.len().saturating_sub(n)..]
    }

    /// The digits after the first `n`, without `+`: `strip(1)` is the national number of a `+1`.
    pub fn strip(&self, n: usize) -> &str {
        self.digits().get(n..).unwrap_or_default()
    }
}

impl Deref for Number<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Number<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Number<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<Number<'_>> for String {
    fn from(number: Number<'_>) -> Self {
        number.0.into_owned()
    }
}

impl From<&Number<'_>> for String {
    fn from(number: &Number<'_>) -> Self {
        number.as_ref().to_owned()
    }
}

impl Party {
    /// The number in E.164 form, if it is one. `;ext=` is no part of it: see [`Party::extension`].
    pub fn e164(&self) -> Option<Number<'_>> {
        Number::parse(self.dialed())
    }

    /// What was dialled: the user part without parameters, and without visual separators if it is
    /// a telephone number (`tel:`, or `user=phone`).
    pub fn dialed(&self) -> Cow<'_, str> {
        let number = self
            .user
            .split_once(';')
            .map_or(&*self.user, |(number, _)| number);
        let is_separator = |c: char| matches!(c, '-' | '.' | '(' | ')');
        let is_phone = self.scheme == Scheme::Tel || self.param("user") == Some("phone");
        if is_phone && number.contains(is_separator) {
            Cow::Owned(number.replace(is_separator, ""))
        } else {
            Cow::Borrowed(number)
        }
    }

    /// The extension: `;ext=` of a `tel:` URI, or of the user part of a SIP URI.
    pub fn extension(&self) -> Option<&str> {
        let mut in_user = self.user.split(';').skip(1);
        in_user
            .find_map(|param| param.strip_prefix("ext="))
            .or_else(|| self.param("ext"))
    }

    /// Value of a URI parameter; `Some("")` for a flag.
    pub fn param(&self, name: &str) -> Option<&str> {
        let param = self
            .params
            .iter()
            .find(|param| param.name.eq_ignore_ascii_case(name))?;
        Some(param.value.as_deref().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::party;

    #[test]
    fn only_plus_and_up_to_fifteen_digits_are_a_number() {
        assert!(Number::parse("+123456789012345").is_some());
        for text in ["+1234567890123456", "+", "", "14255550100", "+1425x", "+１"] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
    }

    #[test]
    fn last_and_strip_saturate() {
        let number = Number::parse("+123").expect("it is a number");
        assert_eq!((number.last(9), number.last(0)), ("123", ""));
        assert_eq!((number.strip(0), number.strip(9)), ("123", ""));
    }

    #[test]
    fn separators_go_from_telephone_numbers_only() {
        assert_eq!(party("tel:+1-(425)-555.0100").dialed(), "+14255550100");
        assert_eq!(party("sip:+1-425@gw;user=phone").dialed(), "+1425");
        assert_eq!(party("sip:jean-luc@example.com").dialed(), "jean-luc");
    }

    #[test]
    fn the_extension_is_apart_from_the_number() {
        for uri in [
            "tel:+14255550100;ext=7",
            "sip:+14255550100;ext=7@gw;user=phone",
        ] {
            let party = party(uri);
            assert_eq!(party.e164().as_deref(), Some("+14255550100"), "{uri}");
            assert_eq!(party.extension(), Some("7"), "{uri}");
        }
        assert_eq!(party("+14255550100").extension(), None);
    }
}
