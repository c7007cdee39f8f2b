//! New calls under overload: refused from their bytes, while all that is up goes on.

use bytes::Bytes;
use intertrunk_proto::{Event, Flow, Input, Instant, ListenerId, Load, Output};
use sim::{Errand, Mood, Weather, World, ms};

use super::{check, world};

const PBX: &str = "127.0.0.11:5070";

fn place(w: &mut World, ua: &str, number: &str) {
    let now = w.now;
    w.ua(ua).place(&Errand::to(number), now);
    w.run(ms(200));
}

/// K20: above the limit of calls the next one hears 503 with Retry-After; the one that is up goes
/// on to its end, and then there is room again.
#[test]
fn shed_beyond_the_limit_of_calls() {
    let mut w = world();
    w.restrain(|s| s.limits.calls_max = 1);
    place(&mut w, "pbx-a", "1");
    place(&mut w, "pbx-b", "2");
    // The transactions of the first call go on for half a minute after it.
    w.run(ms(40_000));
    place(&mut w, "pbx-b", "3");
    check("shed_beyond_the_limit_of_calls", &mut w);
}

/// New calls come in bursts, then at the rate that is allowed.
#[test]
fn shed_above_the_rate() {
    let mut w = world();
    w.restrain(|s| {
        s.overload.calls_per_second = Some(1);
        s.overload.burst = 2;
    });
    for number in ["1", "2", "3"] {
        place(&mut w, "pbx-a", number);
    }
    w.run(ms(600));
    place(&mut w, "pbx-a", "4");
    check("shed_above_the_rate", &mut w);
}

/// A machine without a network: what goes in, and what comes out at once.
struct Bench {
    w: World,
    now: Instant,
}

impl Bench {
    fn new() -> Bench {
        let w = World::new(1, Weather::default(), Mood::connect(&["gw-a"]));
        let now = w.now;
        Bench { w, now }
    }

    /// Responses and events that follow from these bytes.
    fn hear(&mut self, bytes: &str) -> (Vec<String>, Vec<Event>) {
        let flow = Flow::to(ListenerId(0), PBX.parse().unwrap());
        let bytes = Bytes::copy_from_slice(bytes.as_bytes());
        let input = Input::Received { flow, bytes };
        self.w.b2bua.handle_input(input, self.now);
        self.drain()
    }

    fn drain(&mut self) -> (Vec<String>, Vec<Event>) {
        let (mut said, mut events) = (Vec::new(), Vec::new());
        while let Some(output) = self.w.b2bua.poll_output() {
            match output {
                Output::Transmit { bytes, .. } => {
                    said.push(String::from_utf8(bytes.to_vec()).unwrap());
                }
                Output::Event(event) => events.push(event),
                Output::Ask { .. } | Output::Inquire { .. } | Output::Forget(_) => {}
            }
        }
        (said, events)
    }

    /// The code of the one response to these bytes.
    fn code(&mut self, bytes: &str) -> u16 {
        let (said, _) = self.hear(bytes);
        assert_eq!(said.len(), 1, "{said:?}");
        said[0].split(' ').nth(1).unwrap().parse().unwrap()
    }
}

fn request(method: &str, uri: &str, call: u32, more: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {PBX};branch=z9hG4bK{call}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:0100@pbx>;tag=f{call}\r\nTo: <sip:1@host>\r\n\
         Call-ID: c{call}\r\nCSeq: 1 {method}\r\nContact: <sip:0100@{PBX}>\r\n{more}\
         Content-Length: 0\r\n\r\n"
    )
}

fn invite(call: u32) -> String {
    request("INVITE", "sip:1@127.0.0.1", call, "")
}

fn header<'m>(message: &'m str, name: &str) -> &'m str {
    let line = message.lines().find_map(|l| l.strip_prefix(name));
    line.unwrap_or_default().trim_start_matches(": ")
}

