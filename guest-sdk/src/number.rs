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

    /// The country code: one to three digits, such as `1`, `44` or `353` (ITU-T E.164, Annex).
    ///
    /// ```
    /// # use intertrunk_sdk::Number;
    /// let number = Number::parse("+353861234567").expect("it is a number");
    /// assert_eq!((number.country_code(), number.national()), ("353", "861234567"));
    /// ```
    pub fn country_code(&self) -> &str {
        let digits = self.digits();
        let length = match digits.as_bytes() {
            [b'1' | b'7', ..] => 1,
            // The zones are full of codes of three digits but for these.
            [b'2', b'0' | b'7', ..]
            | [b'3', b'0'..=b'4' | b'6' | b'9', ..]
            | [b'4', b'0' | b'1' | b'3'..=b'9', ..]
            | [b'5', b'1'..=b'8', ..]
            | [b'6', b'0'..=b'6', ..]
            | [b'8', b'1' | b'2' | b'4' | b'6', ..]
            | [b'9', b'0'..=b'5' | b'8', ..] => 2,
            _ => 3,
        };
        digits.get(..length).unwrap_or(digits)
    }

    /// The digits after the country code, without a trunk prefix such as the 0 of many countries.
    pub fn national(&self) -> &str {
        self.strip(self.country_code().len())
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
        let (number, _) = self.number_and_params();
        let is_phone = self.scheme == Scheme::Tel || self.param("user") == Some("phone");
        match is_phone {
            true => without_separators(number),
            false => Cow::Borrowed(number),
        }
    }

    /// The extension: `;ext=` of a `tel:` URI, or of the user part of a SIP URI, without visual
    /// separators (RFC 3966 §5.1.4).
    pub fn extension(&self) -> Option<Cow<'_, str>> {
        self.number_param("ext").map(without_separators)
    }

    /// Where a number without `+` is valid: leading digits of a global number, without visual
    /// separators, or a domain (RFC 3966 §5.1.5). Such digits are no prefix to dial: 911 in the
    /// context `+1` is not `+1911`.
    ///
    /// ```
    /// # use intertrunk_sdk::test::party;
    /// let hotline = party("tel:7042;phone-context=+1-914-555");
    /// assert_eq!(hotline.e164(), None);
    /// assert_eq!(hotline.dialed(), "7042");
    /// assert_eq!(hotline.phone_context().as_deref(), Some("+1914555"));
    /// ```
    pub fn phone_context(&self) -> Option<Cow<'_, str>> {
        let context = self.number_param("phone-context")?;
        Some(match context.starts_with('+') {
            true => without_separators(context),
            false => Cow::Borrowed(context),
        })
    }

    /// A parameter of the number: of a `tel:` URI, or within the user part of a SIP URI
    /// (RFC 3261 §19.1.6), such as `rn` and `npdi` of a number that was ported (RFC 4694); `Some("")` for a
    /// flag. A parameter of the URI itself if the number has none of the name.
    ///
    /// ```
    /// # use intertrunk_sdk::test::party;
    /// let ported = party("sip:+14255550100;npdi;rn=+12065550000@gw.example.com");
    /// assert_eq!(ported.number_param("rn"), Some("+12065550000"));
    /// assert_eq!(ported.number_param("npdi"), Some(""));
    /// assert_eq!(ported.number_param("cic"), None);
    /// ```
    pub fn number_param(&self, name: &str) -> Option<&str> {
        let (_, params) = self.number_and_params();
        if params.is_empty() {
            return self.param(name);
        }
        let in_user = params.split(';').skip(1).find_map(|param| {
            let (known, value) = param.split_once('=').unwrap_or((param, ""));
            known.eq_ignore_ascii_case(name).then_some(value)
        });
        in_user.or_else(|| self.param(name))
    }

    /// The user part, divided before the first semicolon. Asked several times of each call, and of
    /// texts for which a search by words only pays its preparation.
    fn number_and_params(&self) -> (&str, &str) {
        let semicolon = self.user.bytes().position(|byte| byte == b';');
        self.user.split_at(semicolon.unwrap_or(self.user.len()))
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

/// Without what only makes a number easier to read (RFC 3966 §3).
fn without_separators(number: &str) -> Cow<'_, str> {
    let is_separator = |c: char| matches!(c, '-' | '.' | '(' | ')');
    match number.contains(is_separator) {
        true => Cow::Owned(number.replace(is_separator, "")),
        false => Cow::Borrowed(number),
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
    fn a_local_number_has_a_context_and_is_no_global_one() {
        for (uri, context) in [
            ("tel:863-1234;phone-context=+1-914-555", "+1914555"),
            (
                "sip:8631234;phone-context=a-b.example@gw;user=phone",
                "a-b.example",
            ),
            ("sip:8631234;Phone-Context=+1@gw;user=phone", "+1"),
        ] {
            let party = party(uri);
            assert_eq!(party.e164(), None, "{uri}");
            assert_eq!(party.dialed(), "8631234", "{uri}");
            assert_eq!(party.phone_context().as_deref(), Some(context), "{uri}");
        }
        assert_eq!(party("+14255550100").phone_context(), None);
    }

    #[test]
    fn country_codes_have_one_to_three_digits() {
        for (number, code) in [
            ("+12065550100", "1"),
            ("+74951234567", "7"),
            ("+442071234567", "44"),
            ("+4930123456", "49"),
            ("+420123456789", "420"),
            ("+35312345678", "353"),
            ("+6512345678", "65"),
            ("+85212345678", "852"),
            ("+8613912345678", "86"),
            ("+97112345678", "971"),
            ("+9", "9"),
        ] {
            let number = Number::parse(number).expect("it is a number");
            assert_eq!(number.country_code(), code, "{number}");
            assert_eq!(format!("+{code}{}", number.national()), *number);
        }
    }

    #[test]
    fn the_extension_is_apart_from_the_number() {
        for uri in [
            "tel:+14255550100;ext=7",
            "sip:+14255550100;ext=7@gw;user=phone",
        ] {
            let party = party(uri);
            assert_eq!(party.e164().as_deref(), Some("+14255550100"), "{uri}");
            assert_eq!(party.extension().as_deref(), Some("7"), "{uri}");
        }
        let with_separator = party("tel:+14255550100;ext=7-1");
        assert_eq!(with_separator.extension().as_deref(), Some("71"));
        assert_eq!(party("+14255550100").extension(), None);
    }
}
