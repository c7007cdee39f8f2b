//! Full trunks, fast callers, operators' switches, and the calls for help that pass them all.

use intertrunk_proto::ask::{PolicyFault, Verdict};
use intertrunk_proto::trunk::{Rate, Switch, Trunk};
use intertrunk_proto::{Emergency, Event, Input, TrunkId};
use sim::policy::plan_to;
use sim::{Errand, Final, Manner, Mood, Weather, World, ms, rules};

use super::gw_a;

fn world_of(mood: Mood, edit: fn(&mut Trunk)) -> World {
    World::with_trunks(1, Weather::default(), mood, edit)
}

/// Calls these numbers from pbx-a, one every tenth of a second. For each call the trunks that it was
/// tried on, in the order in which the calls ended.
fn calls(w: &mut World, numbers: &[&str]) -> Vec<String> {
    let before = w.records().len();
    for number in numbers {
        let now = w.now;
        w.ua("pbx-a").place(&Errand::to(number), now);
        w.run(ms(100));
    }
    w.run(ms(3_000));
    let records = w.records();
    let tried = records[before..].iter().map(|record| {
        let attempts = record.attempts.iter();
        let attempts: Vec<_> = attempts
            .map(|a| format!("{} {}", a.trunk, a.reason))
            .collect();
        attempts.join(", ")
    });
    tried.collect()
}

/// Codes of final answers that pbx-a got to its INVITEs, in the order of the codes.
fn codes(w: &World) -> Vec<u16> {
    let answers = w.sent_to("pbx-a", "SIP/2.0 ");
    let finals = answers
        .iter()
        .filter(|m| m.method().as_str() == "INVITE" && m.status() >= 200);
    let mut codes: Vec<_> = finals.map(|m| m.status()).collect();
    codes.sort_unstable();
    codes
}

/// F16, F19: a trunk that is sent calls too fast is passed over; the next candidate takes them.
#[test]
fn trunk_over_its_rate() {
    let mut w = world_of(Mood::connect(&["gw-a", "gw-b"]), |trunk| {
        if &*trunk.name == "gw-a" {
            trunk.rates.outgoing = Some(Rate {
                per_second: 1,
                burst: 2,
            });
        }
    });
    let over = "gw-a trunk over its rate, gw-b OK";
    assert_eq!(
        calls(&mut w, &["1", "2", "3"]),
        ["gw-a OK", "gw-a OK", over]
    );
    assert_eq!(calls(&mut w, &["4"]), ["gw-a OK"], "a second later");
    assert_eq!(rules::settle(&mut w), Vec::<String>::new());
}

/// F16: calls that come in too fast are refused with a time to wait, from their bytes alone; an emergency
/// call among them is not.
#[test]
fn callers_over_the_rate() {
    let mut w = world_of(Mood::connect(&["gw-a"]), |trunk| {
        if &*trunk.name == "pbx-a" {
            trunk.rates.incoming = Some(Rate {
                per_second: 1,
                burst: 1,
            });
        }
    });
    let numbers = ["1", "2", "urn:service:sos", "3"];
    assert_eq!(calls(&mut w, &numbers), ["gw-a OK", "gw-a OK"]);
    assert_eq!(codes(&w), [200, 200, 503, 503]);
    for refusal in w.sent_to("pbx-a", "SIP/2.0 503") {
        let wait = refusal.header_named("Retry-After").next();
        assert!(wait.is_some_and(|seconds| !seconds.is_empty()));
    }
    let shed = w
        .events
        .iter()
        .filter(|(_, e)| matches!(e, Event::Shed { .. }));
    assert_eq!(shed.count(), 2);
    assert_eq!(rules::settle(&mut w), Vec::<String>::new());
}

/// Numbers for help, and where they go.
fn with_emergency(mut w: World, route: &[u32]) -> World {
    let emergency = Emergency {
        numbers: vec!["911".to_owned()],
        route: route.iter().map(|id| TrunkId(*id)).collect(),
    };
    w.restrain(|s| s.emergency = emergency);
    w
}

const GW_A: u32 = 2;
const GW_B: u32 = 3;

/// F17, C11: whatever becomes of the policy, a call for help is made on the configured route; all others
/// fall back as declared.
#[test]
fn policy_fault_does_not_stop_a_call_for_help() {
    for fault in [
        PolicyFault::Timeout,
        PolicyFault::Quarantined,
        PolicyFault::NotReady,
    ] {
        let mut w = with_emergency(world_of(Mood::fault(fault), |_| {}), &[GW_B, GW_A]);
        assert_eq!(calls(&mut w, &["1", "911"]), ["", "gw-b OK"]);
        assert_eq!(codes(&w), [200, 503]);
        assert_eq!(rules::settle(&mut w), Vec::<String>::new());
    }
    let mood = Mood::verdict(|| Verdict::Connect(plan_to(&["nowhere"])));
    let mut w = with_emergency(world_of(mood, |_| {}), &[GW_B]);
    assert_eq!(
        calls(&mut w, &["urn:service:sos"]),
        ["gw-b OK"],
        "nobody known"
    );
}

