//! The guard against toll fraud: by whichever way a call from the PSTN would come to the PSTN again, it
//! does not, unless the configuration allows that pair of trunks.

use intertrunk_proto::ask::{Cause, PolicyFault, Query, Verdict, WhenExhausted};
use intertrunk_proto::trunk::{Redirects, Trunk};
use intertrunk_proto::{Fallback, TrunkId};
use sim::policy::plan_to;
use sim::{Errand, Final, Manner, Mood, Weather, World, ms};

use super::{check, talk};

/// gw-b, as the configuration numbers it.
const GW_B: TrunkId = TrunkId(3);

/// gw-a may call gw-b.
fn allowed(trunk: &mut Trunk) {
    if *trunk.name == *"gw-a" {
        trunk.pstn_to = vec![GW_B];
    }
    trunk.redirects = Redirects::Follow;
}

fn forbidden(trunk: &mut Trunk) {
    trunk.redirects = Redirects::Follow;
}

/// A call from gw-a, whose policy is in this mood, finds a way to gw-b only where that pair is allowed.
fn guarded(name: &str, mood: impl Fn() -> Mood, prepare: fn(&mut World)) {
    for (edit, reached) in [(allowed as fn(&mut Trunk), true), (forbidden, false)] {
        let mut w = World::with_trunks(1, Weather::default(), mood(), edit);
        prepare(&mut w);
        let now = w.now;
        w.ua("gw-a").place(&Errand::to("+4420"), now);
        w.run(ms(30_000));
        assert_eq!(!w.sent_to("gw-b", "INVITE").is_empty(), reached, "{name}");
        if !reached {
            check(name, &mut w);
            let refused = &w.records()[0].refused;
            assert!(refused[0].contains("from PSTN to PSTN"), "{refused:?}");
        }
    }
}

/// pbx-b answers its next call with this.
fn pbx_b(w: &mut World, code: u16, places: Option<&'static str>) {
    let manner = Manner {
        ring: None,
        last: Final::Refuse(ms(10), code),
        places,
        ..Manner::default()
    };
    w.ua("pbx-b").manners.push(manner);
}

/// To gw-b when asked for this cause, first to pbx-b.
fn later(is_later: fn(&Cause) -> bool) -> Mood {
    Mood::asked(move |query| match is_later(&query.cause) {
        true => Verdict::Connect(plan_to(&["gw-b"])),
        false => {
            let mut plan = plan_to(&["pbx-b"]);
            plan.when_exhausted = WhenExhausted::AskAgain;
            Verdict::Connect(plan)
        }
    })
}

/// S2: a redirection that the host follows.
#[test]
fn toll_by_a_redirection() {
    guarded(
        "toll_by_a_redirection",
        || Mood::connect(&["pbx-b"]),
        |w| pbx_b(w, 302, Some("<sip:+4420@127.0.0.22:5080>")),
    );
}

/// S2: a redirection that the policy turns to the PSTN.
#[test]
fn toll_by_a_policy_that_was_redirected() {
    guarded(
        "toll_by_a_policy_that_was_redirected",
        || later(|cause| matches!(cause, Cause::Redirected(_))),
        |w| {
            w.restrain(|snapshot| {
                for trunk in &mut snapshot.trunks {
                    std::sync::Arc::make_mut(trunk).redirects = Redirects::Policy;
                }
            });
            pbx_b(w, 302, Some("<sip:+4420@elsewhere.example>"));
        },
    );
}

/// S2: the route that the configuration itself declares for a policy that fails.
#[test]
fn toll_by_the_fallback() {
    guarded(
        "toll_by_the_fallback",
        || Mood::fault(PolicyFault::Timeout),
        |w| w.fall_back_to(Fallback::Route(vec![GW_B])),
    );
}

/// S2: a policy that is asked again when all that it named have failed.
#[test]
fn toll_when_asked_again() {
    guarded(
        "toll_when_asked_again",
        || later(|cause| matches!(cause, Cause::Exhausted(_))),
        |w| pbx_b(w, 503, None),
    );
}

/// S2: among candidates that are right.
#[test]
fn toll_among_others() {
    guarded(
        "toll_among_others",
        || Mood::connect(&["pbx-b", "gw-b"]),
        |w| pbx_b(w, 503, None),
    );
}

/// S2, C5: the PSTN takes nobody's place in a call of the PSTN, neither while it rings nor later.
#[test]
fn toll_by_replacing() {
    for last in [Final::Rings, Final::Answer(ms(50))] {
        let mood = Mood::connect(&["pbx-b"]);
        let mut w = World::with_trunks(1, Weather::default(), mood, forbidden);
        let manner = Manner {
            last,
            ..Manner::default()
        };
        w.ua("pbx-b").manners.push(manner);
        talk(&mut w, "gw-a", "1");
        let call_id = w.ua("pbx-b").sides.keys().next().unwrap().clone();
        let replaces = w.ua("pbx-b").replaces(&call_id).unwrap();
        let errand = Errand {
            headers: vec![("Replaces".to_owned(), replaces)],
            ..Errand::to("1")
        };
        let now = w.now;
        w.ua("gw-b").place(&errand, now);
        w.run(ms(1_000));
        assert_eq!(w.sent_to("gw-b", "SIP/2.0 403").len(), 1);
        assert_eq!(w.calls().len(), 1, "the call goes on");
    }
}

