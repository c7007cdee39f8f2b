//! User agents that fail: one that is silent for ever, one that starts anew and knows nothing any more.

use intertrunk_sip::{Message, Method, reply};

use super::Ua;

/// What is left of a user agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum State {
    #[default]
    Sound,
    /// It does not say a word.
    Dead,
    /// It knows no call that was there before.
    Restarted,
}

impl Ua {
    /// It never says anything again.
    pub fn crash(&mut self) {
        self.forget();
        self.state = State::Dead;
    }

    /// It starts anew: to requests of calls that it has forgotten it says 481.
    pub fn restart(&mut self) {
        self.forget();
        self.state = State::Restarted;
    }

    /// Whether it has ever crashed or restarted: what became of its calls is not known.
    pub fn has_failed(&self) -> bool {
        self.state != State::Sound
    }

    fn forget(&mut self) {
        self.sides.clear();
        self.out.clear();
    }

    /// Whether a message is about a call that was lost in a restart; its requests get 481.
    pub(super) fn has_forgotten(&mut self, message: &Message) -> bool {
        let new = message.is_request()
            && *message.method() == Method::Invite
            && message.to_tag().is_none();
        if self.state != State::Restarted || new {
            return false;
        }
        if message.is_request() && *message.method() != Method::Ack {
            let phrase = intertrunk_sip::reason_phrase(481);
            let b = reply(message, 481, phrase, Some("forgotten"), Some(self.host));
            self.out.push(b.finish(None));
        }
        true
    }
}
