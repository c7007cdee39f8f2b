//! The question put to a policy and its answer, as plain data.
//!
//! These types mirror the WIT package in `wit/`; the policy room converts between the two in one
//! file. Nothing here knows Wasm.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::looked_up::LookedUp;
use crate::meter::Price;

/// A URI or header parameter; `None` for a flag without a value.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Param {
    /// Name, as written by the peer.
    pub name: String,
    /// Value, unquoted.
    pub value: Option<String>,
}

/// One header line, name and value.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct HeaderField {
    /// Header name.
    pub name: String,
    /// Value, unfolded and trimmed.
    pub value: String,
}

/// Scheme of a party's URI.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Scheme {
    /// `sip:`
    #[default]
    Sip,
    /// `sips:`
    Sips,
    /// `tel:` (RFC 3966)
    Tel,
    /// Anything else.
    Other,
}

/// A SIP or tel URI with its display name. `user` is unescaped, `host` empty for `tel:`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Party {
    /// Display name, unquoted.
    pub display: Option<String>,
    /// URI scheme.
    pub scheme: Scheme,
    /// User part or telephone number, unescaped.
    pub user: String,
    /// Host, with port if it was given.
    pub host: String,
    /// URI parameters.
    pub params: Vec<Param>,
}

/// The caller's wish for privacy (RFC 3323, RFC 3325).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Privacy {
    /// Nothing withheld.
    #[default]
    None,
    /// `Privacy: user`
    User,
    /// `Privacy: id`, `full` or an anonymous From.
    Full,
}

/// The facts of the call as it came in.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CallFacts {
    /// The host's call id.
    pub id: String,
    /// Name of the ingress trunk.
    pub ingress: String,
    /// The Request-URI.
    pub request_uri: Party,
    /// From.
    pub caller: Party,
    /// Whom the caller wants: the Request-URI's party with To's display name.
    pub callee: Party,
    /// P-Asserted-Identity values.
    pub asserted: Vec<Party>,
    /// Diversion values, most recent first (RFC 5806).
    pub diverted: Vec<Party>,
    /// Privacy wished.
    pub privacy: Privacy,
    /// Address and port that the INVITE came from.
    pub source: String,
    /// Whether this is an emergency call.
    pub emergency: bool,
    /// Max-Forwards left.
    pub hops_left: u8,
    /// The headers that the policy's manifest asked for.
    pub headers: Vec<HeaderField>,
    /// Documented keys that came later.
    pub extra: Vec<Param>,
}

/// One attempt that ended without an answer.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct AttemptFacts {
    /// Egress trunk.
    pub trunk: String,
    /// Peer address.
    pub peer: String,
    /// Final code; 408 for a timeout, 503 for a transport error.
    pub code: u16,
    /// Q.850 cause of the Reason header.
    pub q850: Option<u16>,
    /// Whether a provisional answer other than 100 came.
    pub progressed: bool,
    /// Milliseconds from INVITE to the end of the attempt.
    pub elapsed_ms: u32,
}

/// A peer's transfer of the call (REFER).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Transfer {
    /// Trunk whose peer asked for it.
    pub by: String,
    /// Refer-To.
    pub target: Party,
    /// Whether it names a dialog to replace.
    pub replaces: bool,
}

/// Why an outside source did not answer an inquiry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum NoAnswer {
    /// No such source in the configuration.
    UnknownSource,
    /// The policy was not granted it.
    Denied,
    /// No answer in time.
    Timeout,
    /// The source failed.
    Failed,
}

/// What an outside source said.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Answered {
    /// Name of the source.
    pub source: String,
    /// Key looked up.
    pub key: String,
    /// Its answer.
    pub outcome: Result<String, NoAnswer>,
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} says of {}: ", self.source, self.key)?;
        match &self.outcome {
            Ok(found) => write!(f, "{found:.120}"),
            Err(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoAnswer::UnknownSource => "there is no such source",
            NoAnswer::Denied => "the policy was not granted it",
            NoAnswer::Timeout => "no answer in time",
            NoAnswer::Failed => "it failed",
        })
    }
}

