//! Everything that is wrong with a dial plan is told at once, with its place.

use intertrunk_sdk::test::Host;
use intertrunk_sdk::{Fault, Policy};
use intertrunk_standard::Standard;

fn faults_of(text: &str) -> Vec<Fault> {
    Standard::configure(text).err().unwrap_or_default()
}

/// Path and line of each fault.
fn places(faults: &[Fault]) -> Vec<(&str, Option<u32>)> {
    faults
        .iter()
        .map(|fault| (&*fault.path, fault.line))
        .collect()
}

#[test]
fn ten_mistakes_are_ten_faults() {
    let faults = faults_of(
        r"
[[normalize]]
trunk = 'pbx-a'
called = [
    { match = '^9(\d{10})$', to = '+1$1' },
    { match = '^(\d{4}$', to = '+1425555$1' },
    { match = '^(\d{5})$', to = '+142555$1x' },
    { match = '^\d{3}$', too = '$1' },
]

[[route]]
name = 'both'
prefix = '+1'
match = '^\+1'
to = 'gw-a'

[[route]]
name = 'nowhere'
prefix = '+2'

[[route]]
name = 'no refusal'
reject = 200

[[route]]
name = 'look-ahead'
match = '^\+3(?!9)'
to = 'gw-a'

[[route]]
prefix = '+4'
to = 'gw-a'

[[route]]
name = 'fine'
prefix = '+5'
to = ['gw-a', 'gw-b']

[[route]]
name = 'star'
to = '*'

[transalte]
trunk = 'gw-a'
",
    );
    assert_eq!(
        places(&faults),
        [
            ("normalize[0].called[1].match", Some(6)),
            ("normalize[0].called[2]", Some(7)),
            ("normalize[0].called[3].too", Some(8)),
            ("route[0]", Some(11)),
            ("route[1]", Some(17)),
            ("route[2].reject", Some(23)),
            ("route[3].match", Some(27)),
            ("route[4]", Some(30)),
            ("route[6]", Some(39)),
            ("transalte", Some(43)),
        ]
    );
    let remedies: Vec<&str> = faults
        .iter()
        .filter_map(|fault| fault.remedy.as_deref())
        .collect();
    assert_eq!(
        remedies[0],
        "write `${1}` where text follows a group, and `$$` for a dollar sign"
    );
    assert!(
        remedies.contains(&"use `except`, or several entries"),
        "{remedies:?}"
    );
}

#[test]
fn a_dial_plan_without_routes_is_refused() {
    for text in ["", "# nothing yet\n", "[[translate]]\nstrip_plus = true\n"] {
        assert_eq!(places(&faults_of(text)), [("route", None)], "{text:?}");
    }
}

#[test]
fn broken_toml_is_one_fault_a_mistake() {
    let faults = faults_of("[[route]]\nname = \nprefix = '+1'\nto = 'gw-a\n");
    assert_eq!(
        faults
            .iter()
            .filter_map(|fault| fault.line)
            .collect::<Vec<_>>(),
        [2, 4]
    );
}

#[test]
fn trunks_that_the_host_does_not_know_are_faults() {
    let text = "
[[normalize]]
trunk = 'pbx-z'
[[route]]
name = 'all'
from = ['pbx-a', '*']
to = ['gw-a', 'gw-x', 'gw-y']
[[translate]]
strip_plus = true
";
    assert!(
        faults_of(text).is_empty(),
        "without a host there is nothing to compare with"
    );
    let _host = Host::new().trunk("pbx-a").trunk("gw-a").install();
    let faults = faults_of(text);
    assert_eq!(
        places(&faults),
        [
            ("normalize[0].trunk", Some(3)),
            ("route[0].to", Some(7)),
            ("route[0].to", Some(7))
        ]
    );
    assert_eq!(faults[1].problem, "there is no trunk named \"gw-x\"");
}

