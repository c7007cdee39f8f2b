//! Ordered routes, and who may use which of them.

use std::fmt;

use super::Pattern;
use crate::PrefixMap;

/// Routes that are found for most numbers.
const FOUND_USUAL: usize = 4;

/// A route: which calls are meant, and what becomes of them.
#[derive(Clone, Debug)]
pub struct Route<T> {
    /// Called numbers that are meant.
    pub called: Pattern,
    /// Calling numbers that are meant; any if absent.
    pub calling: Option<Pattern>,
    /// Usages that it belongs to; none stands for all.
    pub usages: Vec<Box<str>>,
    /// Its place before routes with a higher number.
    pub priority: i32,
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
            priority: 0,
            then,
        }
    }

    /// Belongs to this usage.
    pub fn usage(mut self, usage: impl Into<Box<str>>) -> Self {
        self.usages.push(usage.into());
        self
    }

    /// Stands before routes with a higher number; 0 unless it is said.
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// Is about these callers only.
    pub fn calling(mut self, calling: Pattern) -> Self {
        self.calling = Some(calling);
        self
    }

    /// Whether its patterns mean these numbers.
    pub fn is_about(&self, called: &str, calling: &str) -> bool {
        self.called.matches(called) && self.calling.as_ref().is_none_or(|it| it.matches(calling))
    }

    /// Place of its first usage among these; that of the first for a route of every usage.
    fn rank<U: AsRef<str>>(&self, usages: &[U]) -> Option<usize> {
        if self.usages.is_empty() {
            return Some(0);
        }
        let is_its = |usage: &U| self.usages.iter().any(|it| **it == *usage.as_ref());
        usages.iter().position(is_its)
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
/// than ten, as long as their patterns begin with something. Their order is that of their priority,
/// then that in which they came.
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
    /// Places in `all` by the beginnings of the numbers.
    by_start: PrefixMap<u32>,
}

/// A route that may be about a call, by the beginning of its number and by usage.
#[derive(Debug)]
pub struct Found<'r, T> {
    /// Which of the caller's usages it is of, counted from 0; nothing if it belongs to all.
    pub usage: Option<usize>,
    /// The route. Its patterns are still to be asked.
    pub route: &'r Route<T>,
}

impl<T> Routes<T> {
    /// The first route of these usages, or of all, that is about this call.
    pub fn first<U: AsRef<str>>(
        &self,
        usages: &[U],
        called: &str,
        calling: &str,
    ) -> Option<&Route<T>> {
        let mut first: Option<u32> = None;
        for (_, id) in self.by_start.matches(called) {
            let route = self.at(*id);
            if first.is_none_or(|first| *id < first)
                && route.rank(usages).is_some()
                && route.is_about(called, calling)
            {
                first = Some(*id);
            }
        }
        first.map(|id| self.at(id))
    }

    /// All routes that are about this call: those of the first usage in their order, then those of
    /// the next, each once. Routes of every usage stand among those of the first.
    pub fn by_usage<U: AsRef<str>>(
        &self,
        usages: &[U],
        called: &str,
        calling: &str,
    ) -> impl Iterator<Item = &Route<T>> {
        self.found(usages, called)
            .map(|found| found.route)
            .filter(move |route| route.is_about(called, calling))
    }

    /// The same before the patterns are asked: what begins as the number does, for who wants to say
    /// why a route is not about the call after all.
    pub fn found<U: AsRef<str>>(
        &self,
        usages: &[U],
        called: &str,
    ) -> impl Iterator<Item = Found<'_, T>> + use<'_, T, U> {
        let mut ranked: Vec<(usize, u32)> = Vec::with_capacity(FOUND_USUAL);
        for (_, id) in self.by_start.matches(called) {
            if let Some(rank) = self.at(*id).rank(usages) {
                ranked.push((rank, *id));
            }
        }
        ranked.sort_unstable();
        // A route is here once for each of its beginnings that the number has.
        ranked.dedup();
        ranked.into_iter().map(|(rank, id)| {
            let route = self.at(id);
            let usage = (!route.usages.is_empty()).then_some(rank);
            Found { usage, route }
        })
    }

    /// All routes, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Route<T>> {
        self.all.iter()
    }

    fn at(&self, id: u32) -> &Route<T> {
        &self.all[id as usize]
    }
}

impl<T> Default for Routes<T> {
    fn default() -> Self {
        Routes {
            all: Vec::new(),
            by_start: PrefixMap::default(),
        }
    }
}

impl<T> FromIterator<Route<T>> for Routes<T> {
    fn from_iter<I: IntoIterator<Item = Route<T>>>(routes: I) -> Self {
        let mut all: Vec<Route<T>> = routes.into_iter().collect();
        all.sort_by_key(|route| route.priority);
        let starts = all.iter().zip(0..);
        let by_start =
            starts.flat_map(|(route, id)| route.called.starts().map(move |start| (start, id)));
        let by_start = by_start.collect();
        Routes { all, by_start }
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
    fn priority_comes_before_the_order_in_which_they_came() {
        let prefix = |then| Route::new(Pattern::prefixes(["+1"]), then);
        let routes: Routes<u8> = [
            prefix(0),
            prefix(1).priority(-1),
            prefix(2),
            prefix(3).priority(1),
        ]
        .into_iter()
        .collect();
        let all = routes.by_usage::<&str>(&[], "+1425", "");
        assert_eq!(all.map(|it| it.then).collect::<Vec<_>>(), [1, 0, 2, 3]);
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
