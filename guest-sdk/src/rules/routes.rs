//! Ordered routes, and who may use which of them.

use std::collections::HashMap;
use std::fmt;

use super::Pattern;
use crate::PrefixMap;

/// A route: which calls are meant, and what becomes of them.
#[derive(Clone, Debug)]
pub struct Route<T> {
    /// Called numbers that are meant.
    pub called: Pattern,
    /// Calling numbers that are meant; any if absent.
    pub calling: Option<Pattern>,
    /// Usages that it belongs to; none stands for all.
    pub usages: Vec<Box<str>>,
    /// What becomes of the calls, for the policy to say.
    pub then: T,
}

impl<T> Route<T> {
    /// A route of all usages for these numbers.
    pub fn new(called: Pattern, then: T) -> Self {
        Route {
            called,
            calling: None,
            usages: Vec::new(),
            then,
        }
    }

    /// Belongs to this usage.
    pub fn usage(mut self, usage: impl Into<Box<str>>) -> Self {
        self.usages.push(usage.into());
        self
    }

    /// Is about these callers only.
    pub fn calling(mut self, calling: Pattern) -> Self {
        self.calling = Some(calling);
        self
    }

    fn is_about(&self, called: &str, calling: &str) -> bool {
        self.called.matches(called) && self.calling.as_ref().is_none_or(|it| it.matches(calling))
    }
}

/// As an explanation says it: which numbers are meant.
impl<T> fmt::Display for Route<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.calling {
            Some(calling) => write!(f, "{}, calling {calling}", self.called),
            None => self.called.fmt(f),
        }
    }
}

/// Routes in order, found by the beginnings of their numbers: a hundred thousand cost little more
/// than ten, as long as their patterns begin with something.
///
/// A *usage* is a permission with a name, such as `local` or `abroad`. Routes belong to usages, and
/// a caller (a trunk, most often) has a list of them.
///
/// ```
/// use intertrunk_sdk::rules::{Pattern, Route, Routes};
///
/// let routes: Routes<&str> = [
///     Route::new(Pattern::prefixes(["+1"]), "gw-a").usage("national"),
///     Route::new(Pattern::prefixes(["+1", "+44"]), "gw-b").usage("anywhere"),
///     Route::new(Pattern::prefixes(["+1900"]), "nobody"),
/// ].into_iter().collect();
///
/// // The first in the order of the routes decides, whatever usage it is of …
/// let first = routes.first(&["anywhere", "national"], "+14255550100", "");
/// assert_eq!(first.map(|route| route.then), Some("gw-a"));
/// assert!(routes.first(&["national"], "+442071234567", "").is_none());
/// // … or usages are tried one after the other, those behind as a reserve.
/// let all = routes.by_usage(&["anywhere", "national"], "+14255550100", "");
/// assert_eq!(all.map(|route| route.then).collect::<Vec<_>>(), ["gw-b", "gw-a"]);
/// ```
pub struct Routes<T> {
    all: Vec<Route<T>>,
    /// Routes of every usage.
    common: PrefixMap<u32>,
    by_usage: HashMap<Box<str>, PrefixMap<u32>>,
}

impl<T> Routes<T> {
    /// The first route of these usages, or of all, that is about this call.
    pub fn first(&self, usages: &[&str], called: &str, calling: &str) -> Option<&Route<T>> {
        let maps = usages.iter().filter_map(|usage| self.by_usage.get(*usage));
        let mut first: Option<u32> = None;
        for map in maps.chain([&self.common]) {
            for (_, id) in map.matches(called) {
                if first.is_none_or(|first| *id < first) && self.at(*id).is_about(called, calling) {
                    first = Some(*id);
                }
            }
        }
        first.map(|id| self.at(id))
    }

    /// All routes that are about this call: those of the first usage in their order, then those of
    /// the next, each once. Routes of every usage stand among those of the first.
    pub fn by_usage(
        &self,
        usages: &[&str],
        called: &str,
        calling: &str,
    ) -> impl Iterator<Item = &Route<T>> {
        let mut found: Vec<u32> = Vec::new();
        let mut common = Some(&self.common);
        // Who has no usage has the routes of every usage.
        let usages = if usages.is_empty() { &[""] } else { usages };
        for usage in usages {
            let maps = self.by_usage.get(*usage).into_iter().chain(common.take());
            let mut of_usage: Vec<u32> = maps
                .flat_map(|map| map.matches(called).map(|(_, id)| *id))
                .filter(|id| !found.contains(id) && self.at(*id).is_about(called, calling))
                .collect();
            of_usage.sort_unstable();
            of_usage.dedup();
            found.append(&mut of_usage);
        }
        found.into_iter().map(|id| self.at(id))
    }

    fn at(&self, id: u32) -> &Route<T> {
        &self.all[id as usize]
    }
}

impl<T> Default for Routes<T> {
    fn default() -> Self {
        Routes {
            all: Vec::new(),
            common: PrefixMap::default(),
            by_usage: HashMap::new(),
        }
    }
}

impl<T> FromIterator<Route<T>> for Routes<T> {
    fn from_iter<I: IntoIterator<Item = Route<T>>>(routes: I) -> Self {
        let all: Vec<Route<T>> = routes.into_iter().collect();
        let mut common: Vec<(&str, u32)> = Vec::new();
        let mut by_usage: HashMap<Box<str>, Vec<(&str, u32)>> = HashMap::new();
        for (route, id) in all.iter().zip(0..) {
            for start in route.called.starts() {
                for usage in &route.usages {
                    by_usage.entry(usage.clone()).or_default().push((start, id));
                }
                if route.usages.is_empty() {
                    common.push((start, id));
                }
            }
        }
        let common = common.into_iter().collect();
        let by_usage = by_usage.into_iter();
        let by_usage = by_usage.map(|(usage, starts)| (usage, starts.into_iter().collect()));
        Routes {
            common,
            by_usage: by_usage.collect(),
            all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Routes<u8> {
        let prefix = |prefix: &str, then| Route::new(Pattern::prefixes([prefix]), then);
        [
            prefix("+1425", 0).usage("a").usage("b"),
            prefix("+1", 1).usage("b"),
            Route::new(Pattern::any(), 2).calling(Pattern::prefixes(["+49"])),
            prefix("+1", 3).usage("a"),
            Route::new(Pattern::any(), 4),
        ]
        .into_iter()
        .collect()
    }

    #[test]
    fn order_decides_whatever_the_usage_and_the_length() {
        let routes = routes();
        let first = |usages: &[&str], called, calling| {
            routes
                .first(usages, called, calling)
                .map(|route| route.then)
        };
        assert_eq!(first(&["b", "a"], "+14255550100", ""), Some(0));
        assert_eq!(first(&["b", "a"], "+12065550100", ""), Some(1));
        assert_eq!(first(&["a"], "+12065550100", ""), Some(3));
        assert_eq!(first(&["a"], "+12065550100", "+4930"), Some(2));
        assert_eq!(first(&[], "+12065550100", ""), Some(4));
    }

    #[test]
    fn usages_are_a_reserve_for_each_other() {
        let routes = routes();
        let all = |usages: &[&str], called| -> Vec<u8> {
            let found = routes.by_usage(usages, called, "");
            found.map(|route| route.then).collect()
        };
        assert_eq!(all(&["a", "b"], "+14255550100"), [0, 3, 4, 1]);
        assert_eq!(all(&["b", "a"], "+14255550100"), [0, 1, 4, 3]);
        assert_eq!(all(&["a"], "+44"), [4]);
        assert_eq!(all(&[], "+14255550100"), [4]);
    }
}