// ---- parties that were joined by a transfer: each is in another call than the other ----

/// 1 is at gw-a, 3 at gw-b, everybody else at pbx-b.
fn by_number(query: &Query) -> Verdict {
    let trunk = match &*query.call.callee.user {
        "1" => "gw-a",
        "3" => "gw-b",
        _ => "pbx-b",
    };
    Verdict::Connect(plan_to(&[trunk]))
}

/// A Replaces value as it stands in a URI.
fn target(number: &str, replaces: &str) -> String {
    let replaces = replaces.replace(';', "%3B").replace('=', "%3D");
    format!("<sip:{number}@127.0.0.1?Replaces={replaces}>")
}

/// pbx-a talks to both, and joins them: the first one's call asks the second one's.
fn joined(edit: fn(&mut Trunk), first: &str, second: &str) -> World {
    let mut w = World::with_trunks(1, Weather::default(), Mood::asked(by_number), edit);
    let [first, second] = [first, second].map(|number| talk(&mut w, "pbx-a", number));
    let replaces = w.ua("pbx-a").replaces(&second).unwrap();
    refer(&mut w, "pbx-a", &first, &target("9", &replaces));
    assert_eq!(w.state("pbx-a").active(), 0, "out of both");
    w
}

fn refer(w: &mut World, who: &str, call_id: &str, refer_to: &str) {
    let now = w.now;
    w.ua(who).refer_in(call_id, refer_to, &[], now);
    w.run(ms(3_000));
}

/// Everybody hangs up.
fn finish(w: &mut World) {
    for who in ["gw-a", "gw-b", "pbx-b"] {
        while w.ua(who).latest().is_some() {
            let now = w.now;
            w.ua(who).hang_up(now);
            w.run(ms(2_000));
        }
    }
}

/// S2, K14: whom somebody is joined with in another call is known there, whichever of the two calls
/// asked the other: a further transfer from there obeys the same guard.
#[test]
fn toll_by_two_transfers() {
    for (first, second, name) in [
        ("1", "2", "toll_by_two_transfers"),
        ("2", "1", "toll_by_two_transfers_the_other_way"),
    ] {
        for (edit, reached) in [(allowed as fn(&mut Trunk), true), (forbidden, false)] {
            let mut w = joined(edit, first, second);
            let talks = w.ua("pbx-b").latest().unwrap();
            refer(&mut w, "pbx-b", &talks, "<sip:3@127.0.0.1>");
            assert_eq!(w.state("gw-b").active() == 1, reached, "{:#?}", w.ladder);
            finish(&mut w);
            if !reached {
                check(name, &mut w);
                let mut refused = w.records().into_iter().flat_map(|r| r.refused.clone());
                assert!(refused.any(|why| why.contains("from PSTN to PSTN")));
            }
        }
    }
}

/// S2, K14: the same where the second transfer joins two calls, too.
#[test]
fn toll_by_joining_twice() {
    for (edit, reached) in [(allowed as fn(&mut Trunk), true), (forbidden, false)] {
        let mut w = joined(edit, "1", "2");
        let talks = w.ua("pbx-b").latest().unwrap();
        let other = talk(&mut w, "pbx-b", "3");
        let replaces = w.ua("pbx-b").replaces(&other).unwrap();
        refer(&mut w, "pbx-b", &talks, &target("3", &replaces));
        let told = w.ua("pbx-b").told().last().unwrap().clone();
        let expected = if reached {
            "SIP/2.0 200 OK"
        } else {
            "SIP/2.0 403 Forbidden"
        };
        assert_eq!(told, expected);
        finish(&mut w);
        if !reached {
            check("toll_by_joining_twice", &mut w);
        }
    }
}

/// S2, K14: who comes later to the other call is known here, too.
#[test]
fn toll_by_a_party_that_came_later() {
    for (edit, reached) in [(allowed as fn(&mut Trunk), true), (forbidden, false)] {
        let mut w = joined(edit, "2", "22");
        let [one, two] = {
            let sides = w.ua("pbx-b").sides.keys().cloned().collect::<Vec<_>>();
            <[String; 2]>::try_from(sides).unwrap()
        };
        // One of the two telephones leaves its place to the PSTN, the other one then wants to.
        refer(&mut w, "pbx-b", &two, "<sip:1@127.0.0.1>");
        assert_eq!(w.state("gw-a").active(), 1, "{:#?}", w.ladder);
        refer(&mut w, "pbx-b", &one, "<sip:3@127.0.0.1>");
        assert_eq!(w.state("gw-b").active() == 1, reached, "{:#?}", w.ladder);
        finish(&mut w);
        if !reached {
            check("toll_by_a_party_that_came_later", &mut w);
        }
    }
}