/// Each mistake with the one line that it is told in.
#[test]
fn a_mistake_is_told_with_its_key_and_what_to_do() {
    for (text, told) in [
        (
            "[[route]]\nname = 'a'\nprefx = '1'\nto = 'a'",
            "line 3: route[0].prefx: unknown key `prefx`; did you mean `prefix`?",
        ),
        (
            "[[trunk]]\nname = 'a'\nno_progress = '10ss'\n[[route]]\nname = 'a'\nto = 'a'",
            "line 3: trunk[0].no_progress: \"10ss\" is no duration; write it like \"500ms\", \"10s\" or \"4h\"",
        ),
        (
            "[[trunk]]\nname = 'a'\nring = '1h'\n[[route]]\nname = 'a'\nto = 'a'",
            "line 1: trunk[0]: `ring`: this is too short or too long; write a duration from \"1s\" to \"10m\"",
        ),
        (
            "[[route]]\nname = 'a'\nto = 'a'\nset_headers = { Contact = 'x' }",
            "line 1: route[0]: the header \"Contact\" cannot be set or removed; headers that make the dialog are \
             not for policies",
        ),
        (
            "[[route]]\nname = 'a'\nto = 'a'\ncaller_id = '+1-425'",
            "line 1: route[0]: `caller_id`: \"+1-425\" is no number; write digits, with or without + and ;ext=",
        ),
        (
            "[[route]]\nname = 'a'\nto = 'a'\nwhen = 'night'",
            "line 4: route[0].when: there is no calendar \"night\"; write [calendar.night]",
        ),
        (
            "[global]\nusages = ['local', 'abroad']\n[[route]]\nname = 'a'\nusages = 'local'\nto = 'a'",
            "line 2: global.usages: no route has the usage \"abroad\"; give it to a [[route]], or declare it in \
             `usages` at the top",
        ),
        (
            "usages = 'local'\n[[route]]\nname = 'a'\nusages = 'locl'\nto = 'a'",
            "line 4: route[0].usages: there is no usage \"locl\"; add it to `usages` at the top",
        ),
        (
            "[[route]]\nname = 'a'\nto = 'a'\npass = true",
            "line 1: route[0]: there is both a `to` and a `pass`; leave one out",
        ),
        (
            "[[route]]\nname = 'a'\norder = 'random'\nreject = 403",
            "line 1: route[0]: there are no trunks to put in order; leave `order` and `parallel` out",
        ),
        (
            "[[route]]\nname = 'a'\nto = [{ trunk = 'a', wieght = 3 }]",
            "line 3: route[0].to[0].wieght: unknown key `wieght`; did you mean `weight`?",
        ),
        (
            "[[route]]\nname = 'a'\nto = []",
            "line 3: route[0].to: this names no trunk; list the trunks to try",
        ),
        (
            "[[route]]\nname = 'a'\nlength = 3\nlength_max = 4\nto = 'a'",
            "line 1: route[0]: there is both a `length` and a bound on it; leave one out",
        ),
        (
            "[[route]]\nname = 'a'\nreject = { code = 403, cause = 200 }",
            "line 3: route[0].reject: 200 is no Q.850 cause; use one from 1 to 127",
        ),
        (
            "[[block]]\nname = 'a'\n[[route]]\nname = 'a'\nto = 'a'",
            "line 1: block[0]: this block is about nobody; add `caller`, `table`, or `anonymous = true`",
        ),
        (
            "[[unassigned]]\nname = 'a'\nstart = '20'\nend = '19'\n[[route]]\nname = 'a'\nto = 'a'",
            "line 1: unassigned[0]: there is no number from 20 to 19; write the lower one first, both of one length",
        ),
        (
            "[[emergency]]\nnumber = '911'\n[[route]]\nname = 'a'\nto = 'a'",
            "line 1: emergency[0]: a call for help must go somewhere; write `to` or `usages`",
        ),
        (
            "[[limit]]\nname = 'a'\nsource = 'hour'\nprefix = '+44'\n[[route]]\nname = 'a'\nto = 'a'",
            "line 1: limit[0]: this limits nothing; add `calls`, `active`, `talk` or `spend`",
        ),
        (
            "[[limit]]\nname = 'a'\nsource = 'hour'\nspend = '5,00'\n[[route]]\nname = 'a'\nto = 'a'",
            "line 4: limit[0].spend: \"5,00\" is no amount; write it like \"4.25\"",
        ),
        (
            "[[limit]]\nname = 'a'\nsource = 'hour'\ncalls = 5\nper = ['trunk', 'prefix']\n[[route]]\nname = 'a'\nto = 'a'",
            "line 1: limit[0]: there are no prefixes to count by; add `prefix`",
        ),
        (
            "[[limit]]\nname = 'a'\nsource = 'h'\ncalls = 5\n[[limit]]\nname = 'a'\nsource = 'h'\ncalls = 9\n\
             [[route]]\nname = 'a'\nto = 'a'",
            "line 6: limit[1].name: there are two limits named \"a\"; give each a name of its own",
        ),
    ] {
        let faults: Vec<String> = faults_of(text).iter().map(ToString::to_string).collect();
        assert_eq!(faults, [told], "{text}");
    }
}

/// S10: what the host would not ask of one call is told before there is one.
#[test]
fn too_many_limits_for_one_call_are_a_fault() {
    let limits = |count: usize, from: &str| -> String {
        let keys = format!("source = 'h'\nfrom = '{from}'\ncalls = 1");
        let limit = |n| format!("[[limit]]\nname = '{from} {n} of {count}'\n{keys}\n");
        (0..count).map(limit).collect()
    };
    let route = "[[route]]\nname = 'a'\nto = 'a'\n";
    let two_trunks = limits(15, "pbx-a") + &limits(15, "pbx-b") + &limits(1, "*") + route;
    assert!(faults_of(&two_trunks).is_empty());
    let faults = faults_of(&(two_trunks + &limits(2, "*")));
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let fault = "limit: 18 limits and look-ups are about calls from trunk \"pbx-a\"; leave 16: `per` makes one \
                 limit of several";
    assert_eq!(told, [fault]);
}
