//! `intertrunk policy …`: from nothing to a policy that has passed its cases.

use std::path::Path;

use crate::world::World;

fn sdk() -> String {
    let host = Path::new(env!("CARGO_MANIFEST_DIR"));
    host.parent()
        .unwrap()
        .join("guest-sdk")
        .display()
        .to_string()
}

#[test]
fn a_new_policy_builds_and_passes_its_cases() {
    let world = World::new("policy-new");
    world
        .run(&["policy", "new", "my-policy", "--sdk", &sdk()])
        .ends(0)
        .says("intertrunk policy build my-policy");
    let ran = world
        .line("policy build my-policy -o my-policy.wasm")
        .ends(0);
    let ran = ran.says("my-policy.wasm");
    let sha256 = ran.out.lines().last().unwrap().to_owned();

    let ran = world.line("policy inspect my-policy.wasm").ends(0);
    ran.says("my-policy")
        .says(&sha256)
        .says("intertrunk:policy/notes");
    let inspection = world
        .line("policy inspect my-policy.wasm --json")
        .ends(0)
        .json();
    assert_eq!(inspection["sha256"], sha256.as_str());
    assert_eq!(inspection["manifest"]["name"], "my-policy");

    let test = "policy test my-policy.wasm --cases my-policy/cases";
    world.line(test).ends(0).says("3 passed, 0 differ");
    let reports = world.line(&format!("{test} --json")).ends(0).json();
    assert_eq!(reports.as_array().unwrap().len(), 3);

    let cases = std::fs::read_to_string(world.path("my-policy/cases/first.toml")).unwrap();
    let world = world.with("wrong.toml", cases.replace("\"0100\"", "\"0199\""));
    let ran = world
        .line("policy test my-policy.wasm --cases wrong.toml")
        .ends(1);
    ran.says("DIFFERS")
        .says("0199")
        .says("0100")
        .says("2 passed, 1 differ");
}

#[test]
fn a_project_is_not_written_over_another() {
    let world = World::new("policy-over").with("mine/notes.txt", "precious");
    world
        .run(&["policy", "new", "mine", "--sdk", &sdk()])
        .ends(2)
        .complains("is not empty");
    world
        .line("policy new 9lives")
        .ends(2)
        .complains("is no name for a package");
    world
        .line("policy new other --sdk nowhere")
        .ends(2)
        .complains("no SDK in nowhere");
    world.line("policy new other --lang cobol").ends(2);
}

#[test]
fn files_that_are_no_policy_are_wrong_use() {
    let world = World::new("policy-none")
        .with("none.wasm", "nothing")
        .with("empty/x", "");
    world
        .line("policy inspect none.wasm")
        .ends(2)
        .complains("not a WebAssembly module");
    world
        .line("policy inspect gone.wasm")
        .ends(2)
        .complains("gone.wasm cannot be read");
    world
        .line("policy test none.wasm --cases empty")
        .ends(2)
        .complains("no case file");
    world.line("policy build empty").ends(2);
}
