//! Saying where the call goes.

use std::iter;

use crate::{
    Candidate, CodeMap, ExhaustedAction, Header, Identity, Media, Number, Plan, Tag, because,
};

impl Plan {
    /// Goes to a trunk's name, or to a [`Candidate`].
    pub fn to(candidate: impl Into<Candidate>) -> Self {
        [candidate.into()].into_iter().collect()
    }

    /// Then goes there, if the places before did not take the call.
    pub fn or(self, candidate: impl Into<Candidate>) -> Self {
        let next = self
            .candidates
            .last()
            .map_or(0, |last| last.group.saturating_add(1));
        self.with(candidate.into(), next)
    }

    /// Rings there at the same time as the place before.
    ///
    /// ```
    /// # use intertrunk_sdk::Plan;
    /// let plan = Plan::to("desk").and("mobile").or("voicemail");
    /// let groups: Vec<u8> = plan.candidates.iter().map(|it| it.group).collect();
    /// assert_eq!(groups, [0, 0, 1]);
    /// ```
    pub fn and(self, candidate: impl Into<Candidate>) -> Self {
        let same = self.candidates.last().map_or(0, |last| last.group);
        self.with(candidate.into(), same)
    }

    fn with(mut self, candidate: Candidate, group: u8) -> Self {
        self.candidates.push(Candidate { group, ..candidate });
        self
    }

    /// Sends this called number to all places so far that do not have their own.
    ///
    /// ```
    /// # use intertrunk_sdk::Plan;
    /// let plan = Plan::to("pbx-a").callee("0100").or("gw-a").or("gw-b").callee("+14255550100");
    /// assert_eq!(plan.candidates[0].callee.as_deref(), Some("0100"));
    /// assert_eq!(plan.candidates[2].callee.as_deref(), Some("+14255550100"));
    /// ```
    pub fn callee(mut self, callee: impl Into<String>) -> Self {
        let callee = callee.into();
        let without = self
            .candidates
            .iter_mut()
            .filter(|candidate| candidate.callee.is_none());
        without.for_each(|candidate| candidate.callee = Some(callee.clone()));
        self
    }

    /// Presents this caller to all places so far that do not have their own.
    pub fn caller(mut self, caller: impl Into<Identity>) -> Self {
        let caller = caller.into();
        let without = self
            .candidates
            .iter_mut()
            .filter(|candidate| candidate.caller.is_none());
        without.for_each(|candidate| candidate.caller = Some(caller.clone()));
        self
    }

    /// Explains: one line, kept if somebody asked why.
    pub fn because(self, text: &str) -> Self {
        because(text);
        self
    }

    /// Asks this policy again when no place took the call.
    pub fn ask_again(mut self) -> Self {
        self.when_exhausted = ExhaustedAction::AskAgain;
        self
    }

    /// Answers the caller with this code when no place took the call, rather than the last one's.
    pub fn or_reply(mut self, code: u16) -> Self {
        self.when_exhausted = ExhaustedAction::Reply(code);
        self
    }

    /// Gives the caller `to_code` for `from_code`; the first map that matches wins.
    pub fn map_code(mut self, from_code: u16, to_code: u16) -> Self {
        self.code_maps.push(CodeMap {
            from_code,
            q850: None,
            to_code,
        });
        self
    }

    /// Ends the answered call after so many seconds.
    pub fn max_duration_s(mut self, seconds: u32) -> Self {
        self.max_duration_s = Some(seconds);
        self
    }

    /// Writes a name and value into the call's record.
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.push(Tag {
            name: name.into(),
            value: value.into(),
        });
        self
    }

    /// Bytes that come back when this policy is asked again about this call.
    pub fn cookie(mut self, cookie: impl Into<Vec<u8>>) -> Self {
        self.cookie = cookie.into();
        self
    }
}

