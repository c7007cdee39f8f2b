//! What only outside sources know: a policy names the look-ups, the shell makes them, the policy is
//! asked again with the answers.
//!
//! The call waits as it waits for a policy: a CANCEL ends it at once, and a clock of ours ends what
//! the shell never answers.

use super::Call;
use crate::ask::{Answered, Cause, Inquiry, LookUp, Pin};
use crate::core::Core;
use crate::io::{AskId, Output};
use crate::looked_up::LookedUp;

impl Call {
    /// The version of the policy that decides now.
    pub(super) fn pin(&self) -> Option<&Pin> {
        self.pins.iter().find(|pin| pin.policy == self.policy.name)
    }

    /// Nobody waits for this answer any more.
    pub(super) fn unask(&mut self, ask: AskId, core: &mut Core) {
        core.asks.remove(&ask);
        if self.inquiry.take().is_some() {
            core.out.push_back(Output::Forget(ask));
        }
    }

    /// The policy wants to know what only outside sources do. It holds no instance meanwhile.
    pub(super) fn inquire(&mut self, inquiry: Inquiry, core: &mut Core) {
        let ask = AskId(core.rng.next_u64());
        let longest = inquiry.look_ups.iter().map(LookUp::timeout).max();
        let until = core.now + longest.unwrap_or_default() + core.snapshot.timers.ask_grace;
        self.now_asking(ask, until);
        self.inquiry = Some(ask);
        if let Some(question) = self.question_mut() {
            question.cookie = inquiry.cookie;
        }
        core.asks.insert(ask, self.key);
        core.out.push_back(Output::Inquire {
            ask,
            policy: self.policy.id,
            look_ups: inquiry.look_ups,
        });
        self.rearm(core);
    }

    /// The sources have answered. False if this call is not waiting for it.
    pub(crate) fn inquired(&mut self, ask: AskId, answers: Vec<Answered>, core: &mut Core) -> bool {
        if self.inquiry != Some(ask) {
            return false;
        }
        self.inquiry = None;
        if core.snapshot.explain {
            let lines = answers.iter().map(ToString::to_string);
            self.story.because.extend(lines);
            let looked_up = answers.iter().map(LookedUp::from);
            self.story.looked_up.extend(looked_up);
        }
        self.ask(Cause::Answered(answers), core);
        self.rearm(core);
        true
    }
}
