//! One attempt: a candidate being tried, its own dialog, its own INVITE.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use intertrunk_sip::escape_user;

use super::early::EarlyDialogs;
use super::leg::Leg;
use super::reason::Because;
use crate::ask::{Candidate, Param, Party, Privacy, Query, Scheme};
use crate::core::Core;
use crate::target::{Mark, Target};
use crate::time::Instant;
use crate::transaction::ClientKey;
use crate::trunk::{Peer, Trunk};

/// The n-th attempt of a call, counted from 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct AttemptId(pub(crate) u8);

/// When a candidate has its turn; those of equal order ring together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Order {
    /// The question that its plan answers: plans do not mix.
    pub(crate) ask: u8,
    /// Trunks that are not well come after all others.
    pub(crate) last: u8,
    pub(crate) group: u8,
    /// The target's place among those of its trunk.
    pub(crate) target: u8,
}

/// A candidate with one target of a peer, waiting for its turn.
#[derive(Clone, Debug)]
pub(crate) struct Try {
    pub(crate) candidate: Arc<Candidate>,
    pub(crate) trunk: Arc<Trunk>,
    pub(crate) peer: Peer,
    /// Its address; none while the peer's name has none.
    pub(crate) target: Option<Target>,
    pub(crate) order: Order,
}

/// How far an attempt has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AttemptState {
    /// INVITE sent, nothing but 100 came back.
    Calling,
    /// 101 to 199 came back.
    Ringing,
    /// Given up, but CANCEL has to wait for a first answer (RFC 3261 §9.1).
    CancelWaits,
    /// CANCEL sent, final answer awaited.
    Cancelled,
    /// Its 2xx made the call.
    Won,
    /// Its 2xx made the call; since then it has hung up, or another has its place.
    Left,
    /// Finished without making the call.
    Over,
}

/// An attempt.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) leg: Leg,
    pub(crate) candidate: Arc<Candidate>,
    pub(crate) order: Order,
    pub(crate) peer: SocketAddr,
    /// The target's, for all calls.
    pub(crate) mark: Arc<Mark>,
    pub(crate) state: AttemptState,
    pub(crate) client: Option<ClientKey>,
    /// CSeq of its INVITE.
    pub(crate) invite_cseq: u32,
    /// Its first INVITE was refused for its session timer; this is the second.
    pub(crate) asked_again: bool,
    /// A provisional answer came, 100 included.
    pub(crate) answered_at_all: bool,
    /// A provisional answer other than 100 came.
    pub(crate) progressed: bool,
    pub(crate) started: Instant,
    pub(crate) pdd_ms: Option<u32>,
    /// No 18x by then: next candidate.
    pub(crate) no_progress_at: Option<Instant>,
    /// No final answer by then: next candidate.
    pub(crate) ring_until: Option<Instant>,
    /// No final answer to a cancelled attempt by then: forget it.
    pub(crate) cancel_until: Option<Instant>,
    /// One for each To tag of its provisional answers.
    pub(super) early: EarlyDialogs,
    /// 2xx dialogs that lost: acknowledged, then ended.
    pub(crate) losers: Vec<Leg2xx>,
    /// Code that it ended with, 0 before.
    pub(super) code: u16,
    /// What its CANCEL will say.
    pub(super) why: Because,
}

/// A 2xx that did not make the call.
#[derive(Debug)]
pub(crate) struct Leg2xx {
    pub(crate) remote_tag: Box<[u8]>,
    pub(crate) ack: Bytes,
    pub(crate) flow: crate::io::Flow,
}

impl Attempt {
    /// A leg that came in to take another one's place.
    pub(crate) fn came_in(leg: Leg, now: Instant) -> Attempt {
        Attempt {
            peer: leg.dialog.flow().remote,
            leg,
            candidate: Arc::default(),
            order: Order {
                ask: 0,
                last: 0,
                group: 0,
                target: 0,
            },
            mark: Arc::default(),
            state: AttemptState::Won,
            client: None,
            answered_at_all: true,
            progressed: true,
            started: now,
            pdd_ms: None,
            no_progress_at: None,
            ring_until: None,
            cancel_until: None,
            early: EarlyDialogs::default(),
            invite_cseq: 0,
            asked_again: false,
            losers: Vec::new(),
            code: 200,
            why: Because::Unsaid,
        }
    }

