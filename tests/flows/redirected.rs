//! Flows in which a called side sends the call elsewhere: 3xx, by the rule of its trunk.

use std::sync::{Arc, Mutex};

use intertrunk_proto::ask::{Cause, Param, Plan, Verdict};
use intertrunk_proto::trunk::{Redirects, Trunk};
use sim::policy::plan_to;
use sim::{Errand, Final, Manner, Mood, Ring, Weather, World, ms};

use super::{call, check};

/// The model PBX answers its next call with 302 to these places.
fn redirects(w: &mut World, places: &'static str, ring: Option<Ring>) {
    let manner = Manner {
        ring,
        last: Final::Refuse(ms(50), 302),
        places: Some(places),
        ..Manner::default()
    };
    w.ua("pbx-b").manners.push(manner);
}

/// Calls go to pbx-b, whose redirections are treated by this rule.
fn ruled(edit: fn(&mut Trunk)) -> World {
    World::with_trunks(1, Weather::default(), Mood::connect(&["pbx-b"]), edit)
}

/// R18: the policy is asked again, with the places in the order of their q, and its plan is tried;
/// who rang before is no obstacle.
#[test]
fn redirection_put_to_the_policy() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let mood = Mood::asked(move |query| match &query.cause {
        Cause::Redirected(places) => {
            let users = places.iter().map(|p| p.user.clone());
            noted.lock().unwrap().extend(users);
            let mut plan = plan_to(&["gw-a"]);
            plan.candidates[0].callee = Some(places[0].user.clone());
            Verdict::Connect(plan)
        }
        _ => Verdict::Connect(plan_to(&["pbx-b"])),
    });
    let mut w = World::new(1, Weather::default(), mood);
    let places = "<sip:300@a>;q=0.3, <sip:+1425@b>, \"x\" <sip:500@c>;q=0.5";
    redirects(&mut w, places, Manner::default().ring);
    call(&mut w, &Errand::to("1"));
    check("redirection_put_to_the_policy", &mut w);
    assert_eq!(*seen.lock().unwrap(), ["+1425", "500", "300"]);
}

/// R18: a policy that sends the call back to whoever redirects it is asked a few times, no more.
#[test]
fn redirections_are_limited() {
    let mut w = ruled(|_| {});
    for _ in 0..10 {
        redirects(&mut w, "<sip:1@127.0.0.12:5070>", None);
    }
    call(&mut w, &Errand::to("1"));
    check("redirections_are_limited", &mut w);
    assert_eq!(w.records()[0].attempts.len(), 6);
}

/// R19, R18: places that are peers of trunks are tried in their order, others are not.
#[test]
fn redirection_followed() {
    let mut w = ruled(|t| t.redirects = Redirects::Follow);
    let places = "<sip:7@elsewhere.example>, <sip:%2B1425@127.0.0.21:5080>;q=0.7";
    redirects(&mut w, places, None);
    call(&mut w, &Errand::to("1"));
    check("redirection_followed", &mut w);
}

/// R19: the guards hold: a redirection does not lead back to the caller's own trunk.
#[test]
fn redirection_to_the_caller() {
    let mut w = ruled(|t| t.redirects = Redirects::Follow);
    redirects(&mut w, "<sip:7@127.0.0.11:5070>", None);
    call(&mut w, &Errand::to("1"));
    check("redirection_to_the_caller", &mut w);
    assert!(w.records()[0].refused[0].contains("back to where"));
}

/// A trusted caller is told where to go, another one is not.
#[test]
fn redirection_passed_on() {
    let mut w = ruled(|t| t.redirects = Redirects::Pass);
    redirects(&mut w, "<sip:7@elsewhere.example>;q=0.2", None);
    call(&mut w, &Errand::to("1"));
    check("redirection_passed_on", &mut w);
    let mut w = ruled(|t| {
        t.redirects = Redirects::Pass;
        t.identity.trusted = t.name.starts_with("gw");
    });
    redirects(&mut w, "<sip:7@elsewhere.example>", None);
    call(&mut w, &Errand::to("1"));
    assert!(
        w.ladder.iter().any(|l| l.contains("pbx-a  <-- 480 ")),
        "{:?}",
        w.ladder
    );
}

/// A candidate's rule goes before its trunk's.
#[test]
fn redirection_by_the_candidates_rule() {
    let mood = Mood::verdict(|| {
        let mut plan: Plan = plan_to(&["pbx-b"]);
        plan.candidates[0].extra = vec![Param {
            name: "redirects".to_owned(),
            value: Some("refuse".to_owned()),
        }];
        Verdict::Connect(plan)
    });
    let mut w = World::new(1, Weather::default(), mood);
    redirects(&mut w, "<sip:7@127.0.0.21:5080>", None);
    call(&mut w, &Errand::to("1"));
    assert!(
        w.ladder.iter().any(|l| l.contains("pbx-a  <-- 480 ")),
        "{:?}",
        w.ladder
    );
    assert_eq!(w.records()[0].attempts.len(), 1);
}
