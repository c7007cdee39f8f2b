//! The side that calls: answers come in, are acknowledged, and lead to the next deed. Requests
//! within a dialog are answered on both sides.

use intertrunk_proto::Instant;
use intertrunk_sip::{Builder, Message, Method, Name};

use super::{Client, Deed, Side, T1, Ua, branch_of};
use crate::ms;

impl Ua {
    pub(super) fn responded(&mut self, side: &mut Side, response: &Message, now: Instant) {
        let branch = branch_of(response);
        let method = response.method().clone();
        let code = response.status();
        let place = side
            .clients
            .iter()
            .position(|c| c.branch == branch && c.method == method);
        let Some(place) = place else {
            return self.complain(&format!("{code} to a request that I never sent"));
        };
        if response.values(Name::Via).count() != 1 {
            self.complain("response with Vias that are not mine");
        }
        self.hear(side, place, response);
        if code < 200 {
            side.clients[place].provisional = true;
            if method == Method::Invite {
                side.clients[place].resend = None;
                if code > 100 && response.contact().is_none() {
                    self.complain("18x without Contact");
                }
                if side.caller && place == 0 && code > 100 && !self.rang(side, response, now) {
                    return;
                }
                let info = side.errand.as_ref().and_then(|e| e.early_info);
                if let (Some(after), true, None) = (info, code > 100, side.code) {
                    self.learn(side, response);
                    side.deeds.insert((now + after, Deed::EarlyInfo));
                }
                let early = side.errand.as_ref().and_then(|e| e.early_bye);
                if let (Some(after), true, None) = (early, code > 100, side.code) {
                    self.learn(side, response);
                    side.deeds.insert((now + after, Deed::EarlyBye));
                }
            }
            return;
        }
        match side.clients[place].last {
            Some(before) if before != code => {
                self.complain(&format!(
                    "two final answers to one {method}: {before}, {code}"
                ));
            }
            Some(_) => {}
            None => self.finally(side, place, response, now),
        }
        // A final answer that comes again is acknowledged again.
        self.out.extend(side.clients[place].ack.clone());
    }

    pub(super) fn finally(
        &mut self,
        side: &mut Side,
        place: usize,
        response: &Message,
        now: Instant,
    ) {
        let code = response.status();
        let initial = side.caller && side.clients[place].cseq == 1;
        side.clients[place].last = Some(code);
        side.clients[place].resend = None;
        if side.clients[place].method != Method::Invite {
            if side.clients[place].method == Method::Prack && code != 200 {
                self.complain(&format!("{code} to my PRACK"));
            }
            return;
        }
        if initial {
            side.code = Some(code);
        }
        if let (491, Some(errand)) = (code, &mut side.errand)
            && std::mem::take(&mut errand.again)
        {
            // Its Call-ID is its own (RFC 3261 §14.1).
            side.deeds.insert((now + ms(2_100), Deed::ReInvite));
        }
        if code >= 300 {
            let invite = Message::parse(side.clients[place].bytes.clone()).expect("ours");
            let mut b = Builder::request(&Method::Ack, invite.request_uri());
            b.header(Name::Via, invite.header(Name::Via).unwrap_or_default());
            b.header(Name::MaxForwards, "70");
            b.header(Name::From, invite.header(Name::From).unwrap_or_default());
            b.header(Name::To, response.header(Name::To).unwrap_or_default());
            b.header(Name::CallId, invite.call_id());
            b.header_fmt(Name::CSeq, format_args!("{} ACK", invite.cseq()));
            side.clients[place].ack = Some(b.finish(None));
            return;
        }
        if response.contact().is_none() {
            self.complain("2xx without Contact");
        }
        let body = response.body();
        let offered = side.clients[place].bytes.ends_with(b"offer");
        let expected: &[u8] = if offered { b"answer" } else { b"offer" };
        let settled = initial && side.dialogs[0].reliable.settled;
        let known = settled && body.is_empty();
        // Until it is asked to take another session, it has one without media.
        let idle = initial && body.ends_with(b"a=inactive\r\n");
        if !body.ends_with(expected) && !known && !idle {
            self.complain(&format!(
                "2xx with body {:?}",
                String::from_utf8_lossy(&body)
            ));
        }
        let dialog = 0;
        if side.caller {
            self.learn(side, response);
        }
        if initial {
            let d = &mut side.dialogs[dialog];
            (d.up, d.was_up) = (true, true);
        }
        let branch = format!("z9hG4bK{}", self.token("b"));
        let b = self.head(
            side,
            dialog,
            &Method::Ack,
            &branch,
            side.clients[place].cseq,
        );
        let ack = self.finish(b, (!offered && !settled).then_some("answer"));
        let errand = side.errand.clone();
        if !errand.as_ref().is_some_and(|e| e.no_ack) {
            side.clients[place].ack = Some(ack);
        }
        if let (true, Some(e)) = (initial, errand) {
            side.deeds.clear();
            side.deeds
                .extend(e.hang_up.map(|d| (now + d, Deed::HangUp)));
            side.deeds
                .extend(e.reinvite.map(|d| (now + d, Deed::ReInvite)));
            side.deeds.extend(e.info.map(|d| (now + d, Deed::Info)));
            side.deeds
                .extend(e.refresh.map(|d| (now + d, Deed::Refresh)));
            side.deeds.extend(e.update.map(|d| (now + d, Deed::Update)));
            side.deeds.extend(e.refer.map(|d| (now + d, Deed::Refer)));
        }
    }

    /// Takes To and Contact of an answer into the caller's dialog.
    pub(super) fn learn(&mut self, side: &mut Side, response: &Message) {
        let to = response.header(Name::To).unwrap_or_default();
        side.remote = String::from_utf8_lossy(to).into_owned();
        if let Some(Ok(contact)) = response.contact() {
            side.dialogs[0].target = contact.uri.to_owned();
        }
    }

    pub(super) fn cancel(&mut self, side: &mut Side, client: usize, now: Instant) {
        let invite = side.clients[client].clone();
        if invite.last.is_some() {
            return;
        }
        if !invite.provisional {
            // RFC 3261 §9.1: not before a first answer.
            side.deeds.insert((now + ms(100), Deed::Cancel(client)));
            return;
        }
        let m = Message::parse(invite.bytes).expect("ours");
        let mut b = Builder::request(&Method::Cancel, m.request_uri());
        for name in [Name::Via, Name::From, Name::To, Name::CallId] {
            b.header(name, m.header(name).unwrap_or_default());
        }
        b.header(Name::MaxForwards, "70");
        b.header_fmt(Name::CSeq, format_args!("{} CANCEL", m.cseq()));
        side.put_parting(&mut b);
        let bytes = b.finish(None);
        self.out.push(bytes.clone());
        side.clients.push(Client {
            method: Method::Cancel,
            bytes,
            branch: invite.branch,
            resend: Some((now + T1, T1)),
            give_up: now + T1 * 64,
            provisional: false,
            last: None,
            ack: None,
            cseq: invite.cseq,
        });
    }
}