/// F17, C11: when all candidates of the policy failed, what is left of the configured route is tried.
#[test]
fn help_is_sought_further() {
    let mut w = world_of(Mood::connect(&["gw-a"]), |_| {});
    w = with_emergency(w, &[GW_A, GW_B]);
    let refuses = Manner {
        ring: None,
        last: Final::Refuse(ms(10), 503),
        ..Manner::default()
    };
    gw_a(&mut w, refuses);
    gw_a(&mut w, refuses);
    let tried = calls(&mut w, &["1", "911"]);
    let help = "gw-a Service Unavailable, gw-b OK";
    assert_eq!(tried, ["gw-a Service Unavailable", help]);
    w.ua("gw-b").manners.push(refuses);
    gw_a(&mut w, refuses);
    let all = "gw-a Service Unavailable, gw-b Service Unavailable";
    assert_eq!(calls(&mut w, &["911"]), [all], "and not again and again");
    assert_eq!(rules::settle(&mut w), Vec::<String>::new());
}

/// F17: full trunks, a rate that is used up, trunks and a node that drain: a call for help passes, on both
/// sides.
#[test]
fn help_passes_every_limit() {
    let mut w = world_of(Mood::connect(&["gw-a"]), |trunk| {
        trunk.calls_max = Some(1);
        trunk.reserve_emergency = 1;
        trunk.rates.both = Some(Rate {
            per_second: 1,
            burst: 1,
        });
    });
    w = with_emergency(w, &[]);
    // The second one finds the last place taken.
    assert_eq!(calls(&mut w, &["1", "911", "911"]), ["gw-a OK", "gw-a OK"]);
    w.state("gw-a").set_switch(Switch::Draining);
    w.state("pbx-a").set_switch(Switch::Draining);
    w.input(Input::Drain);
    assert_eq!(calls(&mut w, &["1", "911"]), ["gw-a OK"]);
    assert_eq!(codes(&w), [200, 200, 200, 503, 503]);
    assert_eq!(rules::settle(&mut w), Vec::<String>::new());
}

/// F17, F5: a call for help tries what is well first, and what is down when there is nobody else.
#[test]
fn help_is_sought_even_where_nobody_answers() {
    use intertrunk_proto::trunk::Health;
    let mut w = with_emergency(world_of(Mood::connect(&["gw-a", "gw-b"]), |_| {}), &[]);
    w.state("gw-a").set_health(Health::Down);
    assert_eq!(calls(&mut w, &["911"]), ["gw-b OK"]);
    w.state("gw-b").set_health(Health::Down);
    assert_eq!(calls(&mut w, &["911"]), ["gw-a OK"]);
    let [a, b] = ["gw-a trunk down", "gw-b trunk down"];
    assert_eq!(calls(&mut w, &["1"]), [format!("{a}, {b}")]);
}

/// T12: a trunk that drains finishes what is up, and what rings, and takes nothing new in either
/// direction: the next candidate takes calls to it, calls from it hear 503.
#[test]
fn draining_trunk_finishes_its_calls() {
    let mut w = world_of(Mood::connect(&["gw-a", "gw-b"]), |_| {});
    let long = |callee: &str| Errand {
        hang_up: Some(ms(20_000)),
        ..Errand::to(callee)
    };
    let slow = Manner {
        last: Final::Answer(ms(5_000)),
        ..Manner::default()
    };
    let now = w.now;
    w.ua("pbx-a").place(&long("1"), now);
    w.run(ms(1_000));
    gw_a(&mut w, slow);
    let now = w.now;
    w.ua("pbx-a").place(&long("2"), now);
    w.run(ms(1_000));
    w.state("gw-a").set_switch(Switch::Draining);
    assert_eq!(calls(&mut w, &["3"]), ["gw-a trunk draining, gw-b OK"]);
    assert_eq!(w.state("gw-a").outgoing(), 2);
    let now = w.now;
    w.ua("gw-a").place(&Errand::to("4"), now);
    w.run(ms(1_000));
    let refused = w.sent_to("gw-a", "SIP/2.0 503").len();
    assert_eq!(refused, 1, "nothing new comes in");
    assert_eq!(rules::settle(&mut w), Vec::<String>::new());
    let ends: Vec<u16> = w.records().iter().map(|r| r.final_code).collect();
    assert_eq!(ends, [200, 200, 200], "all that began was finished");
    w.state("gw-a").set_switch(Switch::Enabled);
    assert_eq!(calls(&mut w, &["5"]), ["gw-a OK"]);
}

/// O14: somebody is told once when a trunk takes 90 % of a limit, and once when that is over.
#[test]
fn limit_is_told_of() {
    let mut w = world_of(Mood::connect(&["gw-a"]), |trunk| {
        trunk.calls_out_max = Some(2);
    });
    calls(&mut w, &["1", "2", "3"]);
    w.run(ms(10_000));
    calls(&mut w, &["4"]);
    let told = w.events.iter().filter_map(|(_, event)| match event {
        Event::TrunkNearLimit { trunk, near } => Some((trunk.0, *near)),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [(GW_A, true), (GW_A, false)]);
}
