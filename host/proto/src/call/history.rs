//! Where the call has been before: History-Info (RFC 7044) and Diversion (RFC 5806), and one made of
//! the other (RFC 7544).
//!
//! Believed from trusted trunks only, written to trunks that take it, with every host replaced by
//! ours. A history that goes on gets a line for each number that the host tried, with the code that
//! it failed with. Costs nothing for a call without history.

use std::fmt::Write as _;

use intertrunk_sip::{Builder, Message, Name, NameAddr, Scheme, Uri, escape_user, unquote};

use super::attempt::name_addr;
use super::passing::Crossing;
use super::privacy::Wishes;
use crate::trunk::HistoryForm;

/// Lines of one history; those beyond are left out.
const STEPS_MAX: usize = 20;

/// One target that the call has had.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Step {
    display: Option<String>,
    /// User part or number, still escaped.
    user: String,
    tel: bool,
    /// Such as `1.2`.
    index: String,
    /// How it came from an earlier one: `rc=1`, `mp=1.1`, `np=1`.
    how: Option<String>,
    /// Why the target before was left, as a SIP code (RFC 4458).
    cause: Option<u16>,
    /// Why it was left, as an escaped Reason value.
    reason: Option<String>,
    /// It must not be shown to everybody.
    private: bool,
}

/// A target that the host tried before, and how it failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tried<'a> {
    pub(super) callee: &'a str,
    pub(super) code: u16,
}

/// What the host itself knows of the call's way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way<'a> {
    pub(super) crossing: Crossing<'a>,
    /// The number that came in.
    pub(super) asked: &'a str,
    /// The number that goes out.
    pub(super) dialled: &'a str,
    /// A 3xx of the last one tried led here.
    pub(super) redirected: bool,
}

/// Writes the history of the call into the INVITE of an attempt. `tried` are the attempts before.
pub(super) fn put(b: &mut Builder, invite: &Message, way: &Way<'_>, tried: &[Tried<'_>]) {
    let Crossing { from, to, our_host } = way.crossing;
    let rules = to.identity;
    let believed = from.identity.trusted;
    let has = |name| believed && invite.header(name).is_some();
    let (history, diversion) = (has(Name::HistoryInfo), has(Name::Diversion));
    let wanted = rules.history == HistoryForm::HistoryInfo;
    if !rules.forward_history || !(history || diversion || wanted) {
        return;
    }
    let mut steps = if history {
        steps_of(invite)
    } else {
        Vec::new()
    };
    let mut diversions = if diversion {
        diversions_of(invite)
    } else {
        Vec::new()
    };
    match rules.history {
        HistoryForm::AsIs => {}
        HistoryForm::Diversion if !diversion => diversions = to_diversions(&steps),
        HistoryForm::HistoryInfo if !history => steps = to_steps(&diversions, way.asked),
        HistoryForm::Diversion | HistoryForm::HistoryInfo => {}
    }
    let hides = !rules.trusted;
    let all_private = Wishes::of(invite).hides_history();
    if wanted || (history && rules.history == HistoryForm::AsIs) {
        go_on(&mut steps, way, tried);
        for step in steps.iter_mut().take(STEPS_MAX) {
            if hides && (step.private || all_private) {
                step.hide();
            }
            b.header(Name::HistoryInfo, step.print(our_host));
        }
    }
    if rules.history == HistoryForm::Diversion || (diversion && rules.history == HistoryForm::AsIs)
    {
        if way.redirected
            && let Some(by) = tried.last()
        {
            diversions.insert(0, Diversion::redirected(by));
        }
        for diversion in diversions.iter().take(STEPS_MAX) {
            if !hides || !(diversion.private() || all_private) {
                b.header(Name::Diversion, diversion.print(our_host));
            }
        }
    }
}

