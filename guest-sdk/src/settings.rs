//! Settings in TOML, and every fault in them.
//!
//! serde stops at the first mistake. The author of a dial plan wants them all, so reading goes on
//! after the entry that holds a mistake, until nothing is wrong any more.

use std::marker::PhantomData;
use std::{fmt, iter};

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, Visitor};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::Fault;

/// Most faults that are reported at once; who has more will read these first.
const FAULTS_MAX: usize = 64;

/// Reads settings, or reports what is wrong with them: all broken entries, each with its path and
/// line. Derive `Deserialize` with `deny_unknown_fields`, so that a misspelt key is a fault. Checks
/// of one entry belong in its `Deserialize`, by [`checked`], where they get a path and line too; in
/// their message, what follows the first semicolon is the remedy. Checks of entries against each
/// other make their fault with [`Fault::at`].
///
/// ```
/// use intertrunk_sdk::settings;
///
/// #[derive(serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Route { prefix: String, trunk: String }
/// #[derive(serde::Deserialize)]
/// struct Routes { route: Vec<Route> }
///
/// let text = "
/// [[route]]
/// prefix = '+44'
/// trnk = 'gw-a'
/// [[route]]
/// prefix = 44
/// trunk = 'gw-b'";
/// let faults = settings::<Routes>(text).err().expect("there are two mistakes");
/// let places: Vec<_> = faults.iter().map(|fault| (&*fault.path, fault.line)).collect();
/// assert_eq!(places, [("route[0].trnk", Some(4)), ("route[1].prefix", Some(6))]);
/// ```
pub fn settings<T: DeserializeOwned>(text: &str) -> Result<T, Vec<Fault>> {
    // Most settings have no mistake. A dial plan of thousands of routes is then read with one copy of
    // it in the guest's memory rather than three.
    if let Ok(settings) = toml::from_str(text) {
        return Ok(settings);
    }
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let fault = |error: &toml::de::Error| fault(text, &[], error);
        return Err(errors.iter().take(FAULTS_MAX).map(fault).collect());
    }
    let (mut rest, mut faults) = (root.clone(), Vec::new());
    loop {
        let error = match T::deserialize(toml::de::Deserializer::from(rest.clone())) {
            Ok(settings) if faults.is_empty() => return Ok(settings),
            Ok(_) => return Err(faults),
            Err(error) => error,
        };
        // What is missing from the whole is nowhere in it.
        let span = error.span().filter(|span| *span != root.span());
        let place = span.map_or(usize::MAX, |span| span.start);
        let path = path_in_table(root.get_ref(), place).unwrap_or_default();
        faults.push(fault(text, &path, &error));
        if faults.len() == FAULTS_MAX || !skip_mistake(rest.get_mut(), place) {
            return Err(faults);
        }
    }
}

/// Reads the keys `K` of an entry and makes it a `T`, or a fault of that entry: the body of
/// `Deserialize` for a `T` that can be wrong as a whole. (With `#[serde(try_from)]` the fault would
/// be one of the list that holds the entry.)
///
/// ```
/// use intertrunk_sdk::{checked, settings};
/// use serde::{Deserialize, Deserializer};
///
/// struct Range { from: u32, to: u32 }
///
/// #[derive(Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct RangeKeys { from: u32, to: u32 }
///
/// impl TryFrom<RangeKeys> for Range {
///     type Error = &'static str;
///     fn try_from(RangeKeys { from, to }: RangeKeys) -> Result<Self, &'static str> {
///         if from > to { Err("the range is empty; swap `from` and `to`") } else { Ok(Range { from, to }) }
///     }
/// }
///
/// impl<'de> Deserialize<'de> for Range {
///     fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
///         checked::<RangeKeys, _, _>(deserializer)
///     }
/// }
///
/// #[derive(Deserialize)]
/// struct Ranges { range: Vec<Range> }
///
/// let text = "range = [{ from = 1, to = 2 }, { from = 9, to = 8 }]";
/// let faults = settings::<Ranges>(text).err().expect("one is wrong");
/// assert_eq!(faults[0].to_string(), "line 1: range[1]: the range is empty; swap `from` and `to`");
/// ```
pub fn checked<'de, K, T, D>(deserializer: D) -> Result<T, D::Error>
where
    K: Deserialize<'de>,
    T: TryFrom<K, Error: fmt::Display>,
    D: Deserializer<'de>,
{
    struct Keys<K, T>(PhantomData<(K, T)>);

    impl<'de, K, T> Visitor<'de> for Keys<K, T>
    where
        K: Deserialize<'de>,
        T: TryFrom<K, Error: fmt::Display>,
    {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            let keys = K::deserialize(MapAccessDeserializer::new(map))?;
            keys.try_into().map_err(A::Error::custom)
        }
    }

    // The deserializer puts the place of the table on errors of its visitor, not on later ones.
    deserializer.deserialize_map(Keys(PhantomData))
}

