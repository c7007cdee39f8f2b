//! The session timer of one dialog (RFC 4028): what the two ends agree on, and when who has to act.
//!
//! ```text
//!   2xx with Session-Expires --> Running --refresh by either end--> Running
//!                                   |  |
//!            half the interval: our refresh is due, if it is ours
//!                                   |
//!            the end (less min(32 s, a third), if the refresh is theirs): BYE
//! ```
//! It decides nothing about requests under way and sends nothing: `call::refresh` does.

use std::time::Duration;

use intertrunk_sip::{Builder, Message, Name};

use crate::time::Instant;
use crate::transaction::ClientKey;
use crate::trunk::Extensions;

/// A timer that both ends have agreed on, or that we keep alone.
#[derive(Debug)]
pub(crate) struct SessionTimer {
    interval_s: u32,
    we_refresh: bool,
    refresh_at: Option<Instant>,
    expires_at: Instant,
    /// The peer takes UPDATE; otherwise a refresh is a re-INVITE.
    pub(crate) peer_updates: bool,
    pub(crate) refreshing: Refreshing,
    /// CSeq of our latest refresh.
    pub(crate) cseq: u32,
}

/// Our refresh under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refreshing {
    No,
    Update,
    /// An INVITE transaction has no end of its own once a 1xx has come: ours is `until`.
    Invite {
        client: ClientKey,
        until: Instant,
    },
}

/// What is to be done now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Due {
    Nothing,
    Refresh,
    /// Our refreshing re-INVITE has waited long enough.
    GiveUp(ClientKey),
    /// Nobody has refreshed the session in time.
    End,
}

/// What the two ends have settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Terms {
    pub(crate) interval_s: u32,
    pub(crate) we_refresh: bool,
    /// The peer knows session timers, and may be told so with Require.
    pub(crate) peer_knows: bool,
}

impl SessionTimer {
    /// Begins, or goes on after a refresh, with these terms; what is known of the peer stays.
    pub(crate) fn run(
        before: Option<Box<SessionTimer>>,
        terms: Terms,
        peer_updates: Option<bool>,
        now: Instant,
    ) -> Box<SessionTimer> {
        let mut timer = before.unwrap_or_else(|| {
            Box::new(SessionTimer {
                interval_s: 0,
                we_refresh: false,
                refresh_at: None,
                expires_at: now,
                peer_updates: false,
                refreshing: Refreshing::No,
                cseq: 0,
            })
        });
        timer.peer_updates = peer_updates.unwrap_or(timer.peer_updates);
        let interval = seconds(terms.interval_s);
        timer.interval_s = terms.interval_s;
        timer.we_refresh = terms.we_refresh;
        // RFC 4028 §10
        let early = match terms.we_refresh {
            true => Duration::ZERO,
            false => (interval / 3).min(seconds(32)),
        };
        timer.expires_at = now + (interval - early);
        timer.refresh_at = terms.we_refresh.then(|| now + interval / 2);
        timer
    }

    /// When it has to be looked at next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let ours = match self.refreshing {
            Refreshing::No => self.refresh_at,
            Refreshing::Update => None,
            Refreshing::Invite { until, .. } => Some(until),
        };
        Some(ours.map_or(self.expires_at, |at| at.min(self.expires_at)))
    }

    /// What is due by now.
    pub(crate) fn due(&self, now: Instant) -> Due {
        match self.refreshing {
            _ if self.expires_at <= now => Due::End,
            Refreshing::Invite { client, until } if until <= now => Due::GiveUp(client),
            Refreshing::No if self.refresh_at.is_some_and(|at| at <= now) => Due::Refresh,
            Refreshing::No | Refreshing::Update | Refreshing::Invite { .. } => Due::Nothing,
        }
    }

    /// The refresh cannot be made at present, or was refused: again so much later.
    pub(crate) fn postpone(&mut self, now: Instant, by: Duration) {
        self.refreshing = Refreshing::No;
        self.refresh_at = self.refresh_at.map(|_| now + by);
    }
}

/// Whether a request asks for less than we put up with; only who knows session timers is told so
/// (RFC 4028 §9).
pub(crate) fn is_too_small(request: &Message, rules: &Extensions) -> bool {
    knows(request)
        && request
            .u32_header(Name::SessionExpires)
            .is_some_and(|s| s < rules.min_se_s)
}

