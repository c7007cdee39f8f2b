//! What the host does with what crosses a trunk: identities, history, redirections, transfers,
//! extensions, large requests.

/// In which form a trunk gets the history of a call (RFC 7544).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum HistoryForm {
    /// As it came.
    #[default]
    AsIs,
    /// As Diversion, made of History-Info if need be.
    Diversion,
    /// As History-Info, made of Diversion if need be, and begun where there is none.
    HistoryInfo,
}

/// What the host does with identity headers of a trunk (RFC 3325).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IdentityRules {
    /// Pass P-Asserted-Identity to this trunk.
    pub forward_pai: bool,
    /// Pass History-Info and Diversion to this trunk.
    pub forward_history: bool,
    /// Believe the identity headers that come from this trunk, and trust it with those of others.
    pub trusted: bool,
    /// In which form it gets the history of a call.
    pub history: HistoryForm,
}

impl Default for IdentityRules {
    fn default() -> Self {
        Self {
            forward_pai: true,
            forward_history: true,
            trusted: true,
            history: HistoryForm::AsIs,
        }
    }
}

/// What is done with a 3xx of a trunk's peers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Redirects {
    /// The policy is asked again, with the places that it names.
    #[default]
    Policy,
    /// Places that are peers of trunks are tried.
    Follow,
    /// A trusted caller is told.
    Pass,
    /// It is a failure.
    Refuse,
}

impl Redirects {
    /// By its name in configurations and in a candidate's `extra`.
    pub fn named(name: &str) -> Option<Redirects> {
        match name {
            "policy" => Some(Redirects::Policy),
            "follow" => Some(Redirects::Follow),
            "pass" => Some(Redirects::Pass),
            "refuse" => Some(Redirects::Refuse),
            _ => None,
        }
    }
}

/// What the peers of a trunk may and can do to calls that are up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransferRules {
    /// A REFER of theirs is taken (RFC 3515).
    pub may_refer: bool,
    /// They take REFER: what the other side of a call asks for is passed on to them.
    pub takes_refer: bool,
}

impl Default for TransferRules {
    fn default() -> Self {
        Self {
            may_refer: true,
            takes_refer: false,
        }
    }
}

/// What we ask of a trunk's peers beyond RFC 3261, and put up with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extensions {
    /// Session interval in seconds that we ask for; none: we do not ask, but answer (RFC 4028).
    pub session_timer_s: Option<u32>,
    /// Least session interval in seconds that we put up with.
    pub min_se_s: u32,
    /// Whether provisional answers may be reliable, in both directions (RFC 3262).
    pub prack: bool,
}

impl Default for Extensions {
    fn default() -> Self {
        Self {
            session_timer_s: None,
            min_se_s: 90,
            prack: true,
        }
    }
}

/// What happens to a request of more than 1,300 bytes that would go out over UDP (RFC 3261
/// §18.1.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Oversize {
    /// It goes out over UDP, in fragments.
    Off,
    /// It goes out over TCP; over UDP if no connection can be made.
    #[default]
    TcpIfReachable,
    /// It goes out over TCP, or not at all.
    Tcp,
}
