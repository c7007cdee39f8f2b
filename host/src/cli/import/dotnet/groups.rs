//! Groups of an expression, and replacements that name them.
//!
//! .NET numbers groups without a name first, Rust all of them as they come. `$10` is group 10 in
//! .NET if there is one, else group 1 and a 0; in Rust it is group 10 or nothing.

use super::Refused;

/// The groups of an expression in the order of their parentheses; their names.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Groups(Vec<Option<String>>);

impl Groups {
    pub(super) fn push(&mut self, name: Option<String>) {
        self.0.push(name);
    }

    /// What .NET calls group `number`, as Rust writes it.
    fn numbered(&self, number: usize) -> Option<String> {
        if number == 0 {
            return Some("0".to_owned());
        }
        let plain = (1..).zip(&self.0).filter(|(_, name)| name.is_none());
        let plain: Vec<usize> = plain.map(|(place, _)| place).collect();
        match plain.get(number - 1) {
            Some(place) => Some(place.to_string()),
            None => self
                .0
                .iter()
                .flatten()
                .nth(number - 1 - plain.len())
                .cloned(),
        }
    }

    fn named(&self, name: &str) -> Option<String> {
        let own = self.0.iter().flatten().find(|own| *own == name)?;
        Some(own.clone())
    }

    /// A .NET replacement in Rust's syntax, and what is odd about it.
    pub fn replacement(&self, text: &str) -> Result<(String, Vec<String>), Refused> {
        let mut out = String::with_capacity(text.len());
        let mut odd = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out += before;
            let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let braced = after
                .strip_prefix('{')
                .and_then(|it| it.split_once('}'))
                .map(|(name, _)| name);
            let (group, length) = if let Some(name) = braced {
                let group = match name.parse::<usize>() {
                    Ok(number) => self.numbered(number),
                    Err(_) => self.named(name),
                };
                (group, name.len() + 2)
            } else if digits > 0 {
                // The longest number that is a group.
                let found = (1..=digits.min(3)).rev().find_map(|length| {
                    let number = after[..length].parse().ok()?;
                    Some((self.numbered(number)?, length))
                });
                match found {
                    Some((group, length)) => (Some(group), length),
                    None => (None, 0),
                }
            } else if let Some(after) = after.strip_prefix('$') {
                out += "$$";
                rest = after;
                continue;
            } else if after.starts_with('&') {
                (Some("0".to_owned()), 1)
            } else if after.starts_with(['`', '\'', '_', '+']) {
                let what: String = after.chars().take(1).collect();
                let why = format!("`${what}` in the replacement has no counterpart");
                return Err(Refused::new(why, "write the groups out"));
            } else {
                (None, 0)
            };
            match group {
                Some(group) => {
                    let next = after[length..].chars().next();
                    let runs_on = next.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
                    let is_number = group.chars().all(|c| c.is_ascii_digit());
                    out += &match runs_on || !is_number {
                        true => format!("${{{group}}}"),
                        false => format!("${group}"),
                    };
                }
                None => {
                    let shown: String = after.chars().take(digits.max(1)).collect();
                    odd.push(format!(
                        "`${shown}` is no group of the pattern, so it is sent as it is written"
                    ));
                    out += "$$";
                }
            }
            rest = &after[length..];
        }
        Ok((out + rest, odd))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::cli::import::dotnet::Pattern;

    fn replaced(pattern: &str, to: &str) -> (String, usize) {
        let pattern = Pattern::read(pattern).unwrap();
        let (to, odd) = pattern.groups.replacement(to).unwrap();
        (to, odd.len())
    }

    /// N17: groups keep their meaning, whatever stands behind them.
    #[test]
    fn groups_keep_their_meaning() {
        let is = |pattern, to, rust: &str| {
            assert_eq!(replaced(pattern, to), (rust.to_owned(), 0), "{to}");
        };
        is(r"^(\d{10})$", "+1$1", "+1$1");
        is(r"^(\d{10})$", "$10", "${1}0");
        is(r"^(\d)(\d)(\d)(\d)(\d)(\d)(\d)(\d)(\d)(\d)$", "$10", "$10");
        is(r"^(\d{10})$", "$1a", "${1}a");
        is(r"^(\d{10})$", "${1}00", "${1}00");
        is(r"^(?<n>\d+)$", "+${n}", "+${n}");
        is(r"^(\d)$", "$&$$", "$0$$");
        // .NET: group 1 is the second of these.
        is(r"^(?<n>\d)(\d)$", "$1-$2", "$2-${n}");
    }

    #[test]
    fn what_is_no_group_is_text() {
        assert_eq!(replaced(r"^\d$", "$1"), ("$$1".to_owned(), 1));
        let pattern = Pattern::read(r"^(\d)$").unwrap();
        assert!(pattern.groups.replacement("$`").is_err());
    }
}
