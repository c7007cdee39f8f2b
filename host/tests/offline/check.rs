//! `intertrunk check`: right files pass, wrong ones are told everything at once.

use crate::world::World;

/// Eleven keys are wrong, each in its own way.
const MISTAKES: &str = r#"[node]
name = "edge 1"
shard = 2

[[listen]]
name = "lan"
address = "127.0.0.1"

[[trunk]]
name = "pbx-a"
kind = "pbxx"
listen = "lna"
peers = ["127.0.0.11:5070"]
policy = "mian"
no_progress = 10
max_cals = 500

[policy.main]
module = "missing.wasm"
memory = "32"
"#;

const FAULTS: &str = "\
t.toml:2:8: node.name: \"edge 1\" is no name; write 1 to 64 letters, digits, `-`, `_` or `.`
t.toml:3:1: node.shard: unknown key; did you mean `shards`?
t.toml:7:11: listen[0].address: \"127.0.0.1\" is no address with a port; write \"192.0.2.1:5060\" or \"[2001:db8::1]:5060\"
t.toml:11:8: trunk[0].kind: \"pbxx\" is none of its values; write \"pbx\" or \"pstn\" or \"sbc\"
t.toml:12:10: trunk[0].listen: no listener \"lna\"; did you mean \"lan\"?
t.toml:13:10: trunk[0].peers[0]: \"127.0.0.11:5070\" is no SIP URI (URI without a scheme); write \"sip:192.0.2.1:5060\" or \"sip:gw.example.com\"
t.toml:14:10: trunk[0].policy: no policy \"mian\"; did you mean \"main\"?
t.toml:15:15: trunk[0].no_progress: is of type integer; write a number with a unit, such as \"20ms\" or \"10s\"
t.toml:16:1: trunk[0].max_cals: unknown key; did you mean `max_calls`?
t.toml:19:10: policy.main.module: missing.wasm cannot be read: No such file or directory (os error 2); build it with `intertrunk policy build DIR -o FILE`
t.toml:20:10: policy.main.memory: \"32\" is no size; write a whole number with a unit, such as \"32MiB\"
11 faults
";

#[test]
fn eleven_mistakes_are_eleven_lines() {
    let world = World::new("eleven-mistakes").with("t.toml", MISTAKES);
    let ran = world.line("check -c t.toml").ends(1);
    assert_eq!(ran.out, FAULTS);
}

/// The configuration that the documentation shows.
const DOCUMENTED: &str = include_str!("../../../docs/configuration.md");

fn documented() -> &'static str {
    let (_, rest) = DOCUMENTED.split_once("```toml\n").unwrap();
    rest.split_once("```").unwrap().0
}

/// The line of the documented configuration that `key` is on.
fn line_of(key: &str) -> usize {
    documented()
        .lines()
        .position(|line| line.starts_with(key))
        .unwrap()
        + 1
}

const DIAL_PLAN: &str = "[[route]]\nname = \"all\"\nprefix = \"+\"\nto = \"pbx-a\"\n";
const CASE: &str = r#"config = "../dialplan.toml"
[[trunk]]
name = "gw-a"
[[trunk]]
name = "pbx-a"
[[case]]
name = "everything goes to the PBX"
from = "gw-a"
to = "+14255550100"
expect = { connect = [{ trunk = "pbx-a" }] }
"#;

fn world(name: &str) -> World {
    World::new(name)
        .with("t.toml", documented())
        .with("dialplan.toml", DIAL_PLAN)
        .with("cases/all.toml", CASE)
        .with("lcr.csv", "prefix,carrier\n+1,gw-a\n")
}

#[test]
fn the_documented_configuration_is_good() {
    let ran = world("documented").line("check -c t.toml").ends(0);
    let ran = ran.says("t.toml: 1 listener, 1 trunk, 1 table");
    let ran = ran
        .says("policy main: intertrunk-standard ")
        .says("1 case passed");
    ran.says("warning: hep: ").says("\ngood, 1 warning\n");
}

#[test]
fn a_case_that_differs_is_shown() {
    let wrong = CASE.replace("{ connect = [{ trunk = \"pbx-a\" }] }", "{ reject = 404 }");
    let world = world("differs").with("cases/all.toml", wrong);
    let ran = world.line("check -c t.toml").ends(1);
    ran.says("all.toml:6:1: policy.main.cases: ")
        .says("everything goes to the PBX")
        .says("1 fault, 1 warning");
}

#[test]
fn faults_of_a_dial_plan_are_told_at_their_line() {
    let wrong =
        DIAL_PLAN.to_owned() + "\n[[route]]\nname = \"none\"\nprefix = \"0\"\nto = \"pbx-z\"\n";
    let world = world("dial-plan").with("dialplan.toml", wrong);
    world
        .line("check -c t.toml")
        .ends(1)
        .says("dialplan.toml:9:1: ")
        .says("pbx-z");
}

#[test]
fn what_is_no_policy_is_refused() {
    let config = documented()
        .replace("builtin:standard", "policy.wasm")
        .replace("cases = ", "#");
    let world = world("no-policy")
        .with("t.toml", config)
        .with("policy.wasm", "no Wasm");
    let ran = world.line("check -c t.toml").ends(1);
    let line = line_of("module");
    ran.says(&format!(
        "t.toml:{line}:10: policy.main.module: not a WebAssembly module"
    ));
}

#[test]
fn the_result_is_there_for_programs() {
    let ran = world("json").line("check -c t.toml --json").ends(0);
    let report = ran.json();
    assert_eq!(report["policies"][0]["policy"], "main");
    assert_eq!(report["policies"][0]["cases_passed"], 1);
    assert_eq!(report["faults"][0]["severity"], "warning");
    assert_eq!(report["faults"][0]["line"], line_of("[hep]"));
}

#[test]
fn a_file_that_is_not_there_is_wrong_use() {
    let ran = World::new("not-there").line("check -c t.toml").ends(2);
    ran.complains("t.toml:1:1: cannot be read");
}

#[test]
fn a_file_that_is_not_toml_is_a_fault() {
    let world = World::new("not-toml").with("t.toml", "[node\n");
    world
        .line("check -c t.toml")
        .ends(1)
        .says("t.toml:1:6: not TOML: ");
}