/// The terms of our 2xx to a request (RFC 4028 §9, table 2); `None`: no timer.
pub(crate) fn terms_for(request: &Message, rules: &Extensions) -> Option<Terms> {
    let peer_knows = knows(request);
    let asked = request.u32_header(Name::SessionExpires);
    let least = request.u32_header(Name::MinSe).unwrap_or(0);
    let least = least.max(rules.min_se_s);
    let interval_s = match (asked, rules.session_timer_s) {
        (Some(theirs), Some(ours)) => theirs.min(ours).max(least),
        // Who does not know timers asked through a proxy, which lives with what we put up with.
        (Some(theirs), None) => theirs.max(rules.min_se_s),
        (None, Some(ours)) => ours.max(least),
        (None, None) => return None,
    };
    let theirs = peer_knows && refresher(request) != Some(Refresher::Uas);
    Some(Terms {
        interval_s,
        we_refresh: !theirs,
        peer_knows,
    })
}

/// The terms that a 2xx to our request sets (RFC 4028 §7.2). A peer that sets none is refreshed by
/// us alone, where the configuration wants a timer.
pub(crate) fn terms_in(answer: &Message, rules: &Extensions) -> Option<Terms> {
    match answer.u32_header(Name::SessionExpires) {
        Some(interval_s) => Some(Terms {
            // A peer must not make us refresh all the time.
            interval_s: interval_s.max(LEAST_S),
            we_refresh: refresher(answer) != Some(Refresher::Uas),
            peer_knows: true,
        }),
        None => rules.session_timer_s.map(|interval_s| Terms {
            interval_s,
            we_refresh: true,
            peer_knows: false,
        }),
    }
}

/// RFC 4028 §5: no interval is shorter.
const LEAST_S: u32 = 90;

/// Writes what we ask for in a request: what runs already, else what the configuration wants.
pub(crate) fn print_request(b: &mut Builder, running: Option<&SessionTimer>, rules: &Extensions) {
    match (running, rules.session_timer_s) {
        (Some(timer), _) => {
            let who = if timer.we_refresh { "uac" } else { "uas" };
            let value = format_args!("{};refresher={who}", timer.interval_s);
            b.header_fmt(Name::SessionExpires, value);
        }
        (None, Some(interval_s)) => {
            b.header_fmt(Name::SessionExpires, format_args!("{interval_s}"));
        }
        (None, None) => {}
    }
}

/// Writes the terms into our 2xx.
pub(crate) fn print_answer(b: &mut Builder, terms: Terms) {
    let who = if terms.we_refresh { "uas" } else { "uac" };
    let value = format_args!("{};refresher={who}", terms.interval_s);
    b.header_fmt(Name::SessionExpires, value);
    if terms.peer_knows {
        b.header(Name::Require, "timer");
    }
}

/// Whether the sender takes UPDATE; unknown if it does not say what it takes.
pub(crate) fn takes_update(message: &Message) -> Option<bool> {
    message.header(Name::Allow)?;
    let mut methods = message.values(Name::Allow);
    Some(methods.any(|m| m == b"UPDATE"))
}

/// Whether the sender of a request knows session timers.
fn knows(request: &Message) -> bool {
    let tags = request
        .values(Name::Supported)
        .chain(request.values(Name::Require));
    tags.into_iter().any(|t| t.eq_ignore_ascii_case(b"timer"))
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refresher {
    Uac,
    Uas,
}

fn refresher(message: &Message) -> Option<Refresher> {
    let value = std::str::from_utf8(message.header(Name::SessionExpires)?).ok()?;
    let params = value.split(';').skip(1).filter_map(|p| p.split_once('='));
    params
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("refresher"))
        .find_map(|(_, who)| match who.trim() {
            who if who.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
            who if who.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
            _ => None,
        })
}

