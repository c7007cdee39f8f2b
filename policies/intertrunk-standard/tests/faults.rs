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
            ("route[2]", Some(21)),
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