impl Default for Plan {
    /// No place yet; relays the last answer when none took the call.
    fn default() -> Self {
        Plan {
            candidates: Vec::new(),
            when_exhausted: ExhaustedAction::RelayLast,
            code_maps: Vec::new(),
            max_duration_s: None,
            tags: Vec::new(),
            cookie: Vec::new(),
            extra: Vec::new(),
        }
    }
}

/// One after the other, in this order.
impl<C: Into<Candidate>> FromIterator<C> for Plan {
    fn from_iter<I: IntoIterator<Item = C>>(candidates: I) -> Self {
        // Nobody tries so many that the last of them would ring together.
        let groups = (0..u8::MAX).chain(iter::repeat(u8::MAX));
        let candidates = groups
            .zip(candidates)
            .map(|(group, it)| Candidate { group, ..it.into() })
            .collect();
        Plan {
            candidates,
            ..Plan::default()
        }
    }
}

impl Candidate {
    /// Tries this trunk: numbers as received, timers and failover codes as the trunk says.
    pub fn on(trunk: impl Into<String>) -> Self {
        Candidate {
            trunk: trunk.into(),
            peer: None,
            callee: None,
            caller: None,
            withhold_caller: false,
            set_headers: Vec::new(),
            remove_headers: Vec::new(),
            no_progress_ms: None,
            ring_ms: None,
            failover: None,
            media: Media::TrunkDefault,
            group: 0,
            extra: Vec::new(),
        }
    }

    /// Tries this peer of the trunk only.
    pub fn peer(mut self, peer: impl Into<String>) -> Self {
        self.peer = Some(peer.into());
        self
    }

    /// Called number as sent.
    pub fn callee(mut self, callee: impl Into<String>) -> Self {
        self.callee = Some(callee.into());
        self
    }

    /// Caller as presented.
    pub fn caller(mut self, caller: impl Into<Identity>) -> Self {
        self.caller = Some(caller.into());
        self
    }

    /// Withholds the caller's identity (RFC 3323).
    pub fn withhold_caller(mut self) -> Self {
        self.withhold_caller = true;
        self
    }

    /// Sets a header of the INVITE.
    pub fn set_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.set_headers.push(Header {
            name: name.into(),
            value: value.into(),
        });
        self
    }

    /// Does not pass on a header.
    pub fn remove_header(mut self, name: impl Into<String>) -> Self {
        self.remove_headers.push(name.into());
        self
    }

    /// Goes on after so many milliseconds without an 18x.
    pub fn no_progress_ms(mut self, ms: u32) -> Self {
        self.no_progress_ms = Some(ms);
        self
    }

    /// Goes on after so many milliseconds of ringing.
    pub fn ring_ms(mut self, ms: u32) -> Self {
        self.ring_ms = Some(ms);
        self
    }

    /// Goes on after these codes, rather than those of the trunk.
    pub fn failover(mut self, codes: impl IntoIterator<Item = u16>) -> Self {
        self.failover = Some(codes.into_iter().collect());
        self
    }

    /// Where media flows.
    pub fn media(mut self, media: Media) -> Self {
        self.media = media;
        self
    }
}

impl From<&str> for Candidate {
    fn from(trunk: &str) -> Self {
        Candidate::on(trunk)
    }
}

impl From<&String> for Candidate {
    fn from(trunk: &String) -> Self {
        Candidate::on(trunk)
    }
}

impl From<String> for Candidate {
    fn from(trunk: String) -> Self {
        Candidate::on(trunk)
    }
}

impl Identity {
    /// A number or user, with a display name.
    pub fn named(user: impl Into<String>, display: impl Into<String>) -> Self {
        Identity {
            user: user.into(),
            display: Some(display.into()),
        }
    }
}

impl From<&str> for Identity {
    fn from(user: &str) -> Self {
        Identity {
            user: user.to_owned(),
            display: None,
        }
    }
}

impl From<String> for Identity {
    fn from(user: String) -> Self {
        Identity {
            user,
            display: None,
        }
    }
}

impl From<Number<'_>> for Identity {
    fn from(number: Number<'_>) -> Self {
        String::from(number).into()
    }
}
