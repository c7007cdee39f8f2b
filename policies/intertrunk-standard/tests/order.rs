//! What decides when several entries are about one call, and that many of them stay cheap.

use std::fmt::Write;

use intertrunk_sdk::test::{Host, query};
use intertrunk_sdk::{Plan, Policy, Verdict};
use intertrunk_standard::Standard;

fn configured(text: &str) -> Standard {
    Standard::configure(text).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn decide(policy: &Standard, from: &str, to: &str) -> Plan {
    match policy.decide(&query(from, to)) {
        Verdict::Connect(plan) => plan,
        other => panic!("{other:?}"),
    }
}

/// First trunk and the number that it is sent.
fn first(policy: &Standard, from: &str, to: &str) -> (String, Option<String>) {
    let candidate = decide(policy, from, to).candidates.swap_remove(0);
    (candidate.trunk, candidate.callee)
}

#[test]
fn the_first_route_wins_however_long_its_prefix() {
    let policy = configured(
        "
        [[route]]
        name = 'for one trunk'
        from = 'pbx-a'
        prefix = '+1'
        to = 'gw-a'
        [[route]]
        name = 'longer, but later'
        prefix = '+1425'
        to = 'gw-b'
        [[route]]
        name = 'anything'
        to = 'gw-c'",
    );
    assert_eq!(first(&policy, "pbx-a", "+14255550100").0, "gw-a");
    assert_eq!(first(&policy, "pbx-b", "+14255550100").0, "gw-b");
    assert_eq!(first(&policy, "pbx-b", "alice").0, "gw-c");
}

#[test]
fn rules_of_all_blocks_of_a_trunk_apply_in_order() {
    let policy = configured(
        "
        [[translate]]
        trunk = 'gw-a'
        called = [{ prefix = '+1', strip = 2 }]
        [[translate]]
        called = [{ prefix = '+', strip = 1, add = '00' }]
        [[route]]
        name = 'all'
        to = ['gw-a', 'gw-b']",
    );
    let callees = |to: &str| -> Vec<Option<String>> {
        decide(&policy, "pbx-a", to)
            .candidates
            .into_iter()
            .map(|it| it.callee)
            .collect()
    };
    assert_eq!(
        callees("+1425"),
        [Some("425".to_owned()), Some("001425".to_owned())]
    );
    assert_eq!(
        callees("+44"),
        [Some("0044".to_owned()), Some("0044".to_owned())]
    );
    assert_eq!(
        callees("911"),
        [None, None],
        "a number without a rule is left as received"
    );
}

#[test]
fn an_alternative_is_found_under_each_of_its_beginnings() {
    let policy = configured(
        r"
        [[route]]
        name = 'cities'
        match = '^\+1(425|206)\d{7}$'
        to = 'gw-a'
        [[route]]
        name = 'contains'
        match = '99'
        to = 'gw-b'
        [[route]]
        name = 'else'
        to = 'gw-c'",
    );
    for (to, trunk) in [
        ("+14255550100", "gw-a"),
        ("+12065550100", "gw-a"),
        ("+13035559900", "gw-b"),
        ("+13035550100", "gw-c"),
        ("+1425", "gw-c"),
    ] {
        assert_eq!(first(&policy, "pbx-a", to).0, trunk, "{to}");
    }
}

/// B8: every step is explained.
#[test]
fn every_step_is_explained() {
    let policy = configured(
        r"
        [[normalize]]
        called = [{ match = '^9(\d+)$', to = '+$1' }]
        [[route]]
        name = 'abroad'
        prefix = '+44'
        to = 'gw-a'
        [[translate]]
        strip_plus = true",
    );
    let host = Host::new().install();
    policy.decide(&query("pbx-a", "9442071234567"));
    policy.decide(&query("pbx-a", "5"));
    assert_eq!(
        host.because(),
        [
            r"pbx-a: called 9442071234567 becomes +442071234567 by match ^9(\d+)$ to +$1",
            r#"route "abroad" (prefix +44) for +442071234567"#,
            "gw-a: called +442071234567 loses its plus",
            "no route from pbx-a to 5",
        ]
    );
}

#[test]
fn a_thousand_routes_decide_as_each_alone() {
    let mut text = String::new();
    for area in 200..1200 {
        let pattern = if area % 2 == 0 {
            "prefix = '+1"
        } else {
            r"match = '^\+1"
        };
        let (quote, trunk) = ("'", area % 7);
        write!(
            text,
            "[[route]]\nname = '{area}'\n{pattern}{area}{quote}\nto = 'gw-{trunk}'\n"
        )
        .expect("a string takes all");
    }
    let policy = configured(&text);
    for area in 200..1000 {
        let (trunk, _) = first(&policy, "pbx-a", &format!("+1{area}5550100"));
        assert_eq!(trunk, format!("gw-{}", area % 7));
    }
}