/// Adds what happened here: the number that came in, each number that was tried, and the one that
/// is dialled (RFC 7044 §10.3).
fn go_on(steps: &mut Vec<Step>, way: &Way<'_>, tried: &[Tried<'_>]) {
    let asked = escape_user(way.asked);
    if steps.last().is_none_or(|s| s.user != asked) {
        let index = steps
            .last()
            .map_or_else(|| "1".to_owned(), |s| format!("{}.1", s.index));
        let how = steps.last().map(|s| format!("rc={}", s.index));
        steps.push(Step {
            user: asked.into_owned(),
            index,
            how,
            ..Step::default()
        });
    }
    let parent = steps.last().map(|s| s.index.clone()).unwrap_or_default();
    let room = STEPS_MAX.saturating_sub(steps.len() + 1);
    for (n, t) in tried.iter().enumerate().take(room) {
        steps.push(Step {
            user: escape_user(t.callee).into_owned(),
            index: format!("{parent}.{}", n + 1),
            how: Some(format!("rc={parent}")),
            reason: Some(format!("SIP%3Bcause%3D{}", t.code)),
            ..Step::default()
        });
    }
    let n = tried.len().min(room);
    let redirected = way.redirected && n > 0;
    let how = match redirected {
        true => format!("mp={parent}.{n}"),
        false => format!("rc={parent}"),
    };
    steps.push(Step {
        user: escape_user(way.dialled).into_owned(),
        index: format!("{parent}.{}", n + 1),
        how: Some(how),
        cause: redirected.then_some(302),
        ..Step::default()
    });
}

// ---- History-Info ----

fn steps_of(invite: &Message) -> Vec<Step> {
    let values = invite.values(Name::HistoryInfo).take(STEPS_MAX);
    values.filter_map(Step::read).collect()
}

impl Step {
    /// Reads one value; `None` if it is none, names nobody, or has no place in the order.
    fn read(value: &[u8]) -> Option<Step> {
        let address = NameAddr::parse(value).ok()?;
        let index = address.params.get("index")??;
        let is_index =
            |s: &str| s.len() <= 64 && s.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let (uri, headers) = match address.uri.split_once('?') {
            Some((uri, headers)) => (uri, headers),
            None => (address.uri, ""),
        };
        let uri = Uri::parse(uri).ok()?;
        let header = |name: &str| {
            let fields = headers.split('&').filter_map(|f| f.split_once('='));
            let mut same = fields.filter(|(n, _)| n.eq_ignore_ascii_case(name));
            same.next().map(|(_, value)| value)
        };
        let how = ["rc", "mp", "np"].iter().find_map(|how| {
            let from = address.params.get(how)?.filter(|from| is_index(from))?;
            Some(format!("{how}={from}"))
        });
        Some(Step {
            display: address.display.map(|d| d.into_owned()),
            user: who(&uri)?.to_owned(),
            tel: uri.scheme == Scheme::Tel,
            index: Some(index).filter(|i| is_index(i))?.to_owned(),
            how,
            cause: uri
                .params
                .get("cause")
                .flatten()
                .and_then(|c| c.parse().ok()),
            reason: header("Reason").map(str::to_owned),
            private: header("Privacy").is_some_and(|p| !p.eq_ignore_ascii_case("none")),
        })
    }

    fn hide(&mut self) {
        let index = std::mem::take(&mut self.index);
        *self = Step {
            index,
            how: self.how.take(),
            cause: self.cause,
            reason: self.reason.take(),
            private: true,
            ..Step::default()
        };
    }

    fn print(&self, our_host: &str) -> String {
        let mut uri = match (self.tel, &*self.user) {
            (_, "") => "sip:anonymous@anonymous.invalid".to_owned(),
            (true, number) => format!("tel:{number}"),
            (false, user) => format!("sip:{user}@{our_host}"),
        };
        // Writing to a String cannot fail.
        if let Some(cause) = self.cause {
            let _ = write!(uri, ";cause={cause}");
        }
        let privacy = (self.private && !self.user.is_empty()).then_some("history");
        let headers = [("Reason", self.reason.as_deref()), ("Privacy", privacy)];
        let mut mark = '?';
        for (name, value) in headers {
            if let Some(value) = value {
                let _ = write!(uri, "{mark}{name}={value}");
                mark = '&';
            }
        }
        let mut text = name_addr(self.display.as_deref(), &uri);
        let _ = write!(text, ";index={}", self.index);
        if let Some(how) = &self.how {
            let _ = write!(text, ";{how}");
        }
        text
    }
}

/// The user part or number of a URI that names somebody.
fn who<'a>(uri: &Uri<'a>) -> Option<&'a str> {
    match uri.scheme {
        Scheme::Sip | Scheme::Sips | Scheme::Tel => uri.user,
        Scheme::Other => None,
    }
}

// ---- Diversion ----

/// One diversion: who sent the call on, and why.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Diversion {
    display: Option<String>,
    /// Still escaped.
    user: String,
    tel: bool,
    /// Parameters as they came: reason, counter, privacy, screen.
    params: Vec<(String, String)>,
}

fn diversions_of(invite: &Message) -> Vec<Diversion> {
    let values = invite.values(Name::Diversion).take(STEPS_MAX);
    values.filter_map(Diversion::read).collect()
}

