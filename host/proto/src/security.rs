//! What is done with those whom the configuration does not know, and with messages that nobody honest
//! sends.

use std::sync::Arc;

use intertrunk_sip::{Message, Name};

/// Rules of the whole node.
#[derive(Clone, Debug)]
pub struct Security {
    /// What a request of no trunk is answered; nothing if absent.
    pub unknown: Option<u16>,
    /// What User-Agent of a scanner contains, in any case.
    pub scanners: Arc<[String]>,
    /// Bounds on one message.
    pub message: intertrunk_sip::Limits,
}

impl Security {
    /// How the scanners that everybody meets call themselves.
    pub const SCANNERS: [&str; 9] = [
        "friendly-scanner",
        "sipvicious",
        "sip-scan",
        "sipcli",
        "sundayddr",
        "siparmyknife",
        "pplsip",
        "vaxsipuseragent",
        "iwar",
    ];

    /// Whether a request says itself that it comes from a scanner.
    pub(crate) fn is_scanner(&self, request: &Message) -> bool {
        let agents = request.headers(Name::UserAgent);
        let mut agents = agents.filter(|agent| !agent.is_empty());
        agents.any(|agent| {
            self.scanners
                .iter()
                .any(|it| contains(agent, it.as_bytes()))
        })
    }
}

impl Default for Security {
    fn default() -> Self {
        Security {
            unknown: None,
            scanners: Self::SCANNERS.iter().map(|it| (*it).to_owned()).collect(),
            message: intertrunk_sip::Limits::default(),
        }
    }
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    let mut places = text.windows(wanted.len().max(1));
    !wanted.is_empty() && places.any(|w| w.eq_ignore_ascii_case(wanted))
}