impl Fault {
    /// A fault of the setting that begins at the byte `offset` of the settings' text: of a
    /// `toml::Spanned` setting whose own value is fine, but not among the others.
    ///
    /// ```
    /// # use intertrunk_sdk::Fault;
    /// let text = "[[route]]\ntrunk = 'gw-x'";
    /// let offset = text.find("'gw-x'").expect("it is there");
    /// let fault = Fault::at(text, offset, "no such trunk");
    /// assert_eq!(fault.to_string(), "line 2: route[0].trunk: no such trunk");
    /// ```
    pub fn at(text: &str, offset: usize, problem: impl Into<String>) -> Self {
        let (root, _) = DeTable::parse_recoverable(text);
        let path = path_in_table(root.get_ref(), offset).unwrap_or_default();
        Fault::new(written(&path), problem).line(line_of(text, offset))
    }
}

/// Line of the byte `offset` of `text`, counted from 1.
fn line_of(text: &str, offset: usize) -> u32 {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let newlines = before.iter().filter(|byte| **byte == b'\n').count();
    u32::try_from(newlines + 1).unwrap_or(u32::MAX)
}

/// The fault that an error of serde states. serde says "unknown field `a`, expected one of `b`,
/// `c`": the second half is the remedy, as is what follows the first semicolon.
fn fault(text: &str, path: &[Step], error: &toml::de::Error) -> Fault {
    let message = error
        .message()
        .trim()
        .replace("unknown field", "unknown key");
    let expected = message
        .split_once(", expected ")
        .map(|(a, b)| (a, meant(a, b).unwrap_or_else(|| format!("use {b}"))));
    let remedy = message.split_once("; ").map(|(a, b)| (a, b.to_owned()));
    let fault = match expected.or(remedy) {
        Some((problem, remedy)) => Fault::new(written(path), problem).remedy(remedy),
        None => Fault::new(written(path), message),
    };
    Fault {
        line: error.span().map(|span| line_of(text, span.start)),
        ..fault
    }
}

/// Which of the `known` words, each in backticks, the wrong one in `problem` was meant to be, if that
/// can be guessed.
fn meant(problem: &str, known: &str) -> Option<String> {
    let quoted = |text| str::split(text, '`').skip(1).step_by(2);
    let wrong = quoted(problem).next()?;
    let distances = quoted(known).map(|word| (strsim::damerau_levenshtein(wrong, word), word));
    let (distance, near) = distances.min()?;
    (distance <= 1 + wrong.len() / 4).then(|| format!("did you mean `{near}`?"))
}

/// The way from the root to a value.
type Path = Vec<Step>;