/// Why the policy is asked.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Cause {
    /// A new call.
    #[default]
    NewCall,
    /// All candidates failed.
    Exhausted(Vec<AttemptFacts>),
    /// A peer answered 3xx.
    Redirected(Vec<Party>),
    /// A peer sent REFER.
    Transferred(Transfer),
    /// An inquiry was answered.
    Answered(Vec<Answered>),
}

/// The one question.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Query {
    /// Facts of the call.
    pub call: CallFacts,
    /// Why it is asked.
    pub cause: Cause,
    /// What this policy returned last time for this call.
    pub cookie: Vec<u8>,
    /// Wall clock, milliseconds since 1970 UTC.
    pub unix_ms: u64,
    /// Randomness for this decision.
    pub seed: u64,
    /// Whether the explanation (`because`) is kept.
    pub explain: bool,
}

/// A caller identity to present.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Identity {
    /// User part or number.
    pub user: String,
    /// Display name.
    pub display: Option<String>,
}

/// Where media flows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Media {
    /// As the trunk says.
    #[default]
    TrunkDefault,
    /// End to end.
    Direct,
    /// Through a relay.
    Relay,
}

/// One place to try.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Candidate {
    /// Egress trunk.
    pub trunk: String,
    /// One peer of it; any, by the trunk's balance, if absent.
    pub peer: Option<String>,
    /// Called number as sent; as received if absent.
    pub callee: Option<String>,
    /// Caller as presented; as received if absent.
    pub caller: Option<Identity>,
    /// Withhold the caller's identity (RFC 3323).
    pub withhold_caller: bool,
    /// Headers set on the INVITE.
    pub set_headers: Vec<HeaderField>,
    /// Headers not passed on.
    pub remove_headers: Vec<String>,
    /// Milliseconds without an 18x before the next candidate.
    pub no_progress_ms: Option<u32>,
    /// Milliseconds of ringing before the next candidate.
    pub ring_ms: Option<u32>,
    /// Codes that go on to the next candidate.
    pub failover: Option<Vec<u16>>,
    /// Media mode.
    pub media: Media,
    /// Candidates of one group ring together; groups are tried in order.
    pub group: u8,
    /// Documented keys that came later.
    pub extra: Vec<Param>,
}

impl Candidate {
    /// What a minute costs there, by the key `price`: nothing if it says nothing, `None` if it is no
    /// price.
    pub fn price(&self) -> Option<Price> {
        match self.extra.iter().find(|it| it.name == "price") {
            Some(price) => Price::read(price.value.as_deref()?),
            None => Some(Price::default()),
        }
    }
}

/// Another code for the caller.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CodeMap {
    /// Code received.
    pub from_code: u16,
    /// Q.850 cause received; any if absent.
    pub q850: Option<u16>,
    /// Code sent.
    pub to_code: u16,
}

/// A name and value for the call's record.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Tag {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

/// What to do when no candidate answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum WhenExhausted {
    /// Give the caller the last code.
    #[default]
    RelayLast,
    /// Ask the policy again.
    AskAgain,
    /// Give the caller this code.
    Reply(u16),
}

/// Places to try, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Plan {
    /// Candidates.
    pub candidates: Vec<Candidate>,
    /// When none answered.
    pub when_exhausted: WhenExhausted,
    /// Code translations towards the caller, first match wins.
    pub code_maps: Vec<CodeMap>,
    /// Longest duration of the answered call, seconds.
    pub max_duration_s: Option<u32>,
    /// For the record.
    pub tags: Vec<Tag>,
    /// Given back when the policy is asked again for this call.
    pub cookie: Vec<u8>,
    /// Documented keys that came later.
    pub extra: Vec<Param>,
}

/// One look-up in an outside source.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LookUp {
    /// Name of the source.
    pub source: String,
    /// Key.
    pub key: String,
    /// Limit, milliseconds.
    pub timeout_ms: Option<u32>,
}

impl LookUp {
    /// Without a limit of its own.
    const TIMEOUT: Duration = Duration::from_secs(1);
    /// A caller waits meanwhile.
    const TIMEOUT_MAX: Duration = Duration::from_secs(5);

