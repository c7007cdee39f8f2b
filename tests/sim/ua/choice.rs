//! Deeds as a matter of choice: what a user agent could do at this moment, whenever it was told to.
//!
//! A schedule takes each of them at each point where it can be taken.

use intertrunk_proto::Instant;

use super::{Deed, Side, Ua};

impl Deed {
    /// Whether a person, not a timer of the protocol, decides when it is done.
    pub(super) fn is_choice(self) -> bool {
        !matches!(self, Deed::Unanswered(_))
    }
}

impl Ua {
    /// Everything that this user agent could do now: the side by its Call-ID, and the deed.
    pub(crate) fn choices(&self) -> Vec<(&str, Deed)> {
        let mut found = Vec::new();
        for side in self.sides.values() {
            let mut deeds: Vec<Deed> = side.deeds.iter().map(|(_, deed)| *deed).collect();
            deeds.retain(|deed| deed.is_choice() && self.can(side, *deed));
            deeds.sort();
            deeds.dedup();
            found.extend(deeds.into_iter().map(|deed| (&*side.call_id, deed)));
        }
        found
    }

    /// Does one of its choices.
    pub(crate) fn choose(&mut self, call_id: &str, deed: Deed, now: Instant) {
        if let Some(mut side) = self.sides.remove(call_id) {
            if let Some(entry) = side.deeds.iter().find(|(_, d)| *d == deed).copied() {
                side.deeds.remove(&entry);
            }
            self.act(&mut side, deed, now);
            self.sides.insert(side.call_id.clone(), side);
        }
    }

    /// Whether a deed would have any effect now.
    fn can(&self, side: &Side, deed: Deed) -> bool {
        match deed {
            Deed::Cancel(n) => side.clients[n].last.is_none() && side.clients[n].provisional,
            Deed::HangUp => side.dialogs.iter().any(|d| d.up),
            Deed::ReInvite | Deed::Update => side.dialogs[0].up && !self.has_pending_offer(side),
            Deed::EarlyUpdate => side.can_update_early() && !self.has_pending_offer(side),
            Deed::Info | Deed::Refresh | Deed::Refer => side.dialogs[0].up,
            Deed::Accept(n) => side.servers[n].request.is_some(),
            Deed::EarlyBye | Deed::EarlyInfo | Deed::Ring(_) | Deed::Answer | Deed::Refuse(_) => {
                side.code.is_none()
            }
            Deed::Unanswered(_) => false,
        }
    }
}