enum Step {
    Key(String),
    Index(usize),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Key(key) => write!(f, ".{key}"),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// `route[2].prefix`
fn written(path: &[Step]) -> String {
    let steps: String = path.iter().map(ToString::to_string).collect();
    steps.trim_start_matches('.').to_owned()
}

/// The path of the innermost key or value at the byte `place`.
fn path_in_table(table: &DeTable<'_>, place: usize) -> Option<Path> {
    table.iter().find_map(|(key, value)| {
        let inner = path_in_value(value, place);
        let mut path = inner.or_else(|| key.span().contains(&place).then(Path::new))?;
        path.insert(0, Step::Key(key.get_ref().to_string()));
        Some(path)
    })
}

fn path_in_value(value: &Spanned<DeValue<'_>>, place: usize) -> Option<Path> {
    let inner = match value.get_ref() {
        DeValue::Table(table) => path_in_table(table, place),
        DeValue::Array(items) => items.iter().enumerate().find_map(|(index, item)| {
            let mut path = path_in_value(item, place)?;
            path.insert(0, Step::Index(index));
            Some(path)
        }),
        _ => None,
    };
    inner.or_else(|| value.span().contains(&place).then(Path::new))
}

/// Goes on after a mistake at the byte `place`: takes out the innermost list entry that holds it, or
/// the top-level key if no list does, and the entries before it, which are right. `false` if there
/// is nothing to take out.
fn skip_mistake(root: &mut DeTable<'_>, place: usize) -> bool {
    let path = path_in_table(root, place).unwrap_or_default();
    let Some(Step::Key(wrong)) = path.first() else {
        return false;
    };
    for (key, value) in root.iter_mut() {
        if key.get_ref() == wrong {
            return skip_in_lists(value.get_mut(), place) || root.remove(wrong.as_str()).is_some();
        }
        if let DeValue::Array(items) = value.get_mut()
            && items.iter().all(|item| item.get_ref().is_table())
        {
            *items = iter::empty().collect();
        }
    }
    false
}

fn skip_in_lists(value: &mut DeValue<'_>, place: usize) -> bool {
    match value {
        DeValue::Table(table) => table
            .iter_mut()
            .any(|(_, value)| skip_in_lists(value.get_mut(), place)),
        DeValue::Array(items) => {
            let mut numbered = items.iter_mut().enumerate();
            let holder = numbered.find(|(_, item)| path_in_value(item, place).is_some());
            let Some((index, item)) = holder else {
                return false;
            };
            let deeper = skip_in_lists(item.get_mut(), place);
            let kept = std::mem::replace(items, iter::empty().collect()).into_iter();
            *items = kept.skip(index + usize::from(!deeper)).collect();
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only reading them is tested")]
    struct Plan {
        name: String,
        #[serde(default)]
        group: Vec<Group>,
        #[serde(default)]
        limits: Limits,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only reading them is tested")]
    struct Group {
        numbers: Vec<u8>,
    }

    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only reading them is tested")]
    struct Limits {
        #[serde(default)]
        calls: u32,
    }

    fn places(text: &str) -> Vec<(String, Option<u32>)> {
        let faults = settings::<Plan>(text).err().unwrap_or_default();
        faults
            .into_iter()
            .map(|fault| (fault.path, fault.line))
            .collect()
    }

    fn place(path: &str, line: u32) -> (String, Option<u32>) {
        (path.to_owned(), Some(line))
    }

    #[test]
    fn good_settings_are_read() {
        let text = "name = 'a'\ngroup = [{ numbers = [1] }]\nlimits.calls = 3";
        assert_eq!(settings::<Plan>(text).map(|plan| plan.limits.calls), Ok(3));
    }

    #[test]
    fn each_entry_of_each_list_has_its_own_fault() {
        let text = "
name = 'a'
[[group]]
numbers = [1, 300, 2, 'x']
[[group]]
numbers = [1]
[[group]]
number = [1]
";
        assert_eq!(
            places(text),
            [
                place("group[0].numbers[1]", 4),
                place("group[0].numbers[3]", 4),
                place("group[2].number", 8)
            ]
        );
    }

    #[test]
    fn reading_goes_on_after_a_wrong_key() {
        let text = "nam = 'a'\nname = 'b'\n[[group]]\nnumbers = 1\n[limits]\ncals = 1\n";
        assert_eq!(
            places(text),
            [
                place("nam", 1),
                place("group[0].numbers", 4),
                place("limits.cals", 6)
            ]
        );
    }

    #[test]
    fn what_is_missing_at_the_root_has_no_path() {
        for text in ["", "[limits]\ncalls = 1", "limits.calls = 1\n# end"] {
            assert_eq!(places(text), [(String::new(), Some(1))], "{text}");
        }
    }

    #[test]
    fn faults_are_bounded() {
        let text = format!("name = 'a'\n{}", "[[group]]\nnumbers = 1\n".repeat(500));
        assert_eq!(places(&text).len(), FAULTS_MAX);
    }
}