    /// Whether it may still make the call.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.state, AttemptState::Calling | AttemptState::Ringing)
    }

    /// When this attempt has to be looked at next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let own = match self.state {
            AttemptState::Calling => self.no_progress_at.into_iter().chain(self.ring_until).min(),
            AttemptState::Ringing => self.ring_until,
            AttemptState::CancelWaits | AttemptState::Cancelled => self.cancel_until,
            AttemptState::Won | AttemptState::Left | AttemptState::Over => None,
        };
        own.into_iter().chain(self.leg.deadline()).min()
    }

    pub(crate) fn start_timers(&mut self, core: &Core) {
        let ms = |ms: u32| Duration::from_millis(u64::from(ms));
        let no_progress = self
            .candidate
            .no_progress_ms
            .map_or(self.leg.trunk.no_progress, ms);
        let ring = self.candidate.ring_ms.map_or(core.snapshot.timers.ring, ms);
        self.no_progress_at = Some(core.now + no_progress);
        self.ring_until = Some(core.now + ring);
    }
}

/// What an attempt sends as numbers and names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dialled {
    /// Request-URI.
    pub request_uri: String,
    /// To, without tag.
    pub to: String,
    /// From, without tag.
    pub from: String,
    /// P-Asserted-Identity, if it is sent.
    pub asserted: Option<String>,
    /// Whether the caller is not shown to this trunk.
    pub anonymous: bool,
    /// Whether `Privacy: id` is asked for in the policy's name.
    pub privacy_id: bool,
    /// Called number or user, unescaped.
    pub callee: String,
    /// Calling number or user, unescaped.
    pub caller: String,
}

impl Dialled {
    /// The numbers and names of a candidate: translated where it says so, as received elsewhere;
    /// hosts are the peer's and ours, never those of the calling side.
    pub fn of(
        candidate: &Candidate,
        query: &Query,
        egress: &Trunk,
        peer: &Peer,
        our_host: &str,
    ) -> Dialled {
        let call = &query.call;
        let callee = candidate.callee.as_ref().unwrap_or(&call.callee.user);
        let is_phone = call.request_uri.scheme == Scheme::Tel
            || call.request_uri.params.iter().any(is_user_phone);
        let request_uri = match candidate.callee {
            // An emergency service stays one until the policy gives it a number (RFC 6881 §9.2).
            None if call.emergency && call.request_uri.scheme == Scheme::Other => callee.clone(),
            _ => uri_of_peer(callee, peer, is_phone),
        };
        let rules = egress.identity;
        let anonymous =
            candidate.withhold_caller || (call.privacy != Privacy::None && !rules.trusted);
        let (from, caller) = from(candidate, &call.caller, anonymous, our_host);
        let secret = candidate.withhold_caller || call.privacy == Privacy::Full;
        let may_assert = rules.forward_pai && (!secret || rules.trusted);
        let replaced = candidate
            .caller
            .as_ref()
            .map(|i| (&i.user, i.display.as_deref()));
        let asserted = call
            .asserted
            .first()
            .map(|p| (&p.user, p.display.as_deref()));
        let asserted = asserted.and(replaced).or(asserted).filter(|_| may_assert);
        Dialled {
            to: format!("<{request_uri}>"),
            request_uri,
            from,
            asserted: asserted.map(|(user, display)| name_addr(display, &uri(user, our_host))),
            anonymous,
            privacy_id: candidate.withhold_caller,
            callee: callee.clone(),
            caller,
        }
    }
}

fn from(
    candidate: &Candidate,
    caller: &Party,
    anonymous: bool,
    our_host: &str,
) -> (String, String) {
    const ANONYMOUS: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";
    if anonymous {
        return (ANONYMOUS.to_owned(), "anonymous".to_owned());
    }
    match &candidate.caller {
        Some(identity) => {
            let uri = uri(&identity.user, our_host);
            (
                name_addr(identity.display.as_deref(), &uri),
                identity.user.clone(),
            )
        }
        None if caller.host.eq_ignore_ascii_case("anonymous.invalid") => {
            (ANONYMOUS.to_owned(), caller.user.clone())
        }
        None => {
            let uri = uri(&caller.user, our_host);
            (
                name_addr(caller.display.as_deref(), &uri),
                caller.user.clone(),
            )
        }
    }
}

/// `user=phone`: the user part is a telephone number (RFC 3261 §19.1.1).
fn is_user_phone(param: &Param) -> bool {
    let is = |text: &str, what: &str| text.eq_ignore_ascii_case(what);
    is(&param.name, "user") && param.value.as_deref().is_some_and(|v| is(v, "phone"))
}