    /// How long the source may take: 1 s unless the policy says otherwise, and never more than 5 s.
    pub fn timeout(&self) -> Duration {
        let wanted = self.timeout_ms.map(|ms| Duration::from_millis(ms.into()));
        wanted.unwrap_or(Self::TIMEOUT).min(Self::TIMEOUT_MAX)
    }
}

/// Look-ups to make before asking again.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Inquiry {
    /// The look-ups.
    pub look_ups: Vec<LookUp>,
    /// Given back with the answers.
    pub cookie: Vec<u8>,
}

/// Refuse the call.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Rejection {
    /// Final code, 400 to 699.
    pub code: u16,
    /// Reason phrase; the standard one if absent.
    pub phrase: Option<String>,
    /// Q.850 cause for the Reason header.
    pub q850: Option<u16>,
    /// Retry-After, seconds.
    pub retry_after_s: Option<u32>,
}

/// The answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Verdict {
    /// Try these places.
    Connect(Plan),
    /// Refuse the call.
    Reject(Rejection),
    /// Send the caller elsewhere (302).
    Redirect(Vec<Party>),
    /// Look these up and ask again.
    Inquire(Inquiry),
    /// Not mine: the next policy of the chain decides.
    Pass,
}

/// Contact values of a 302, printed and known to be legal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redirection {
    /// One `<uri>` each.
    pub contacts: Vec<String>,
}

impl Redirection {
    /// Prints the parties; `None` if one makes no legal URI.
    pub fn of(parties: &[Party]) -> Option<Redirection> {
        let contacts = parties.iter().map(|p| {
            let user = intertrunk_sip::escape_user(&p.user);
            let uri = match p.scheme {
                Scheme::Sip => format!("sip:{user}@{}", p.host),
                Scheme::Sips => format!("sips:{user}@{}", p.host),
                Scheme::Tel => format!("tel:{user}"),
                Scheme::Other => return None,
            };
            intertrunk_sip::Uri::parse(&uri)
                .is_ok()
                .then(|| format!("<{uri}>"))
        });
        contacts
            .collect::<Option<Vec<_>>>()
            .map(|contacts| Redirection { contacts })
    }
}

/// Why a policy gave no usable verdict. Costs one fallback decision, never the call.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error, Serialize, Deserialize)]
pub enum PolicyFault {
    /// The deadline passed.
    #[error("no verdict within its deadline")]
    Timeout,
    /// The guest trapped.
    #[error("trapped: {0}")]
    Trap(String),
    /// An allocation over its limit.
    #[error("asked for more memory than its limit")]
    Memory,
    /// Its stack ran out.
    #[error("ran out of stack")]
    Stack,
    /// No generation is live.
    #[error("no generation of it is live")]
    NotReady,
    /// Its generation faulted too often and was set aside.
    #[error("quarantined after repeated faults")]
    Quarantined,
    /// The verdict broke a rule.
    #[error("verdict refused: {0}")]
    Verdict(String),
}

impl PolicyFault {
    /// A closed set of names, for labels and records.
    pub fn kind(&self) -> &'static str {
        match self {
            PolicyFault::Timeout => "timeout",
            PolicyFault::Trap(_) => "trap",
            PolicyFault::Memory => "memory",
            PolicyFault::Stack => "stack",
            PolicyFault::NotReady => "not-ready",
            PolicyFault::Quarantined => "quarantined",
            PolicyFault::Verdict(_) => "verdict",
        }
    }
}

/// The policy version that a call began with; keeps it alive for as long as the call lives.
#[derive(Clone)]
pub struct Pin {
    /// Name of the policy.
    pub policy: Arc<str>,
    /// Its generation in this host, counted from 1.
    pub generation: u64,
    /// SHA-256 of its module, hex.
    pub sha256: Arc<str>,
    /// The generation itself, opaque here.
    pub keep: Arc<dyn Any + Send + Sync>,
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.policy, self.generation)
    }
}

/// What came of asking.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The verdict, or why there is none.
    pub outcome: Result<Verdict, PolicyFault>,
    /// Which version decided.
    pub pin: Option<Pin>,
    /// Time that the decision took, microseconds.
    pub decision_us: u32,
    /// The explanation, if it was asked for.
    pub because: Vec<String>,
    /// What it asked the host, if the explanation was asked for.
    pub looked_up: Vec<LookedUp>,
}
