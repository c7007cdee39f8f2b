//! Only what is written is compared, with what the host would do.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use intertrunk_cases::{CaseReport, LookUp, Outcome, OutcomeCandidate, load};

/// The report on one case that expects `expect` and got `got`. `keys` are further keys of the case.
fn report(test: &str, keys: &str, expect: &str, got: Outcome) -> CaseReport {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}.toml"));
    let case = "[[case]]\nname = 'a'\nfrom = 'pbx-a'\nto = '100'\ncaller = '200'\n";
    fs::write(&path, format!("{case}{keys}\nexpect = {expect}\n")).unwrap();
    let suite = load(&path).unwrap().remove(0);
    suite.report(&suite.cases[0], got, vec!["of a rule".to_owned()])
}

fn diff(test: &str, expect: &str, got: Outcome) -> Option<String> {
    report(test, "", expect, got).diff
}

fn to(trunk: &str) -> OutcomeCandidate {
    OutcomeCandidate {
        trunk: trunk.to_owned(),
        ..OutcomeCandidate::default()
    }
}

fn connect(candidates: impl IntoIterator<Item = OutcomeCandidate>) -> Outcome {
    let tags = vec![("route".to_owned(), "local".to_owned())];
    Outcome::Connect {
        candidates: candidates.into_iter().collect(),
        tags,
    }
}

#[test]
fn what_is_not_written_is_not_compared() {
    let got = OutcomeCandidate {
        callee: Some("1".to_owned()),
        withhold: true,
        group: 3,
        ..to("a")
    };
    assert_eq!(diff("silent", "{ connect = ['a'] }", connect([got])), None);
}

#[test]
fn a_number_left_alone_is_the_number_received() {
    let expect = "{ connect = [{ trunk = 'a', callee = '100', caller = '200' }] }";
    assert_eq!(diff("alone", expect, connect([to("a")])), None);
}

#[test]
fn each_difference_is_a_line() {
    let got = OutcomeCandidate {
        callee: Some("1".to_owned()),
        headers: vec![("x-a".to_owned(), "1".to_owned())],
        ..to("a")
    };
    let expect = "{ connect = [{ trunk = 'a', callee = '2', withhold = true, group = 0, \
                  caller_name = 'B', headers = { X-A = '2', X-B = '3' }, removed = ['X-C'] }] }";
    assert_eq!(
        diff("lines", expect, connect([got]))
            .unwrap()
            .lines()
            .collect::<Vec<_>>(),
        [
            "a: callee is 1, expected 2",
            "a: caller name is absent, expected B",
            "a: withhold is false, expected true",
            "a: header X-A is 1, expected 2",
            "a: header X-B is absent, expected 3",
            "a: header X-C is not removed",
        ]
    );
}

#[test]
fn other_trunks_are_told_as_a_whole() {
    let told = diff("trunks", "{ connect = ['a'] }", connect([to("b"), to("a")])).unwrap();
    assert_eq!(told, "got connect b, a, expected connect a");
}

#[test]
fn unusable_trunks_are_left_out_and_degraded_ones_come_last() {
    let trunks = "
        trunk = [
            { name = 'pbx-a' }, { name = 'a', health = 'degraded' }, { name = 'b' },
            { name = 'c', health = 'disabled' }, { name = 'd' }, { name = 'e' },
        ]";
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("carried-out.toml");
    let case = "[[case]]\nname = 'a'\nfrom = 'pbx-a'\nto = '1'\ndown = ['d']\nfull = ['e']\n";
    fs::write(
        &path,
        format!("{trunks}\n{case}expect = {{ connect = ['b', 'a'] }}\n"),
    )
    .unwrap();
    let suite = load(&path).unwrap().remove(0);
    let got = connect(["a", "b", "c", "d", "e"].map(to));
    assert_eq!(suite.report(&suite.cases[0], got, Vec::new()).diff, None);
}

#[test]
fn other_verdicts_differ_by_kind_and_value() {
    let look_up = |key: &str| {
        Outcome::Inquire(vec![LookUp {
            source: "lnp".to_owned(),
            key: key.to_owned(),
        }])
    };
    let inquire = "{ inquire = [{ source = 'lnp', key = '1' }] }";
    let redirect = "{ redirect = ['alice@example.com'] }";
    let alice = || Outcome::Redirect(vec!["sip:alice@example.com".to_owned()]);
    for (test, expect, got, told) in [
        ("reject", "{ reject = 404 }", Outcome::Reject(404), None),
        (
            "code",
            "{ reject = 404 }",
            Outcome::Reject(403),
            Some("got reject 403, expected reject 404"),
        ),
        ("pass", "'pass'", Outcome::Pass, None),
        (
            "passed",
            "'pass'",
            connect([to("a")]),
            Some("got connect a, expected pass"),
        ),
        ("redirect", redirect, alice(), None),
        ("inquire", inquire, look_up("1"), None),
        (
            "key",
            inquire,
            look_up("2"),
            Some("got inquire lnp:2, expected inquire lnp:1"),
        ),
        ("nowhere", "{ connect = [] }", connect([]), None),
        (
            "fault",
            "'pass'",
            Outcome::Fault("trapped".to_owned()),
            Some("got no verdict (trapped), expected pass"),
        ),
    ] {
        assert_eq!(diff(test, expect, got).as_deref(), told, "{test}");
    }
}

#[test]
fn tags_are_compared_if_written() {
    let got = || connect([to("a")]);
    let expect = "{ connect = ['a'] }";
    assert_eq!(
        report("tag", "tags = { route = 'local' }", expect, got()).diff,
        None
    );
    let told = report(
        "no-tag",
        "tags = { route = 'far', zone = '1' }",
        expect,
        got(),
    )
    .diff;
    assert_eq!(
        told.unwrap(),
        "tag route is local, expected far\ntag zone is absent, expected 1"
    );
}

#[test]
fn a_report_shows_place_difference_and_explanation() {
    let report = report("shown", "", "'pass'", Outcome::Reject(404));
    assert!(!report.passed());
    let shown = report.to_string();
    let lines: Vec<&str> = shown.lines().map(str::trim).collect();
    assert!(
        lines[0].starts_with("DIFFERS a (") && lines[0].ends_with("shown.toml:1)"),
        "{shown}"
    );
    assert_eq!(
        lines[1..],
        ["got reject 404, expected pass", "because of a rule"]
    );
}
