//! How long a number is.

use std::fmt;

/// Lengths of the numbers that are meant, in characters; any by default.
///
/// ```
/// use intertrunk_sdk::rules::{Lengths, Pattern};
///
/// let extensions = Pattern::any().length(Lengths::exactly(4));
/// assert!(extensions.matches("0100") && !extensions.matches("01000"));
/// let outside = Pattern::prefixes(["9"]).length(Lengths::at_least(8));
/// assert!(outside.matches("94255550100") && !outside.matches("9123"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lengths {
    min: u16,
    max: u16,
}

impl Lengths {
    /// Numbers of this length.
    pub const fn exactly(length: u16) -> Self {
        Lengths {
            min: length,
            max: length,
        }
    }

    /// Numbers of this length and longer ones.
    pub const fn at_least(min: u16) -> Self {
        Lengths { min, max: u16::MAX }
    }

    /// Numbers of this length and shorter ones.
    pub const fn at_most(max: u16) -> Self {
        Lengths { min: 0, max }
    }

    /// As settings write it: one length, or bounds.
    pub(super) fn read(
        exactly: Option<u16>,
        min: Option<u16>,
        max: Option<u16>,
    ) -> Result<Self, &'static str> {
        match (exactly, min, max) {
            (Some(length), None, None) => Ok(Lengths::exactly(length)),
            (Some(_), _, _) => Err("there is both a `length` and a bound on it; leave one out"),
            (None, min, max) => {
                let (min, max) = (min.unwrap_or(0), max.unwrap_or(u16::MAX));
                match min <= max {
                    true => Ok(Lengths { min, max }),
                    false => Err("no number is that long; swap `length_min` and `length_max`"),
                }
            }
        }
    }

    /// Whether this number has such a length.
    pub fn include(self, number: &str) -> bool {
        (usize::from(self.min)..=usize::from(self.max)).contains(&number.len())
    }
}

impl Default for Lengths {
    fn default() -> Self {
        Lengths::at_least(0)
    }
}

/// As an explanation says it, after what the numbers begin with.
impl fmt::Display for Lengths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Lengths { min, max } if min == max => write!(f, " of length {min}"),
            Lengths {
                min: 0,
                max: u16::MAX,
            } => Ok(()),
            Lengths { min, max: u16::MAX } => write!(f, " of length {min} or more"),
            Lengths { min, max } => write!(f, " of length {min} to {max}"),
        }
    }
}
