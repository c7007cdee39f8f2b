//! What is known of numbers by their beginnings: dial codes, rates, routes.

use std::cmp::Ordering;
use std::fmt;

/// Values by prefix; finds those of all prefixes of a number in one binary search, whether there are
/// ten or a hundred thousand. Made once, by collecting or from settings, and only read after that:
/// sorted and without pointers, it takes little more memory than its text.
///
/// ```
/// use intertrunk_sdk::PrefixMap;
///
/// let carriers: PrefixMap<&str> =
///     [("+44", "gw-uk"), ("+4420", "gw-london"), ("+1", "gw-us")].into_iter().collect();
/// let number = "+442071234567";
/// assert_eq!(carriers.longest(number), Some(("+4420", &"gw-london")));
/// let all: Vec<_> = carriers.matches(number).map(|(prefix, _)| prefix).collect();
/// assert_eq!(all, ["+4420", "+44"]);
/// assert_eq!(carriers.longest("0100"), None);
/// ```
///
/// A prefix may have several values; each is an entry of its own.
///
/// With the feature `settings`, a table of the settings becomes one:
///
/// ```
/// # #[cfg(feature = "settings")] {
/// use intertrunk_sdk::{settings, PrefixMap};
///
/// #[derive(serde::Deserialize)]
/// struct Settings { carrier: PrefixMap<String> }
///
/// let settings: Settings = settings("carrier = { '+44' = 'gw-uk', '+1' = 'gw-us' }").unwrap();
/// assert_eq!(settings.carrier.longest("+12065550100").map(|(_, carrier)| &**carrier), Some("gw-us"));
/// # }
/// ```
#[derive(Clone)]
pub struct PrefixMap<V> {
    /// All prefixes, one after the other, in order.
    text: String,
    entries: Vec<Entry<V>>,
}

#[derive(Clone)]
struct Entry<V> {
    /// Where its prefix lies in the text.
    start: u32,
    end: u32,
    /// The entry with the longest prefix of this prefix, or with the same one; [`NONE`] if no other
    /// begins this one.
    parent: u32,
    value: V,
}

const NONE: u32 = u32::MAX;

impl<V> PrefixMap<V> {
    /// The longest prefix of `number` that is known, and its value.
    pub fn longest(&self, number: &str) -> Option<(&str, &V)> {
        self.matches(number).next()
    }

    /// All known prefixes of `number` with their values, longest first; equal ones in the reverse of
    /// the order in which they came.
    pub fn matches<'m, 'n>(
        &'m self,
        number: &'n str,
    ) -> impl Iterator<Item = (&'m str, &'m V)> + use<'m, 'n, V> {
        // Whatever lies between a prefix of the number and the number in the order of texts begins
        // with that prefix too. So all prefixes are the last entry before it, or parents of that.
        let after = self
            .entries
            .partition_point(|entry| order(self.prefix(entry), number).is_le());
        let mut at = after.checked_sub(1);
        std::iter::from_fn(move || {
            loop {
                let entry = self.entries.get(at?)?;
                at = (entry.parent != NONE).then_some(entry.parent as usize);
                let prefix = self.prefix(entry);
                if number.starts_with(prefix) {
                    return Some((prefix, &entry.value));
                }
            }
        })
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All entries, in the order of their prefixes.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.entries
            .iter()
            .map(|entry| (self.prefix(entry), &entry.value))
    }

    fn prefix(&self, entry: &Entry<V>) -> &str {
        &self.text[entry.start as usize..entry.end as usize]
    }
}

/// The order of two texts: eight bytes at once where both have as many, which on Wasm is not what the
/// standard library does.
fn order(a: &str, b: &str) -> Ordering {
    match (a.as_bytes().first_chunk(), b.as_bytes().first_chunk()) {
        (Some(first), Some(second)) if first != second => {
            u64::from_be_bytes(*first).cmp(&u64::from_be_bytes(*second))
        }
        _ => a.cmp(b),
    }
}

impl<V> Default for PrefixMap<V> {
    fn default() -> Self {
        PrefixMap {
            text: String::new(),
            entries: Vec::new(),
        }
    }
}

impl<P: AsRef<str>, V> FromIterator<(P, V)> for PrefixMap<V> {
    fn from_iter<I: IntoIterator<Item = (P, V)>>(entries: I) -> Self {
        let mut entries: Vec<(P, V)> = entries.into_iter().collect();
        entries.sort_by(|(a, _), (b, _)| a.as_ref().cmp(b.as_ref()));
        let mut map = PrefixMap {
            text: String::with_capacity(
                entries
                    .iter()
                    .map(|(prefix, _)| prefix.as_ref().len())
                    .sum(),
            ),
            entries: Vec::with_capacity(entries.len()),
        };
        for (prefix, value) in entries {
            map.push(prefix.as_ref(), value);
        }
        map
    }
}

impl<V> PrefixMap<V> {
    /// Adds an entry that comes after all others.
    fn push(&mut self, prefix: &str, value: V) {
        let offset = |text: &String| u32::try_from(text.len()).expect("a guest has less memory");
        // The parent of this one is the last entry, or one of that one's parents.
        let mut parent = u32::try_from(self.entries.len())
            .expect("a guest has less memory")
            .wrapping_sub(1);
        while let Some(entry) = self.entries.get(parent as usize)
            && !prefix.starts_with(self.prefix(entry))
        {
            parent = entry.parent;
        }
        let start = offset(&self.text);
        self.text.push_str(prefix);
        self.entries.push(Entry {
            start,
            end: offset(&self.text),
            parent,
            value,
        });
    }
}

impl<V: fmt::Debug> fmt::Debug for PrefixMap<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(feature = "settings")]
impl<'de, V: serde::Deserialize<'de>> serde::Deserialize<'de> for PrefixMap<V> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = std::collections::BTreeMap::<String, V>::deserialize(deserializer)?;
        Ok(entries.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prefixes over few letters, so that many begin each other.
    fn words() -> Vec<String> {
        let mut words = vec![String::new()];
        for length in 1..=4_u32 {
            for bits in 0..(1_u32 << length) {
                let letter = |at: u32| {
                    if (bits >> at).is_multiple_of(2_u32) {
                        '1'
                    } else {
                        '2'
                    }
                };
                words.push((0..length).map(letter).collect());
            }
        }
        words
    }

    #[test]
    fn finds_what_trying_each_prefix_finds() {
        let words = words();
        for step in 1..7 {
            let some: Vec<&String> = words.iter().step_by(step).collect();
            let map: PrefixMap<usize> = some.iter().copied().zip(0..).collect();
            assert_eq!(map.len(), some.len());
            for number in &words {
                let found: Vec<&str> = map.matches(number).map(|(prefix, _)| prefix).collect();
                let mut expected: Vec<&str> = some.iter().map(|it| it.as_str()).collect();
                expected.retain(|prefix| number.starts_with(prefix));
                expected.sort_by_key(|prefix| std::cmp::Reverse(prefix.len()));
                assert_eq!(found, expected, "{number} in {map:?}");
                assert!(map.matches(number).all(|(prefix, at)| *some[*at] == prefix));
            }
        }
    }

    #[test]
    fn equal_prefixes_are_all_found() {
        let map: PrefixMap<u8> = [("+1", 1), ("+14", 2), ("+1", 3), ("+2", 4)]
            .into_iter()
            .collect();
        let found: Vec<u8> = map.matches("+1425").map(|(_, value)| *value).collect();
        assert_eq!(found, [2, 3, 1]);
        assert_eq!(map.longest("+3"), None);
        assert!(PrefixMap::<u8>::default().longest("+1").is_none());
    }
}