fn uri(user: &str, host_port: &str) -> String {
    let user: Cow<'_, str> = escape_user(user);
    let at = if user.is_empty() { "" } else { "@" };
    format!("sip:{user}{at}{host_port}")
}

/// As [`uri`], in the scheme and with the transport that the peer is configured with.
fn uri_of_peer(user: &str, peer: &Peer, is_phone: bool) -> String {
    let phone = if is_phone { ";user=phone" } else { "" };
    let (s, transport) = match peer.secure {
        true => ("s", ""),
        false => ("", peer.transport.as_uri_param()),
    };
    let uri = uri(user, &peer.host_port);
    let rest = uri.trim_start_matches("sip");
    format!("sip{s}{rest}{transport}{phone}")
}

pub(super) fn name_addr(display: Option<&str>, uri: &str) -> String {
    let mut text = String::with_capacity(uri.len() + 8);
    if let Some(display) = display {
        text.push('"');
        for c in display.chars().filter(|c| !c.is_control()) {
            if matches!(c, '"' | '\\') {
                text.push('\\');
            }
            text.push(c);
        }
        text.push_str("\" ");
    }
    // Writing to a String cannot fail.
    let _ = write!(text, "<{uri}>");
    text
}

#[cfg(test)]
mod tests {
    use super::Dialled;
    use crate::ask::{CallFacts, Candidate, Identity, Param, Party, Privacy, Query, Scheme};
    use crate::trunk::tests::trunk;
    use crate::trunk::{IdentityRules, Peer};

    fn party(user: &str, host: &str, display: Option<&str>) -> Party {
        Party {
            display: display.map(str::to_owned),
            user: user.to_owned(),
            host: host.to_owned(),
            ..Party::default()
        }
    }

    /// 0100 of a PBX, which asserts +14255550100, calls 9911.
    fn facts() -> CallFacts {
        CallFacts {
            request_uri: party("9911", "inside.example", None),
            callee: party("9911", "inside.example", Some("Desk")),
            caller: party("0100", "pbx.inside.example", Some("A \"B\"")),
            asserted: vec![
                party("+14255550100", "inside.example", Some("Main")),
                party("7", "inside.example", None),
            ],
            ..CallFacts::default()
        }
    }

    fn dial_to(rules: IdentityRules, candidate: &Candidate, call: CallFacts) -> Dialled {
        let mut egress = trunk(1, "gw", Vec::new());
        egress.identity = rules;
        let peer = Peer {
            host_port: "gw.example.com:5070".into(),
            ..Peer::at("192.0.2.11:5070".parse().expect("a literal"))
        };
        let query = Query {
            call,
            ..Query::default()
        };
        Dialled::of(candidate, &query, &egress, &peer, "sbc.example.com")
    }

    fn dial(candidate: &Candidate, call: CallFacts) -> Dialled {
        dial_to(IdentityRules::default(), candidate, call)
    }

    fn presents(user: &str, display: Option<&str>) -> Candidate {
        Candidate {
            caller: Some(Identity {
                user: user.to_owned(),
                display: display.map(str::to_owned),
            }),
            ..Candidate::default()
        }
    }

    fn withheld() -> Candidate {
        Candidate {
            withhold_caller: true,
            ..presents("+1206", None)
        }
    }

    #[test]
    fn numbers_pass_as_received_and_hosts_never() {
        let d = dial(&Candidate::default(), facts());
        let expected = Dialled {
            request_uri: "sip:9911@gw.example.com:5070".to_owned(),
            to: "<sip:9911@gw.example.com:5070>".to_owned(),
            from: r#""A \"B\"" <sip:0100@sbc.example.com>"#.to_owned(),
            asserted: Some("\"Main\" <sip:+14255550100@sbc.example.com>".to_owned()),
            anonymous: false,
            privacy_id: false,
            callee: "9911".to_owned(),
            caller: "0100".to_owned(),
        };
        assert_eq!(d, expected);
    }

