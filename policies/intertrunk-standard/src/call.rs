//! The call that is being decided: what the question says of it, and what its trunks are.

use std::borrow::Cow;

use intertrunk_sdk::calendar::Calendar;
use intertrunk_sdk::{Answer, NoAnswer, Party, Privacy, Query, TrunkFacts, trunk};

/// One destination of one question.
pub(crate) struct Call<'q> {
    pub(crate) query: &'q Query,
    /// What outside sources have said.
    pub(crate) answers: &'q [Answer],
    /// Who is called.
    pub(crate) target: &'q Party,
    /// Whose usages and rules apply: the trunk that the call came in on, or that of who transfers.
    pub(crate) origin: &'q str,
    pub(crate) ends: &'q Ends,
    pub(crate) calendars: &'q [Calendar],
    /// Called number, normalised.
    pub(crate) called: Cow<'q, str>,
    /// Where it was ported to, or what a look-up has made of it, if that is known.
    pub(crate) ported: Option<Cow<'q, str>>,
    /// Calling number, normalised.
    pub(crate) calling: Cow<'q, str>,
    /// Whether extensions are part of the numbers.
    pub(crate) keeps_ext: bool,
}

/// What the host says of the trunks that a call comes from; nothing if the dial plan does not care.
#[derive(Default)]
pub(crate) struct Ends {
    /// Of the party that is to be connected.
    pub(crate) ingress: Option<TrunkFacts>,
    /// Of who asks for it, if that is another.
    origin: Option<TrunkFacts>,
}

impl Ends {
    pub(crate) fn of(query: &Query) -> Ends {
        let (ingress, origin) = (query.ingress(), query.origin());
        Ends {
            ingress: trunk(ingress).facts(),
            origin: (origin != ingress).then(|| trunk(origin).facts()).flatten(),
        }
    }

    pub(crate) fn ingress_site(&self) -> Option<&str> {
        self.ingress.as_ref()?.site.as_deref()
    }

    pub(crate) fn origin_site(&self) -> Option<&str> {
        self.origin
            .as_ref()
            .or(self.ingress.as_ref())?
            .site
            .as_deref()
    }
}

impl Call<'_> {
    /// The number that routes are found by.
    pub(crate) fn routed(&self) -> &str {
        self.ported.as_ref().unwrap_or(&self.called)
    }

    pub(crate) fn origin_site(&self) -> Option<&str> {
        self.ends.origin_site()
    }

    /// Whether any of these calendars is open at the time of the question.
    pub(crate) fn is_open(&self, calendars: &[usize]) -> bool {
        let mut open = calendars.iter().map(|id| &self.calendars[*id]);
        open.any(|calendar| calendar.is_open(self.query.unix_ms))
    }

    /// What a source has said of a key; nothing if it was not asked.
    pub(crate) fn answer(&self, source: &str, key: &str) -> Option<&'_ Result<String, NoAnswer>> {
        let of = |it: &&Answer| it.source == source && it.key == key;
        Some(&self.answers.iter().find(of)?.outcome)
    }

    /// Whether the caller has no number, or withholds it.
    pub(crate) fn is_anonymous(&self) -> bool {
        let caller = self.query.caller();
        self.query.call.privacy != Privacy::None
            || caller.user.is_empty()
            || caller.user.eq_ignore_ascii_case("anonymous")
            || caller.host.eq_ignore_ascii_case("anonymous.invalid")
    }
}