impl Diversion {
    fn read(value: &[u8]) -> Option<Diversion> {
        const KNOWN: [&str; 5] = ["reason", "counter", "limit", "privacy", "screen"];
        let address = NameAddr::parse(value).ok()?;
        let uri = address.uri().ok()?;
        let known = |name: &str| KNOWN.iter().any(|k| k.eq_ignore_ascii_case(name));
        let params = address.params.iter().filter(|(name, _)| known(name));
        Some(Diversion {
            display: address.display.as_deref().map(str::to_owned),
            user: who(&uri)?.to_owned(),
            tel: uri.scheme == Scheme::Tel,
            params: params
                .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
                .collect(),
        })
    }

    fn redirected(by: &Tried<'_>) -> Diversion {
        Diversion {
            user: escape_user(by.callee).into_owned(),
            params: vec![
                ("reason".to_owned(), "unconditional".to_owned()),
                ("counter".to_owned(), "1".to_owned()),
            ],
            ..Diversion::default()
        }
    }

    fn param(&self, name: &str) -> Option<String> {
        let (_, value) = self
            .params
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        Some(unquote(value.as_bytes()).to_ascii_lowercase())
    }

    fn private(&self) -> bool {
        self.param("privacy").is_some_and(|p| p != "off")
    }

    fn print(&self, our_host: &str) -> String {
        let uri = match self.tel {
            true => format!("tel:{}", self.user),
            false => format!("sip:{}@{our_host}", self.user),
        };
        let mut text = name_addr(self.display.as_deref(), &uri);
        for (name, value) in &self.params {
            // Writing to a String cannot fail.
            let _ = write!(text, ";{name}={value}");
        }
        text
    }
}

// ---- one made of the other ----

/// Reason of a diversion and the cause that stands for it (RFC 7544 §7.1).
const REASONS: [(&str, u16); 12] = [
    ("unknown", 404),
    ("unconditional", 302),
    ("user-busy", 486),
    ("no-answer", 408),
    ("deflection", 480),
    ("deflection", 487),
    ("unavailable", 503),
    ("time-of-day", 404),
    ("do-not-disturb", 404),
    ("follow-me", 404),
    ("out-of-service", 404),
    ("away", 404),
];

/// RFC 7544 §7.1: the oldest diversion is the first step; each next target was reached for the
/// reason of the one before. The last one is `asked`.
fn to_steps(diversions: &[Diversion], asked: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut cause = None;
    for d in diversions.iter().rev() {
        steps.push(Step {
            display: d.display.clone(),
            user: d.user.clone(),
            tel: d.tel,
            private: d.private(),
            ..next_step(&steps, cause)
        });
        let reason = d.param("reason").unwrap_or_default();
        let same = REASONS.iter().find(|(word, _)| *word == reason);
        cause = Some(same.map_or(404, |(_, cause)| *cause));
    }
    if cause.is_some() {
        steps.push(Step {
            user: escape_user(asked).into_owned(),
            ..next_step(&steps, cause)
        });
    }
    steps
}

fn next_step(steps: &[Step], cause: Option<u16>) -> Step {
    let last = steps.last();
    Step {
        index: last.map_or_else(|| "1".to_owned(), |s| format!("{}.1", s.index)),
        how: last.map(|s| format!("mp={}", s.index)),
        cause,
        ..Step::default()
    }
}

/// RFC 7544 §7.2: each step that has a cause was diverted by the one that it came from; the most
/// recent first.
fn to_diversions(steps: &[Step]) -> Vec<Diversion> {
    let mut found = Vec::new();
    for (n, step) in steps.iter().enumerate() {
        let Some(cause) = step.cause else { continue };
        let origin = step.how.as_deref().and_then(|how| how.split_once('='));
        let named = origin.and_then(|(_, index)| steps[..n].iter().find(|s| s.index == index));
        let Some(by) = named.or_else(|| n.checked_sub(1).map(|before| &steps[before])) else {
            continue;
        };
        let word = REASONS.iter().find(|(_, code)| *code == cause);
        let privacy = if by.private { "full" } else { "off" };
        let params = [
            ("reason", word.map_or("unknown", |(word, _)| *word)),
            ("counter", "1"),
            ("privacy", privacy),
        ];
        found.push(Diversion {
            display: by.display.clone(),
            user: by.user.clone(),
            tel: by.tel,
            params: params.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
        });
    }
    found.reverse();
    found
}

#[cfg(test)]
mod tests;
