//! Case files are read whole, or refused with the place of the mistake.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use intertrunk_cases::{CaseFault, Cause, Expect, Health, Suite, TrunkKind, load};

/// A folder of its own with these files.
fn folder(test: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
    folder
}

fn suite(test: &str, text: &str) -> Suite {
    load(&folder(test, &[("a.toml", text)])).unwrap().remove(0)
}

/// What is said of a broken file, without its folder.
fn fault(test: &str, text: &str) -> String {
    let folder = folder(test, &[("a.toml", text)]);
    let fault = load(&folder).unwrap_err().to_string();
    fault
        .strip_prefix(&format!("{}/", folder.display()))
        .unwrap()
        .to_owned()
}

const CASE: &str = "[[case]]\nname = 'a'\nfrom = 'pbx-a'\nto = '1'\nexpect = 'pass'\n";

#[test]
fn a_folder_is_read_in_order_with_its_settings() {
    let config = format!("config = 'settings.toml'\n{CASE}");
    let files = [
        ("b.toml", &*config),
        ("a.toml", CASE),
        ("settings.toml", "x = 1"),
        ("c.txt", ""),
    ];
    let suites = load(&folder("order", &files)).unwrap();
    let names: Vec<_> = suites
        .iter()
        .map(|it| it.path.file_name().unwrap())
        .collect();
    assert_eq!(names, ["a.toml", "b.toml"]);
    assert_eq!(
        (suites[0].config.as_deref(), suites[1].config.as_deref()),
        (None, Some("x = 1"))
    );
}

#[test]
fn every_key_reaches_the_facts() {
    let suite = suite(
        "keys",
        r#"
        [[case]]
        name = "all"
        from = "gw-a"
        to = "tel:+14255550100"
        caller = "+12065550123"
        caller_name = "Alice"
        asserted = ["+12065550124"]
        diverted = ["sip:+12065550125@example.com"]
        privacy = "full"
        emergency = true
        headers = { "X-Account" = "7", "X-Hop" = ["a", "b"] }
        at = 2026-07-04T09:30:00-07:00
        failed = ["gw-b:503"]
        cookie = "c"
        tags = { route = "r" }
        expect = { connect = ["pbx-a", { trunk = "gw-c", callee = "1", withhold = true }] }
        "#,
    );
    let case = &suite.cases[0];
    let mut facts = case.facts();
    assert_eq!(
        (&*facts.ingress, &*facts.callee.user),
        ("gw-a", "+14255550100")
    );
    assert_eq!(facts.request_uri, facts.callee);
    assert_eq!(
        (facts.caller.display.as_deref(), &*facts.caller.user),
        (Some("Alice"), "+12065550123")
    );
    assert_eq!(
        (&*facts.asserted[0].user, &*facts.diverted[0].host),
        ("+12065550124", "example.com")
    );
    assert_eq!(facts.unix_ms, 1_783_182_600_000);
    assert!(facts.emergency && facts.cookie == b"c");
    let Cause::Exhausted(attempts) = &facts.cause else {
        panic!("{:?}", facts.cause)
    };
    assert_eq!((&*attempts[0].trunk, attempts[0].code), ("gw-b", 503));
    facts.keep_headers(&["x-hop".to_owned()]);
    let hops = ["a", "b"].map(|value| ("X-Hop".to_owned(), value.to_owned()));
    assert_eq!(facts.headers, hops);
    let Expect::Connect(candidates) = &case.expect else {
        panic!("{:?}", case.expect)
    };
    assert_eq!(
        (&*candidates[0].trunk, candidates[1].withhold),
        ("pbx-a", Some(true))
    );
}

/// T3: trunks are those of the file as the case has them.
#[test]
fn trunks_are_those_of_the_file_as_the_case_has_them() {
    let suite = suite(
        "trunks",
        "
        [[trunk]]
        name = 'gw-a'
        kind = 'pstn'
        limit = 30
        [[trunk]]
        name = 'pbx-a'
        [[case]]
        name = 'a'
        from = 'pbx-a'
        to = '1'
        full = ['gw-a']
        down = ['pbx-a']
        expect = { reject = 404 }",
    );
    let trunks = suite.trunks_of(&suite.cases[0]);
    assert_eq!((trunks[0].kind, trunks[0].active), (TrunkKind::Pstn, 30));
    assert_eq!(
        (trunks[0].health, trunks[1].health),
        (Health::Up, Health::Down)
    );
}

#[test]
fn without_trunks_they_are_those_that_the_cases_name() {
    let suite = suite(
        "implied",
        "
        [[case]]
        name = 'a'
        from = 'pbx-a'
        to = '1'
        down = ['gw-a']
        expect = { connect = ['gw-b'] }
        [[case]]
        name = 'b'
        from = 'pbx-b'
        to = '1'
        expect = { reject = 404 }",
    );
    assert!(suite.trunks.is_empty());
    let trunks = suite.trunks_of(&suite.cases[1]);
    let names: Vec<_> = trunks.iter().map(|trunk| &*trunk.name).collect();
    assert_eq!(names, ["gw-a", "gw-b", "pbx-a", "pbx-b"]);
    assert_eq!(suite.trunks_of(&suite.cases[0])[0].health, Health::Down);
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (test, old, new, expected) in [
        ("key", "from", "form", "a.toml:3:1: unknown field `form`"),
        ("meant", "from", "form", "did you mean `from`?"),
        (
            "expect",
            "'pass'",
            "{ conect = [] }",
            "did you mean `connect`?",
        ),
        (
            "candidate",
            "'pass'",
            "{ connect = [{ trnk = 'a' }] }",
            "a.toml:5:25: unknown field",
        ),
        (
            "missing",
            "to = '1'\n",
            "",
            "a.toml:1:1: missing field `to`",
        ),
        (
            "instant",
            "to",
            "at = 2026-01-05\nto",
            "a.toml:4:6: `at` is an instant with offset",
        ),
        (
            "failed",
            "to",
            "failed = ['gw-a']\nto",
            "written \"trunk:code\"",
        ),
        (
            "causes",
            "to",
            "failed = ['g:503']\nredirected = ['1']\nto",
            "states at most one of",
        ),
        ("syntax", "'1'", "1'", "a.toml:4:"),
        (
            "trunk",
            "[[case]]",
            "[[trunk]]\nname = 'x'\n[[case]]",
            "a.toml:3:1: there is no [[trunk]]",
        ),
        (
            "empty",
            CASE,
            "",
            "a.toml: there is no [[case]] in this file",
        ),
        (
            "config",
            "[[case]]",
            "config = 'none.toml'\n[[case]]",
            "none.toml: No such file",
        ),
    ] {
        let told = fault(test, &CASE.replacen(old, new, 1));
        assert!(told.contains(expected), "{test}: {told}");
    }
    let told = fault("twice", &CASE.repeat(2));
    assert_eq!(
        told,
        "a.toml:6:1: line 1 has a case of the same name, \"a\""
    );
}

#[test]
fn an_empty_folder_is_a_fault() {
    assert!(matches!(
        load(&folder("nothing", &[])),
        Err(CaseFault::Empty { .. })
    ));
}
