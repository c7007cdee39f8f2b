//! Policies are tested natively: against a host of the test's own, and with case files.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::panic::catch_unwind;
use std::path::PathBuf;

use intertrunk_sdk::test::{Host, TrunkFixture, query, run_cases};
use intertrunk_sdk::{
    Candidate, Cause, Fault, Identity, Inquiry, Manifest, Plan, Policy, Query, Rejection, Verdict,
    because, log, settings, table, trunk, trunks,
};

/// Least cost by a table, which it looks up anew when the first carrier failed.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct LeastCost {
    table: String,
}

impl Policy for LeastCost {
    fn describe() -> Manifest {
        Manifest::default().table("lcr").header("X-Account")
    }

    fn configure(text: &str) -> Result<Self, Vec<Fault>> {
        settings(text)
    }

    fn decide(&self, q: &Query) -> Verdict {
        if q.header("x-account") == Some("frozen") {
            return Rejection::with(402).phrase("Account frozen").into();
        }
        if q.header("x-secret").is_some() {
            return Verdict::reject(500);
        }
        let failed = |trunk: &str| q.attempts().iter().any(|attempt| attempt.trunk == trunk);
        let Some(row) = table(&self.table).longest_prefix(&q.callee().dialed()) else {
            return Verdict::Pass;
        };
        let carriers = row
            .columns
            .iter()
            .filter(|it| trunk(it).is_usable() && !failed(it));
        because!("{} carriers for {}", carriers.clone().count(), row.key);
        carriers.collect::<Plan>().ask_again().into()
    }
}

/// A case file of this name, and the settings that it names.
fn file(name: &str, settings: &str, cases: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    fs::write(folder.join(format!("{name}.txt")), settings).unwrap();
    let path = folder.join(format!("{name}.toml"));
    fs::write(&path, cases.replace("settings.txt", &format!("{name}.txt"))).unwrap();
    path
}

const CASES: &str = r#"
config = "settings.txt"

[table.lcr]
"+44" = ["gw-a", "gw-b"]
"+4420" = ["gw-b", "gw-a"]

[[case]]
name = "longest prefix"
from = "pbx-a"
to = "+442071234567"
expect = { connect = ["gw-b", "gw-a"] }

[[case]]
name = "asked again after a failure"
from = "pbx-a"
to = "+442071234567"
failed = ["gw-b:503"]
expect = { connect = ["gw-a"] }

[[case]]
name = "a header that the manifest asks for"
from = "pbx-a"
to = "+44"
headers = { X-Account = "frozen" }
expect = { reject = 402 }

[[case]]
name = "a header that it does not ask for"
from = "pbx-a"
to = "+1"
headers = { X-Secret = "1" }
expect = "pass"
"#;

/// B10: case files run natively.
#[test]
fn case_files_run_natively() {
    run_cases::<LeastCost>(file("good", "table = 'lcr'", CASES));
}

#[test]
fn a_case_that_differs_fails_the_test_and_tells_why() {
    let path = file(
        "bad",
        "table = 'lcr'",
        &CASES.replace(r#"["gw-b", "gw-a"] }"#, r#"["gw-a"] }"#),
    );
    let panic = catch_unwind(|| run_cases::<LeastCost>(path)).unwrap_err();
    let told = panic.downcast_ref::<String>().unwrap();
    for part in [
        "1 of 4 cases differ",
        "longest prefix",
        "bad.toml:8",
        "2 carriers for +4420",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn refused_settings_fail_the_test() {
    let path = file("refused", "tabel = 'lcr'", CASES);
    let panic = catch_unwind(|| run_cases::<LeastCost>(path)).unwrap_err();
    let told = panic.downcast_ref::<String>().unwrap();
    assert!(
        told.contains("line 1: tabel: unknown key `tabel`; did you mean `table`?"),
        "{told}"
    );
}

#[test]
fn the_host_answers_this_thread_while_it_is_installed() {
    assert!(trunks().is_empty());
    let host = Host::new()
        .trunks([TrunkFixture {
            limit: Some(2),
            active: 2,
            ..TrunkFixture::new("gw-full")
        }])
        .trunk_down("gw-down")
        .trunk("gw-a")
        .install();
    let usable: Vec<bool> = ["gw-full", "gw-down", "gw-a", "gw-x"]
        .iter()
        .map(|it| trunk(it).is_usable())
        .collect();
    assert_eq!(usable, [false, false, true, false]);
    {
        let _inner = Host::new().install();
        assert!(!trunk("gw-a").is_usable());
        because("heard by the inner host");
    }
    because("heard");
    log::warn("odd");
    assert_eq!(host.because(), ["heard"]);
    assert_eq!(host.logged(), ["warn: odd"]);
    drop(host);
    assert!(trunks().is_empty());
}

#[test]
fn a_policy_without_settings_refuses_some() {
    #[derive(Default)]
    struct Plain;

    impl Policy for Plain {
        fn decide(&self, _: &Query) -> Verdict {
            Verdict::Pass
        }
    }

    assert!(Plain::configure(" \n").is_ok());
    assert_eq!(
        Plain::configure("a = 1").err().map(|faults| faults.len()),
        Some(1)
    );
}

#[test]
fn plans_say_what_was_meant() {
    let own = Candidate::on("gw-b")
        .callee("2")
        .caller(Identity::named("9", "Nine"));
    let plan = Plan::to("gw-a").or(own).callee("1").caller("8").or("gw-c");
    let said: Vec<_> = plan
        .candidates
        .iter()
        .map(|it| {
            (
                it.group,
                it.callee.as_deref(),
                it.caller.as_ref().map(|it| &*it.user),
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            (0, Some("1"), Some("8")),
            (1, Some("2"), Some("9")),
            (2, None, None)
        ]
    );
}

#[test]
fn an_inquiry_is_answered_by_source_and_key() {
    let Verdict::Inquire(inquiry) = Inquiry::of("lnp", "+1")
        .timeout_ms(50)
        .and("cnam", "+2")
        .into()
    else {
        panic!("an inquiry is a verdict");
    };
    let limits: Vec<_> = inquiry.look_ups.iter().map(|it| it.timeout_ms).collect();
    assert_eq!(limits, [Some(50), None]);

    let mut q = query("pbx-a", "+1");
    assert_eq!(q.answer("lnp", "+1"), None);
    q.cause = Cause::Answered(vec![intertrunk_sdk::Answer {
        source: "lnp".to_owned(),
        key: "+1".to_owned(),
        outcome: Ok("+2".to_owned()),
    }]);
    assert_eq!(q.answer("lnp", "+1"), Some("+2"));
    assert_eq!(q.answer("cnam", "+1"), None);
}
