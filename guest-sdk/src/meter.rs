//! What a meter of the host says: how many calls a key has had lately, and what they cost.

use std::fmt;

use crate::{Candidate, Param, Query};

/// Digits of an amount behind the point.
const DIGITS: usize = 6;
const MILLIONTHS: u64 = 1_000_000;

/// The answer of a meter to a look-up: what calls with this tag have done within its window.
///
/// A meter is a source of the host's configuration (`kind = "meter"`) that counts the calls whose plan has
/// a tag of its name, by the values of that tag. So a policy that limits calls inquires first, and tags the
/// plan of the call that it admits:
///
/// ```
/// # use intertrunk_sdk::{Inquiry, Plan, Query, Verdict};
/// fn decide(q: &Query) -> Verdict {
///     let caller = &*q.caller().dialed();
///     if q.is_new_call() {
///         return Inquiry::of("hour", caller).into();
///     }
///     match q.meter("hour", caller) {
///         Some(lately) if lately.calls >= 20 || lately.active >= 2 => Verdict::forbidden(),
///         // Also when the meter does not answer: that is no reason to refuse anybody.
///         _ => Plan::to("gw-a").tag("hour", caller).into(),
///     }
/// }
/// # let mut query = intertrunk_sdk::test::query("pbx-a", "+442071234567");
/// # assert!(matches!(decide(&query), Verdict::Inquire(_)));
/// # let caller = query.caller().dialed().into_owned();
/// # query.cause = intertrunk_sdk::Cause::Answered(vec![intertrunk_sdk::Answer {
/// #     source: "hour".into(),
/// #     key: caller,
/// #     outcome: Ok("calls=3 active=2 seconds=60 spend=0.500000".into()),
/// # }]);
/// # assert!(matches!(decide(&query), Verdict::Reject(_)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Meter {
    /// Calls that began in the window.
    pub calls: u64,
    /// Calls that are up, whenever they began.
    pub active: u64,
    /// Seconds of talk in the window.
    pub seconds: u64,
    /// What that talk has cost, by the [`price`](Candidate::price) of its candidates.
    pub spend: Amount,
}

impl Meter {
    /// Reads an answer; `None` if it is none of a meter. What it does not know it passes over.
    ///
    /// ```
    /// # use intertrunk_sdk::{Amount, Meter};
    /// let lately = Meter::of("calls=12 active=2 seconds=3600 spend=4.250000").unwrap();
    /// assert_eq!((lately.calls, lately.active, lately.seconds), (12, 2, 3600));
    /// assert!(lately.spend < Amount::read("4.26").unwrap());
    /// assert_eq!(Meter::of("sip:alice@example.com"), None);
    /// ```
    pub fn of(answer: &str) -> Option<Meter> {
        let value = |name: &str| {
            let mut pairs = answer.split_ascii_whitespace();
            pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        };
        Some(Meter {
            calls: value("calls")?.parse().ok()?,
            active: value("active")?.parse().ok()?,
            seconds: value("seconds")?.parse().ok()?,
            spend: Amount::read(value("spend")?)?,
        })
    }
}

impl Query {
    /// What a meter said to the inquiry for `key`; `None` if it did not answer.
    pub fn meter(&self, source: &str, key: &str) -> Option<Meter> {
        Meter::of(self.answer(source, key)?)
    }
}

impl Candidate {
    /// What a minute costs there, as digits with a point: meters count it while the call talks there.
    pub fn price(mut self, price: impl Into<String>) -> Self {
        self.extra.push(Param {
            name: "price".to_owned(),
            value: Some(price.into()),
        });
        self
    }
}

/// An amount of money, in millionths: no sum of amounts drifts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Amount(pub u64);

impl Amount {
    /// Reads digits with a point, such as `4.25`. Digits behind the sixth after the point are nothing.
    ///
    /// ```
    /// # use intertrunk_sdk::Amount;
    /// assert_eq!(Amount::read("4.25"), Some(Amount(4_250_000)));
    /// assert_eq!(Amount::read("7").unwrap().to_string(), "7");
    /// assert_eq!(Amount::read("-1"), None);
    /// ```
    pub fn read(text: &str) -> Option<Amount> {
        let (whole, parts) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
        if !digits(whole) || !digits(parts) {
            return None;
        }
        let parts = parts.get(..DIGITS).unwrap_or(parts);
        let scale = 10_u64.pow(u32::try_from(DIGITS - parts.len()).ok()?);
        let parts = parts.parse::<u64>().ok()? * scale;
        let whole = whole.parse::<u64>().ok()?.checked_mul(MILLIONTHS)?;
        whole.checked_add(parts).map(Amount)
    }
}

/// As people write it: `4.25`.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, parts) = (self.0 / MILLIONTHS, self.0 % MILLIONTHS);
        match parts {
            0 => write!(f, "{whole}"),
            _ => {
                let parts = format!("{parts:06}");
                write!(f, "{whole}.{}", parts.trim_end_matches('0'))
            }
        }
    }
}

/// Text such as `"4.25"`.
#[cfg(feature = "settings")]
impl<'de> serde::Deserialize<'de> for Amount {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Amount::read(&text).ok_or_else(|| {
            let problem = format!("{text:?} is no amount; write it like \"4.25\"");
            serde::de::Error::custom(problem)
        })
    }
}
