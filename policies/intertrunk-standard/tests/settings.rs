//! What a plan carries besides trunks and numbers: timers, codes, durations, the mark of an emergency;
//! and what is asked of the host.

#![allow(clippy::unwrap_used)]

use intertrunk_sdk::test::{Host, TrunkFixture, TrunkKind, query};
use intertrunk_sdk::{
    Answer, Cause, CodeMap, ExhaustedAction, Media, NoAnswer, Plan, Policy, Rejection, Verdict,
};
use intertrunk_standard::Standard;

fn configured(text: &str) -> Standard {
    Standard::configure(text).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn plan(policy: &Standard, from: &str, to: &str) -> Plan {
    match policy.decide(&query(from, to)) {
        Verdict::Connect(plan) => plan,
        other => panic!("{other:?}"),
    }
}

fn rejection(policy: &Standard, from: &str, to: &str) -> Rejection {
    match policy.decide(&query(from, to)) {
        Verdict::Reject(rejection) => rejection,
        other => panic!("{other:?}"),
    }
}

/// T4, F7, F8: the place over the route, the route over the trunk, the trunk over its site and all.
#[test]
fn the_most_specific_setting_wins() {
    let policy = configured(
        "
        [global]
        no_progress = '10s'
        ring = '60s'
        failover = [503]
        media = 'relay'
        [[site]]
        name = 'london'
        no_progress = '9s'
        ring = '50s'
        [[trunk]]
        name = 'gw-b'
        no_progress = '8s'
        failover = [500, 503]
        [[route]]
        name = 'all'
        ring = '40s'
        max_duration = '4h'
        exhausted = 480
        tags = { department = 'sales' }
        to = ['gw-a', 'gw-b', { trunk = 'gw-c', peer = '192.0.2.9:5060', ring = '3s', failover = [404] }]",
    );
    let in_london = |name: &str| TrunkFixture {
        site: Some("london".to_owned()),
        ..TrunkFixture::new(name)
    };
    let _host = Host::new()
        .trunks(["gw-b", "gw-c"].map(in_london))
        .install();
    let plan = plan(&policy, "pbx-a", "1");
    let timers: Vec<_> = plan
        .candidates
        .iter()
        .map(|it| (it.no_progress_ms, it.ring_ms))
        .collect();
    assert_eq!(
        timers,
        [
            (Some(10_000), Some(40_000)),
            (Some(8_000), Some(40_000)),
            (Some(9_000), Some(3_000))
        ]
    );
    let failover = |at: usize| plan.candidates[at].failover.clone().unwrap();
    assert_eq!(
        [failover(0), failover(1), failover(2)],
        [vec![503], vec![500, 503], vec![404]]
    );
    assert!(plan.candidates.iter().all(|it| it.media == Media::Relay));
    assert_eq!(plan.candidates[2].peer.as_deref(), Some("192.0.2.9:5060"));
    assert_eq!(plan.max_duration_s, Some(14_400));
    assert_eq!(plan.when_exhausted, ExhaustedAction::Reply(480));
    let tags: Vec<_> = plan.tags.iter().map(|it| (&*it.name, &*it.value)).collect();
    assert_eq!(tags, [("route", "all"), ("department", "sales")]);
}

/// F6: no more than so many trunks, whatever the routes offer.
#[test]
fn attempts_are_bounded() {
    let policy = configured(
        "
        [global]
        attempts = 2
        [[route]]
        name = 'three'
        attempts = 3
        prefix = '3'
        to = ['a', 'b', 'c', 'd']
        [[route]]
        name = 'two'
        to = ['a', 'b', 'c', 'd']",
    );
    assert_eq!(plan(&policy, "x", "3").candidates.len(), 3);
    assert_eq!(plan(&policy, "x", "2").candidates.len(), 2);
}

/// C7: a code that becomes another is given to the caller so, and fails over as that one does.
#[test]
fn a_code_that_becomes_another_fails_over_as_that_one() {
    let policy = configured(
        "
        [[trunk]]
        name = 'gw-a'
        codes = [
            { from = 486, cause = 34, to = 503 },
            { from = [404, 484], to = 503 },
            { from = 503, to = 480 },
        ]
        [[trunk]]
        name = 'gw-b'
        failover = [486]
        codes = [{ from = 'any', cause = 41, to = 503 }]
        [[route]]
        name = 'all'
        to = ['gw-a', 'gw-b']",
    );
    let plan = plan(&policy, "pbx-a", "1");
    assert_eq!(
        plan.candidates[0].failover.as_deref(),
        Some(&[408, 500, 502, 504, 404, 484][..])
    );
    assert_eq!(plan.candidates[1].failover.as_deref(), Some(&[486][..]));
    let map = |from_code, q850, to_code| CodeMap {
        from_code,
        q850,
        to_code,
    };
    assert_eq!(
        plan.code_maps[..4],
        [
            map(486, Some(34), 503),
            map(404, None, 503),
            map(484, None, 503),
            map(503, None, 480)
        ]
    );
    let any = &plan.code_maps[4..];
    assert_eq!(any.len(), 18);
    assert!(any.contains(&map(486, Some(41), 503)), "{any:?}");
    assert!(
        any.iter()
            .all(|it| it.q850 == Some(41) && it.to_code == 503)
    );
}

/// R17: code, Q.850 cause, reason phrase and time.
#[test]
fn a_refusal_says_what_the_dial_plan_says() {
    let policy = configured(
        "
        [[route]]
        name = 'full'
        prefix = '1'
        reject = { code = 503, cause = 34, reason = 'Try later', retry_after = '1m' }
        [[route]]
        name = 'short'
        reject = 484",
    );
    assert_eq!(
        rejection(&policy, "x", "1"),
        Rejection::with(503)
            .q850(34)
            .phrase("Try later")
            .retry_after_s(60)
    );
    assert_eq!(rejection(&policy, "x", "2"), Rejection::with(484));
}

/// C11: the plan of a call for help is marked, and no limit holds for it.
#[test]
fn a_call_for_help_is_marked() {
    let policy = configured(
        "
        [global]
        attempts = 1
        [[emergency]]
        number = '911'
        to = ['a', 'b']
        [[route]]
        name = 'all'
        to = ['a', 'b']",
    );
    let help = plan(&policy, "x", "911");
    assert_eq!(help.candidates.len(), 2);
    assert_eq!(
        help.extra.iter().map(|it| &*it.name).collect::<Vec<_>>(),
        ["emergency"]
    );
    let other = plan(&policy, "x", "912");
    assert_eq!((other.candidates.len(), other.extra.len()), (1, 0));
}

/// R8: the host is asked for the headers that routes look at, and no others.
#[test]
fn headers_are_asked_for_by_the_dial_plan() {
    let policy = configured(
        "
        [[route]]
        name = 'a'
        header = { name = 'X-Account' }
        to = 'a'
        [[route]]
        name = 'b'
        header = [{ name = 'x-account', prefix = '7' }, { name = 'Priority', absent = true }]
        to = 'b'",
    );
    assert_eq!(policy.headers(), ["priority", "x-account"]);
    assert!(Standard::describe().headers.is_empty());
}

/// R12: over many calls each trunk gets its share.
#[test]
fn shares_are_those_of_the_order() {
    let first = |order: &str, weight: &str| {
        let policy = configured(&format!(
            "
            [[route]]
            name = 'all'
            order = '{order}'
            to = [{{ trunk = 'a'{weight} }}, 'b', 'c']",
        ));
        let mut counts = [0; 3];
        for seed in 0..3000 {
            let query = intertrunk_sdk::Query {
                seed,
                ..query("x", "1")
            };
            let Verdict::Connect(plan) = policy.decide(&query) else {
                panic!("no plan");
            };
            let at = ["a", "b", "c"]
                .iter()
                .position(|it| *it == plan.candidates[0].trunk);
            counts[at.unwrap()] += 1;
        }
        counts
    };
    for (order, weight, expected) in [
        ("round-robin", "", [1000; 3]),
        ("random", "", [1000; 3]),
        ("weighted", ", weight = 8", [2400, 300, 300]),
    ] {
        let counts = first(order, weight);
        for (count, expected) in counts.iter().zip(expected) {
            assert!(i32::abs_diff(*count, expected) < 120, "{order}: {counts:?}");
        }
    }
}

/// R21: a trunk that the host knows nothing of is no gateway of any site, and stops nobody.
#[test]
fn sites_are_those_of_the_host_at_the_time() {
    let policy = configured(
        "
        [global]
        location_routing = true
        [[route]]
        name = 'all'
        to = 'gw'",
    );
    let world = |site: &str| {
        let trunk = |name: &str, kind, site: &str| TrunkFixture {
            kind,
            site: Some(site.to_owned()),
            ..TrunkFixture::new(name)
        };
        Host::new().trunks([
            trunk("pbx", TrunkKind::Pbx, "redmond"),
            trunk("gw", TrunkKind::Pstn, site),
        ])
    };
    {
        let _host = world("reading").install();
        let refusal = Rejection::with(403).q850(21);
        assert_eq!(rejection(&policy, "pbx", "1"), refusal);
    }
    let _host = world("redmond").install();
    assert_eq!(plan(&policy, "pbx", "1").candidates[0].trunk, "gw");
}

/// R13 R18: what was redirected is looked up by its new number, which the answer does not say again.
#[test]
fn redirected_calls_are_looked_up_by_their_new_number() {
    let policy = configured(
        "
        [[lookup]]
        source = 'lnp'
        prefix = '+'
        [[route]]
        name = 'redirected'
        cause = 'redirected'
        to = 'gw'",
    );
    let mut query = query("x", "1");
    let parties = ["tel:+2", "tel:+3"].map(intertrunk_sdk::test::party);
    query.cause = Cause::Redirected(parties.to_vec());
    let Verdict::Inquire(inquiry) = policy.decide(&query) else {
        panic!("it asks nobody")
    };
    let keys: Vec<&str> = inquiry.look_ups.iter().map(|it| &*it.key).collect();
    assert_eq!(keys, ["+2"], "the best place first");
    query.cookie = inquiry.cookie;
    query.cause = Cause::Answered(vec![Answer {
        source: "lnp".to_owned(),
        key: "+2".to_owned(),
        outcome: Err(NoAnswer::Timeout),
    }]);
    let Verdict::Connect(plan) = policy.decide(&query) else {
        panic!("it goes nowhere")
    };
    assert_eq!(plan.candidates[0].callee.as_deref(), Some("+2"));
}
