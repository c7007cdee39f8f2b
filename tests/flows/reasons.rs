//! Why a call ended, as it is told to each side (RFC 3326).

use intertrunk_proto::ask::{CodeMap, Rejection, Verdict};
use intertrunk_sip::{Message, Name};
use sim::{Errand, Final, Manner, Ring, Weather, ms, policy, rules};

use super::{Mood, World, call, gw_a, world};

/// Reason values of the messages to a trunk that begin so.
fn reasons(world: &World, trunk: &str, start: &str) -> Vec<Vec<String>> {
    let of = |m: &Message| {
        let values = m.headers(Name::Reason).map(String::from_utf8_lossy);
        values.map(|v| v.into_owned()).collect()
    };
    world.sent_to(trunk, start).iter().map(of).collect()
}

/// One call on a quiet day, from the caller's side.
fn run(world: &mut World, errand: &Errand) {
    call(world, errand);
    let broken = rules::settle(world);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Header lines of a model user agent.
type Lines = &'static [(&'static str, &'static str)];

fn says(lines: Lines) -> Manner {
    Manner {
        lines,
        ..Manner::default()
    }
}

fn refuses(code: u16, lines: Lines) -> Manner {
    Manner {
        ring: None,
        last: Final::Refuse(ms(10), code),
        ..says(lines)
    }
}

fn parting(lines: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    lines.iter().map(owned).collect()
}

const NORMAL: &str = "Q.850;cause=16;text=\"Normal call clearing\"";

#[test]
fn a_hang_up_says_why_on_the_other_side() {
    let mut w = world();
    let said = "Q.850;cause=31;text=\"lunch, at last\"";
    let errand = Errand {
        parting: parting(&[("Reason", said), ("reason", "SIP;cause=410")]),
        ..Errand::to("1")
    };
    run(&mut w, &errand);
    assert_eq!(reasons(&w, "gw-a", "BYE"), [[said, "SIP;cause=410"]]);
    assert_eq!(w.records()[0].hangup_cause, 31);

    let mut w = world();
    run(&mut w, &Errand::to("1"));
    assert_eq!(reasons(&w, "gw-a", "BYE"), [[NORMAL]], "nothing was said");

    let mut w = world();
    let manner = Manner {
        hang_up: Some(ms(100)),
        ..says(&[("Reason", "Q.850;cause=41")])
    };
    gw_a(&mut w, manner);
    run(&mut w, &Errand::to("1"));
    assert_eq!(reasons(&w, "pbx-a", "BYE"), [["Q.850;cause=41"]]);
}

#[test]
fn a_call_that_the_host_ends_says_so_to_both() {
    let mut w = world();
    let errand = Errand {
        hang_up: None,
        ..Errand::to("1")
    };
    call(&mut w, &errand);
    let id = w.calls()[0];
    w.input(intertrunk_proto::Input::EndCall(id));
    rules::settle(&mut w);
    for trunk in ["pbx-a", "gw-a"] {
        assert_eq!(reasons(&w, trunk, "BYE"), [[NORMAL]]);
    }
}

/// K20: the caller's reason for giving up is told to those who ring.
#[test]
fn a_cancel_says_why_on_the_other_side() {
    let ringing = || {
        let mut w = world();
        let manner = Manner {
            last: Final::Rings,
            ..Manner::default()
        };
        gw_a(&mut w, manner);
        w
    };
    let said = "SIP;cause=600;text=\"Busy Everywhere\"";
    let mut w = ringing();
    let errand = Errand {
        cancel: Some(ms(500)),
        parting: parting(&[("Reason", said)]),
        ..Errand::to("1")
    };
    run(&mut w, &errand);
    assert_eq!(reasons(&w, "gw-a", "CANCEL"), [[said]]);
    let cause = "Q.850;cause=16;text=\"Normal call clearing\"";
    assert_eq!(reasons(&w, "pbx-a", "SIP/2.0 487"), [[cause]]);

    let mut w = ringing();
    let errand = Errand {
        cancel: Some(ms(500)),
        ..Errand::to("1")
    };
    run(&mut w, &errand);
    assert_eq!(reasons(&w, "gw-a", "CANCEL"), [[""; 0]], "a missed call");
}

/// RFC 3326 §3.1: whoever rang in vain learns that somebody else answered.
#[test]
fn losers_of_a_fork_learn_that_the_call_was_answered_elsewhere() {
    let elsewhere = "SIP;cause=200;text=\"Call completed elsewhere\"";
    let both = || {
        let mood = Mood::verdict(|| {
            let mut plan = policy::plan_to(&["gw-a", "gw-b"]);
            plan.candidates[1].group = 0;
            Verdict::Connect(plan)
        });
        World::new(1, Weather::default(), mood)
    };
    for last in [Final::Rings, Final::AnswersCancel] {
        let mut w = both();
        let manner = Manner {
            last,
            ..Manner::default()
        };
        gw_a(&mut w, manner);
        run(&mut w, &Errand::to("1"));
        assert_eq!(reasons(&w, "gw-a", "CANCEL"), [[elsewhere]]);
        let crossed = matches!(last, Final::AnswersCancel);
        let byes = reasons(&w, "gw-a", "BYE");
        assert_eq!(byes, vec![vec![elsewhere]; usize::from(crossed)]);
    }
    let mut w = both();
    let manner = Manner {
        last: Final::Rings,
        ..Manner::default()
    };
    gw_a(&mut w, manner);
    w.ua("gw-b").manners.push(refuses(600, &[]));
    run(&mut w, &Errand::to("1"));
    let busy = "SIP;cause=600;text=\"Busy Everywhere\"";
    assert_eq!(reasons(&w, "gw-a", "CANCEL"), [[busy]], "nobody wants it");
}

/// K20, C7: the cause that the called side gave, or the one that stands for its code.
#[test]
fn a_failure_tells_the_caller_its_cause() {
    let table: [(u16, Lines, &str); 4] = [
        (486, &[], "Q.850;cause=17;text=\"User busy\""),
        (
            480,
            &[("Reason", "SIP;cause=480"), ("Reason", "Q.850;cause=20")],
            "Q.850;cause=20;text=\"Subscriber absent\"",
        ),
        (404, &[("Reason", "Q.850;cause=99")], "Q.850;cause=99"),
        (603, &[], "Q.850;cause=21;text=\"Call rejected\""),
    ];
    for (code, lines, cause) in table {
        let mut w = world();
        gw_a(&mut w, refuses(code, lines));
        run(&mut w, &Errand::to("1"));
        let start = format!("SIP/2.0 {code}");
        assert_eq!(reasons(&w, "pbx-a", &start), [[cause]]);
    }
}

/// K20: the host's own refusals have a cause as well, and a translated code keeps the known one.
#[test]
fn a_refusal_of_the_host_has_a_cause() {
    let mood = |code, q850| {
        Mood::verdict(move || {
            Verdict::Reject(Rejection {
                code,
                q850,
                ..Rejection::default()
            })
        })
    };
    let unallocated = "Q.850;cause=1;text=\"Unallocated number\"";
    for (q850, cause) in [
        (None, unallocated),
        (Some(3), "Q.850;cause=3;text=\"No route to destination\""),
    ] {
        let mut w = World::new(1, Weather::default(), mood(404, q850));
        run(&mut w, &Errand::to("1"));
        assert_eq!(reasons(&w, "pbx-a", "SIP/2.0 404"), [[cause]]);
    }
    let mood = Mood::verdict(|| {
        let mut plan = policy::plan_to(&["gw-a"]);
        plan.code_maps = vec![CodeMap {
            from_code: 503,
            q850: None,
            to_code: 480,
        }];
        Verdict::Connect(plan)
    });
    let mut w = World::new(1, Weather::default(), mood);
    gw_a(&mut w, refuses(503, &[("Reason", "Q.850;cause=34")]));
    run(&mut w, &Errand::to("1"));
    let full = "Q.850;cause=34;text=\"No circuit available\"";
    assert_eq!(reasons(&w, "pbx-a", "SIP/2.0 480"), [[full]]);
}

/// K20: overload is told with a time to come back; one peer's trouble is not ours.
#[test]
fn only_the_host_s_own_overload_asks_to_come_back() {
    let retry = |w: &World| {
        let answers = w.sent_to("pbx-a", "SIP/2.0 503");
        let of = |m: &Message| m.u32_header(Name::RetryAfter);
        answers.iter().map(of).collect::<Vec<_>>()
    };
    let mut w = World::with_trunks(1, Weather::default(), Mood::connect(&["gw-a"]), |trunk| {
        trunk.calls_in_max = Some(0);
    });
    run(&mut w, &Errand::to("1"));
    assert!(matches!(retry(&w)[..], [Some(2..=10)]), "drawn");
    let mut w = World::new(1, Weather::default(), Mood::connect(&["gw-a"]));
    gw_a(&mut w, refuses(503, &[("Retry-After", "600")]));
    run(&mut w, &Errand::to("1"));
    assert_eq!(retry(&w), [None], "the caller would leave us alone");
    let mut w = world();
    gw_a(&mut w, refuses(486, &[("Retry-After", "60")]));
    run(&mut w, &Errand::to("1"));
    let busy = &w.sent_to("pbx-a", "SIP/2.0 486")[0];
    assert_eq!(busy.u32_header(Name::RetryAfter), Some(60));
}

/// An attempt that rang too long is told so.
#[test]
fn an_attempt_that_rang_too_long_is_told_so() {
    let mood = Mood::verdict(|| {
        let mut plan = policy::plan_to(&["gw-a", "gw-b"]);
        plan.candidates[0].ring_ms = Some(2_000);
        Verdict::Connect(plan)
    });
    let mut w = World::new(1, Weather::default(), mood);
    let manner = Manner {
        ring: Some(Ring {
            after: ms(20),
            code: 180,
        }),
        last: Final::Rings,
        ..Manner::default()
    };
    gw_a(&mut w, manner);
    run(&mut w, &Errand::to("1"));
    let late = "SIP;cause=408;text=\"Request Timeout\"";
    assert_eq!(reasons(&w, "gw-a", "CANCEL"), [[late]]);
}
