//! From a telephone number to a URI: ENUM (RFC 6116).

use hickory_resolver::proto::rr::RecordType;
use hickory_resolver::proto::rr::{RData, rdata::NAPTR};
use regex::{Regex, RegexBuilder};

use super::lookup::{Client, name_of};
use super::{Dns, Failure};

/// Bytes of a rule's pattern once it is compiled.
const PATTERN_BYTES_MAX: usize = 64 << 10;

/// Asks one zone.
#[derive(Debug)]
pub struct Enum {
    client: Client,
    zone: String,
}

impl Enum {
    /// For numbers below `zone`. Call within a runtime.
    pub fn new(dns: &Dns, zone: &str) -> Result<Enum, Failure> {
        Ok(Enum {
            client: Client::new(dns)?,
            zone: zone.trim_end_matches('.').to_owned(),
        })
    }

    /// The first SIP URI of a number; empty if it has none.
    pub async fn uri(&self, number: &str) -> Result<String, Failure> {
        let Some(owner) = owner(number, &self.zone) else {
            return Ok(String::new());
        };
        let mut ttl = std::time::Duration::MAX;
        let found = self
            .client
            .records(name_of(&owner)?, RecordType::NAPTR, &mut ttl)
            .await?;
        let mut rules: Vec<NAPTR> = found
            .into_iter()
            .filter_map(|data| match data {
                RData::NAPTR(rule) if is_terminal(&rule) => Some(rule),
                _ => None,
            })
            .collect();
        rules.sort_by_key(|rule| (rule.order, rule.preference));
        let uris = rules
            .iter()
            .filter_map(|rule| rewritten(&rule.regexp, number));
        Ok(uris.into_iter().next().unwrap_or_default())
    }
}

/// The digits from the last to the first (RFC 6116 §3.2).
fn owner(number: &str, zone: &str) -> Option<String> {
    let digits: Vec<char> = number.chars().filter(char::is_ascii_digit).collect();
    if digits.is_empty() || digits.len() > 15 {
        return None;
    }
    let labels = digits.iter().rev().map(|digit| format!("{digit}."));
    Some(labels.collect::<String>() + zone + ".")
}

/// A rule that ends in a URI of a SIP service (RFC 3764).
fn is_terminal(rule: &NAPTR) -> bool {
    let service = String::from_utf8_lossy(&rule.services).to_ascii_lowercase();
    rule.flags.eq_ignore_ascii_case(b"u")
        && (service == "e2u+sip" || service.starts_with("e2u+sip:"))
}

/// `!pattern!replacement!flags` applied to the number (RFC 3402 §3.2); `None` if it does not match.
fn rewritten(rule: &[u8], number: &str) -> Option<String> {
    let rule = std::str::from_utf8(rule).ok()?;
    let delimiter = rule.chars().next()?;
    let mut parts = rule[delimiter.len_utf8()..].split(delimiter);
    let (pattern, replacement, flags) = (parts.next()?, parts.next()?, parts.next()?);
    let pattern: Regex = RegexBuilder::new(pattern)
        .case_insensitive(flags.contains('i'))
        .size_limit(PATTERN_BYTES_MAX)
        .build()
        .ok()?;
    let found = pattern.captures(number)?;
    let mut uri = String::new();
    let mut rest = replacement.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next()?.to_digit(10) {
                Some(group) => uri += found.get(group as usize).map_or("", |it| it.as_str()),
                None => return None,
            },
            c => uri.push(c),
        }
    }
    let lower = uri.to_ascii_lowercase();
    (lower.starts_with("sip:") || lower.starts_with("sips:")).then_some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_asked_for_from_its_end() {
        let owner = |number| owner(number, "e164.arpa");
        assert_eq!(
            owner("+44-20 71"),
            Some("1.7.0.2.4.4.e164.arpa.".to_owned())
        );
        assert_eq!(owner("alice"), None);
        assert_eq!(owner("+1234567890123456"), None, "E.164 has 15 digits");
    }

    #[test]
    fn a_rule_rewrites_the_number_or_does_not_apply() {
        let of = |rule: &str| rewritten(rule.as_bytes(), "+4420712345");
        assert_eq!(
            of("!^.*$!sip:info@example.com!").as_deref(),
            Some("sip:info@example.com")
        );
        assert_eq!(
            of(r"!^\+44(.*)$!sip:0\1@gw.example!").as_deref(),
            Some("sip:020712345@gw.example")
        );
        for wrong in [
            "",
            "!",
            "!(!sip:x!",
            "!^1!sip:x@y!",
            "!^.*$!mailto:a@b!",
            r"!^.*$!sip:\x!",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