/// RFC 3261 §8.2.7: a shed INVITE leaves no transaction behind, and whatever changes, the same bytes are
/// refused again, with the same tag: its caller may have heard the first refusal.
#[test]
fn what_is_shed_stays_shed() {
    let mut b = Bench::new();
    b.w.restrain(|s| s.limits.calls_max = 0);
    let (first, events) = b.hear(&invite(1));
    assert!(matches!(
        events[..],
        [Event::Shed {
            load: Load::Calls,
            since_told: Some(1)
        }]
    ));
    let (_, events) = b.hear(&invite(2));
    let untold = [Event::Shed {
        load: Load::Calls,
        since_told: None,
    }];
    assert_eq!(
        format!("{events:?}"),
        format!("{untold:?}"),
        "told once a second"
    );
    b.w.restrain(|s| s.limits.calls_max = 10);
    let (again, events) = b.hear(&invite(1));
    assert!(events.is_empty(), "it is no other call");
    for response in [&first[0], &again[0]] {
        assert!(response.starts_with("SIP/2.0 503 "), "{response}");
        assert!(header(response, "Reason").starts_with("Q.850;cause=42"));
        let seconds: u32 = header(response, "Retry-After").parse().unwrap();
        assert!((2..=10).contains(&seconds), "{response}");
    }
    assert_eq!(header(&first[0], "To"), header(&again[0], "To"));
    assert!(header(&first[0], "To").contains(";tag="));
    let ack = request("ACK", "sip:1@127.0.0.1", 1, "");
    assert!(b.hear(&ack).0.is_empty());
    assert_eq!(b.w.b2bua.holdings(), [0; 4]);
    assert_eq!(b.w.b2bua.poll_timeout(), None, "no timer either");
    b.now = b.now + ms(40_001);
    assert_eq!(b.code(&invite(1)), 100, "by now it is another request");
}

/// Work that has waited too long: new calls are refused; what belongs to a call is done.
#[test]
fn lag_sheds_new_calls_only() {
    let mut b = Bench::new();
    let since = b.now;
    b.now = b.now + ms(2_001);
    assert_eq!(b.code(&invite(1)), 100);
    b.w.b2bua.waiting_since(Some(since));
    assert_eq!(b.code(&invite(2)), 503);
    assert_eq!(b.code(&invite(1)), 100, "a retransmission is no new call");
    let (said, _) = b.hear(&request("CANCEL", "sip:1@127.0.0.1", 1, ""));
    let starts: Vec<&str> = said.iter().map(|m| m.lines().next().unwrap()).collect();
    assert_eq!(starts, ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]);
    b.w.b2bua.waiting_since(None);
    assert_eq!(b.code(&invite(3)), 100);
}

/// C11: an emergency call passes every gate.
#[test]
fn emergency_is_not_shed() {
    let mut b = Bench::new();
    b.w.restrain(|s| {
        s.limits.calls_max = 0;
        s.overload.calls_per_second = Some(1);
    });
    b.w.b2bua.waiting_since(Some(b.now));
    b.now = b.now + ms(60_000);
    assert_eq!(b.code(&invite(1)), 503);
    for call in 2..10 {
        let sos = request("INVITE", "urn:service:sos.fire", call, "");
        assert_eq!(b.code(&sos), 100);
    }
}

/// A mailbox that is full: the shard that cannot hand the call over refuses it.
#[test]
fn unheard_calls_are_refused() {
    let mut b = Bench::new();
    let flow = Flow::to(ListenerId(0), PBX.parse().unwrap());
    for (bytes, answers) in [
        (invite(1), 1),
        (request("BYE", "sip:1@127.0.0.1", 2, ""), 0),
        ("INVITE garbage".to_owned(), 0),
    ] {
        let bytes = Bytes::from(bytes);
        b.w.b2bua.refuse_unheard(flow, bytes, b.now);
        assert_eq!(b.drain().0.len(), answers);
    }
    assert_eq!(b.w.b2bua.holdings(), [0; 4]);
}
