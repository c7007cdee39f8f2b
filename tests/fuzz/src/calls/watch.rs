//! What must hold of everything that the host says while it is played with.

use std::collections::BTreeMap;

use bytes::Bytes;
use intertrunk_proto::{CallId, Event, Flow};
use intertrunk_sip::Message;
use sim::wire::Wire;

/// Keeps the books.
#[derive(Default)]
pub(super) struct Watch {
    wire: Wire,
    /// Calls, and whether they have ended.
    calls: BTreeMap<CallId, bool>,
}

impl Watch {
    /// A message on its way. What is wrong with an answer may be its request's fault, whose lines it
    /// repeats; a request of the host's has no excuse.
    pub(super) fn sent(&mut self, flow: Flow, bytes: &Bytes) {
        let wrong = self.wire.judge(flow, bytes);
        if bytes.starts_with(b"SIP/2.0 ") {
            return;
        }
        // User agents of the simulation send 70; nothing forbids more, or the last hop (RFC 3261 §16.3).
        let excused = |w: &&String| w.starts_with("no legal Max-Forwards") && has_hops(bytes);
        // A peer may send a description without an origin, or half of one.
        let half = |w: &&String| w.starts_with("a description that is not under our origin");
        let wrong: Vec<_> = wrong.iter().filter(|w| !excused(w) && !half(w)).collect();
        assert!(wrong.is_empty(), "to {}: {wrong:?}", flow.remote);
    }

    /// A fact. Each call begins once, ends once, and does nothing in between the wrong way round.
    pub(super) fn said(&mut self, event: &Event) {
        match event {
            Event::CallStarted { call, .. } => {
                assert_eq!(self.calls.insert(*call, false), None, "{call} began twice");
            }
            Event::CallEnded(record) => {
                let before = self.calls.insert(record.call, true);
                assert_eq!(before, Some(false), "{} ended in turn", record.call);
            }
            Event::AttemptStarted { call, .. } | Event::CallAnswered { call, .. } => {
                assert_eq!(self.calls.get(call), Some(&false), "{call} is up");
            }
            _ => {}
        }
    }

    /// Every call has ended.
    pub(super) fn at_rest(&self) {
        let open: Vec<_> = self.calls.iter().filter(|(_, ended)| !**ended).collect();
        assert!(open.is_empty(), "calls without a record: {open:?}");
    }
}

fn has_hops(bytes: &Bytes) -> bool {
    let message = Message::parse(bytes.clone()).ok();
    message
        .and_then(|m| m.max_forwards())
        .is_some_and(|hops| hops < 255)
}