fn seconds(s: u32) -> Duration {
    Duration::from_secs(u64::from(s))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use intertrunk_sip::Message;

    use super::{Due, Refreshing, SessionTimer, Terms, is_too_small, terms_for, terms_in};
    use crate::time::Instant;
    use crate::trunk::Extensions;

    fn message(start: &str, lines: &str) -> Message {
        let text = format!(
            "{start}\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
             From: <sip:2@x>;tag=a\r\nTo: <sip:1@x>;tag=b\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\
             {lines}Content-Length: 0\r\n\r\n"
        );
        Message::parse(Bytes::from(text)).expect("a legal message")
    }

    fn request(lines: &str) -> Message {
        message("INVITE sip:1@x SIP/2.0", lines)
    }

    fn rules(session_timer_s: Option<u32>) -> Extensions {
        Extensions {
            session_timer_s,
            min_se_s: 120,
            ..Extensions::default()
        }
    }

    fn terms(interval_s: u32, we_refresh: bool, peer_knows: bool) -> Option<Terms> {
        Some(Terms {
            interval_s,
            we_refresh,
            peer_knows,
        })
    }

    /// RFC 4028 §9, table 2
    #[test]
    fn we_answer_as_the_caller_can_and_wants() {
        const KNOWS: &str = "Supported: 100rel, timer\r\n";
        let off = |lines: &str| terms_for(&request(lines), &rules(None));
        let on = |lines: &str| terms_for(&request(lines), &rules(Some(1800)));
        assert_eq!(off(""), None);
        assert_eq!(off(KNOWS), None, "nobody asks");
        let x = |expires: &str| format!("{KNOWS}Session-Expires: {expires}\r\n");
        assert_eq!(off(&x("600")), terms(600, false, true));
        assert_eq!(off(&x("600;refresher=uac")), terms(600, false, true));
        assert_eq!(off(&x("600 ; Refresher = UAS")), terms(600, true, true));
        let by_proxy = "x: 600;refresher=uac\r\n";
        assert_eq!(off(by_proxy), terms(600, true, false));
        assert_eq!(off("x: 60\r\n"), terms(120, true, false));
        assert_eq!(on(""), terms(1800, true, false));
        assert_eq!(on(KNOWS), terms(1800, false, true));
        assert_eq!(on(&x("600")), terms(600, false, true));
        assert_eq!(on(&x("7200")), terms(1800, false, true), "ours is shorter");
        let least = format!("{}Min-SE: 3600\r\n", x("7200"));
        assert_eq!(on(&least), terms(3600, false, true));
    }

    #[test]
    fn only_who_knows_timers_is_refused_one() {
        let small = |lines: &str| is_too_small(&request(lines), &rules(None));
        assert!(small("Supported: timer\r\nSession-Expires: 119\r\n"));
        assert!(small("Require: timer\r\nSession-Expires: 90\r\n"));
        assert!(!small("Supported: timer\r\nSession-Expires: 120\r\n"));
        assert!(!small("Supported: timer\r\n") && !small("Session-Expires: 90\r\n"));
    }

    /// RFC 4028 §7.2
    #[test]
    fn the_answer_says_who_refreshes() {
        let in_ok = |lines: &str, ours| {
            let ok = message("SIP/2.0 200 OK", lines);
            terms_in(&ok, &rules(ours))
        };
        assert_eq!(in_ok("", None), None);
        assert_eq!(in_ok("", Some(1800)), terms(1800, true, false), "alone");
        let ok = in_ok("Session-Expires: 600;refresher=uas\r\n", None);
        assert_eq!(ok, terms(600, false, true));
        let ok = in_ok("Session-Expires: 600;refresher=uac\r\n", None);
        assert_eq!(ok, terms(600, true, true));
        let ok = in_ok("Session-Expires: 1\r\n", Some(1800));
        assert_eq!(ok, terms(90, true, true));
    }

    /// RFC 4028 §10
    #[test]
    fn who_refreshes_acts_at_half_time_and_who_waits_just_before_the_end() {
        let at = |s: u64| Instant::from_micros(s * 1_000_000);
        let run = |terms: Option<Terms>| {
            SessionTimer::run(None, terms.expect("given"), Some(true), at(1_000))
        };
        let mut ours = run(terms(600, true, true));
        assert_eq!(ours.deadline(), Some(at(1_300)));
        assert_eq!(ours.due(at(1_299)), Due::Nothing);
        assert_eq!(ours.due(at(1_300)), Due::Refresh);
        ours.refreshing = Refreshing::Update;
        assert_eq!(ours.due(at(1_300)), Due::Nothing);
        assert_eq!(ours.deadline(), Some(at(1_600)));
        assert_eq!(ours.due(at(1_600)), Due::End);
        ours.postpone(at(1_300), Duration::from_secs(10));
        assert_eq!(ours.deadline(), Some(at(1_310)));
        let ours = SessionTimer::run(
            Some(ours),
            terms(600, true, true).expect("given"),
            None,
            at(1_310),
        );
        assert!(ours.peer_updates, "what is known stays");
        let theirs = run(terms(600, false, true));
        assert_eq!(theirs.deadline(), Some(at(1_568)));
        assert_eq!(theirs.due(at(1_567)), Due::Nothing);
        assert_eq!(theirs.due(at(1_568)), Due::End);
        let short = run(terms(90, false, true));
        assert_eq!(short.deadline(), Some(at(1_060)), "a third of 90 s");
    }
}
