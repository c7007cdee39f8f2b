//! What a model user agent sends again, and when it gives up (RFC 3261 §17.1, §13.3.1.4).

use intertrunk_proto::Instant;
use intertrunk_sip::{Message, Method};

use super::{Deed, Side, T2, Ua};

impl Ua {
    pub(super) fn retransmit(&mut self, side: &mut Side, now: Instant) {
        self.repeat_reliable(side, now);
        for c in &mut side.clients {
            if let Some((at, interval)) = c.resend
                && at <= now
            {
                if c.give_up <= now {
                    c.resend = None;
                    c.last = Some(408);
                    let first = c.method == Method::Invite && c.cseq == 1;
                    side.timed_out |= first;
                    if self.strict && !first {
                        let what = format!("{}: nobody answered {}", self.name, c.method);
                        self.complaints.push(what);
                    }
                    continue;
                }
                let doubled = interval * 2;
                let most = if c.method == Method::Invite {
                    doubled
                } else {
                    T2
                };
                let next = doubled.min(most);
                c.resend = Some((now + next, next));
                self.out.push(c.bytes.clone());
            }
        }
        for d in &mut side.dialogs {
            if let Some(u) = &mut d.unacked
                && u.at <= now
            {
                if u.give_up <= now {
                    let offered = side.invite.as_ref().is_none_or(Message::has_body);
                    if self.strict && (offered || u.cseq > 1) {
                        let what = format!("{}: nobody acknowledged my 2xx", self.name);
                        self.complaints.push(what);
                    }
                    d.unacked = None;
                    side.deeds.insert((now, Deed::HangUp));
                    continue;
                }
                u.interval = (u.interval * 2).min(T2);
                u.at = now + u.interval;
                self.out.push(u.bytes.clone());
            }
        }
    }
}
