//! What meters are told: which tags count, and what a call costs from when on.

use intertrunk_proto::Event;
use intertrunk_proto::ask::{Cause, Param, Plan, Query, Tag, Verdict};
use intertrunk_proto::meter::Price;
use sim::policy::plan_to;
use sim::{Final, Manner, Mood, Weather, World, ms, rules};

use super::talk;

/// A plan to these trunks at these prices, of a call that counts as `key`.
fn plan(trunks: &[(&str, &str)], key: &str) -> Plan {
    let names: Vec<&str> = trunks.iter().map(|(trunk, _)| *trunk).collect();
    let mut plan = plan_to(&names);
    for (candidate, (_, price)) in plan.candidates.iter_mut().zip(trunks) {
        candidate.extra.push(Param {
            name: "price".to_owned(),
            value: Some((*price).to_owned()),
        });
    }
    for (name, value) in [("route", "all"), (sim::METER, key)] {
        plan.tags.push(Tag {
            name: name.to_owned(),
            value: value.to_owned(),
        });
    }
    plan
}

fn decide(query: &Query) -> Verdict {
    Verdict::Connect(match query.cause {
        Cause::Transferred(_) => plan(&[("pbx-b", "0.5")], "transfer"),
        _ => plan(&[("gw-a", "0.1"), ("gw-b", "0.25")], "call"),
    })
}

fn world() -> World {
    World::new(1, Weather::default(), Mood::asked(decide))
}

fn refuses(w: &mut World, who: &str, code: u16) {
    w.ua(who).manners.push(Manner {
        ring: None,
        last: Final::Refuse(ms(50), code),
        ..Manner::default()
    });
}

/// What meters learn, a line each.
fn told(w: &World) -> Vec<String> {
    let price = |text: &str, price: &Price| {
        let known = ["0", "0.1", "0.25", "0.5"];
        let known = known.iter().find(|it| Price::read(it) == Some(*price));
        format!("{text} at {}", known.unwrap())
    };
    let line = |event: &Event| {
        Some(match event {
            Event::Planned { tags, transfer, .. } => {
                let values: Vec<&str> = tags.iter().map(|it| &*it.value).collect();
                let what = if *transfer { "transfers" } else { "begins" };
                format!("{what} as {}", values.join(", "))
            }
            Event::CallAnswered { price: p, .. } => price("talks", p),
            Event::CallTransferred { price: p, .. } => price("goes on", p),
            Event::CallEnded(_) => "ends".to_owned(),
            _ => return None,
        })
    };
    w.events.iter().filter_map(|(_, it)| line(it)).collect()
}

fn hang_up(w: &mut World, who: &str) {
    let now = w.now;
    w.ua(who).hang_up(now);
    assert_eq!(rules::settle(w), [""; 0]);
}

fn transfer_and_hang_up(w: &mut World) {
    let now = w.now;
    w.ua("gw-a").refer("<sip:200@127.0.0.1>", &[], now);
    w.run(ms(2_000));
    hang_up(w, "pbx-a");
}

/// S10: the price is that of the candidate that took the call.
#[test]
fn a_call_costs_what_the_one_who_takes_it_costs() {
    let mut w = world();
    refuses(&mut w, "gw-a", 503);
    talk(&mut w, "pbx-a", "1");
    hang_up(&mut w, "pbx-a");
    assert_eq!(told(&w), ["begins as call", "talks at 0.25", "ends"]);
}

/// S10: a transfer counts too, and the price of the newcomer takes the place of that of who leaves.
#[test]
fn a_transfer_counts_and_has_its_own_price() {
    let mut w = world();
    talk(&mut w, "pbx-a", "1");
    transfer_and_hang_up(&mut w);
    let expected = [
        "begins as call",
        "talks at 0.1",
        "transfers as transfer",
        "goes on at 0.5",
        "ends",
    ];
    assert_eq!(told(&w), expected);
}

/// S10: one that finds nobody leaves the price as it was.
#[test]
fn a_transfer_that_fails_costs_nothing() {
    let mut w = world();
    refuses(&mut w, "pbx-b", 486);
    talk(&mut w, "pbx-a", "1");
    transfer_and_hang_up(&mut w);
    let expected = [
        "begins as call",
        "talks at 0.1",
        "transfers as transfer",
        "ends",
    ];
    assert_eq!(told(&w), expected);
}