    #[test]
    fn numbers_are_translated_where_the_candidate_says_so() {
        let candidate = Candidate {
            callee: Some("+1 206#".to_owned()),
            ..presents("+1425", Some("Front\r\nDesk"))
        };
        let d = dial(&candidate, facts());
        assert_eq!(d.request_uri, "sip:+1%20206%23@gw.example.com:5070");
        assert_eq!(d.to, format!("<{}>", d.request_uri));
        assert_eq!(d.from, "\"FrontDesk\" <sip:+1425@sbc.example.com>");
        let asserted = d.asserted.as_deref();
        assert_eq!(asserted, Some(&*d.from), "what it presents it asserts");
        assert_eq!((&*d.callee, &*d.caller), ("+1 206#", "+1425"));
        let d = dial(&presents("+1425", None), facts());
        assert_eq!(d.from, "<sip:+1425@sbc.example.com>");
    }

    #[test]
    fn a_caller_without_a_number_is_a_host() {
        let call = CallFacts {
            caller: party("", "pbx", None),
            ..facts()
        };
        let d = dial(&Candidate::default(), call);
        assert_eq!(d.from, "<sip:sbc.example.com>");
    }

    #[test]
    fn a_withheld_caller_is_named_to_a_trusted_trunk_only() {
        const ANONYMOUS: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";
        let d = dial(&withheld(), facts());
        assert_eq!((&*d.from, &*d.caller), (ANONYMOUS, "anonymous"));
        assert!(d.privacy_id);
        let asserted = "<sip:+1206@sbc.example.com>";
        assert_eq!(d.asserted.as_deref(), Some(asserted));
        let untrusted = IdentityRules {
            trusted: false,
            ..IdentityRules::default()
        };
        let d = dial_to(untrusted, &withheld(), facts());
        assert_eq!(
            (&*d.from, d.asserted, d.privacy_id),
            (ANONYMOUS, None, true)
        );
        let d = dial_to(untrusted, &Candidate::default(), facts());
        assert!(d.asserted.is_some(), "who hides nothing is named");
    }

    #[test]
    fn an_anonymous_caller_stays_so() {
        let call = CallFacts {
            caller: party("anonymous", "Anonymous.Invalid", None),
            privacy: Privacy::Full,
            ..facts()
        };
        let d = dial(&Candidate::default(), call.clone());
        assert_eq!(d.from, "\"Anonymous\" <sip:anonymous@anonymous.invalid>");
        assert!(!d.privacy_id, "its own Privacy passes");
        assert!(d.asserted.is_some());
        let untrusted = IdentityRules {
            trusted: false,
            ..IdentityRules::default()
        };
        let d = dial_to(untrusted, &Candidate::default(), call.clone());
        assert_eq!(d.asserted, None);
        let d = dial(&presents("+1425", None), call);
        assert_eq!(d.from, "<sip:+1425@sbc.example.com>", "unless presented");
        let call = CallFacts {
            privacy: Privacy::User,
            ..facts()
        };
        let d = dial_to(untrusted, &Candidate::default(), call);
        assert!(d.asserted.is_some(), "RFC 3325 §9.3: only id withholds it");
    }

    #[test]
    fn nothing_is_asserted_that_was_not_or_that_the_trunk_must_not_have() {
        let stranger = CallFacts {
            asserted: Vec::new(),
            ..facts()
        };
        for candidate in [Candidate::default(), presents("+1425", None), withheld()] {
            let d = dial(&candidate, stranger.clone());
            assert_eq!(d.asserted, None, "nobody vouched for it");
            let no_pai = IdentityRules {
                forward_pai: false,
                ..IdentityRules::default()
            };
            assert_eq!(dial_to(no_pai, &candidate, facts()).asserted, None);
        }
    }

    /// N6: a telephone number stays one.
    #[test]
    fn a_telephone_number_stays_one() {
        let dialled = |scheme, name: &str, value: Option<&str>| {
            let mut call = facts();
            call.request_uri.scheme = scheme;
            call.request_uri.params = vec![Param {
                name: name.to_owned(),
                value: value.map(str::to_owned),
            }];
            let d = dial(&Candidate::default(), call);
            assert!(!d.from.contains("phone"), "it says nothing of the caller");
            d.request_uri.ends_with(";user=phone")
        };
        assert!(dialled(Scheme::Tel, "isub", None));
        assert!(dialled(Scheme::Sip, "user", Some("phone")));
        assert!(dialled(Scheme::Sip, "User", Some("Phone")));
        assert!(!dialled(Scheme::Sip, "user", Some("ip")));
        assert!(!dialled(Scheme::Sip, "user", None));
        assert!(!dialled(Scheme::Sip, "device", Some("phone")));
    }
}
