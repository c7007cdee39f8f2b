//! The example that the README works with: it must check, and route as the README says.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

fn intertrunk(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_intertrunk"))
        .args(args)
        .current_dir(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../examples/quickstart"
        ))
        .output()
        .unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn its_configuration_has_no_fault() {
    let check = intertrunk(&["check", "-c", "intertrunk.toml"]);
    assert!(check.status.success(), "{}", told(&check));
}

#[test]
fn an_outside_line_leads_to_the_first_carrier_as_a_full_number() {
    let call = ["--from", "pbx-a", "--to", "92065550142", "--caller", "0100"];
    let route = intertrunk(&[&["route", "-c", "intertrunk.toml"][..], &call].concat());
    let told = told(&route);
    assert!(route.status.success(), "{told}");
    for word in ["gw-a", "gw-b", "+12065550142", "+14255550100"] {
        assert!(told.contains(word), "{word} is not in\n{told}");
    }
    assert!(told.find("gw-a") < told.find("gw-b"), "{told}");
}

#[test]
fn the_second_carrier_takes_over_when_the_first_is_down() {
    let call = [
        "--from",
        "pbx-a",
        "--to",
        "92065550142",
        "--down",
        "gw-a",
        "--json",
    ];
    let route = intertrunk(&[&["route", "-c", "intertrunk.toml"][..], &call].concat());
    let told = told(&route);
    assert!(route.status.success(), "{told}");
    assert!(told.contains("gw-b"), "{told}");
}

#[test]
fn the_pstn_does_not_call_the_pstn_through_us() {
    let call = ["--from", "gw-a", "--to", "+12065550142"];
    let route = intertrunk(&[&["route", "-c", "intertrunk.toml"][..], &call].concat());
    assert_eq!(route.status.code(), Some(1), "{}", told(&route));
}
