//! The command line itself: help, exit codes, completions, and a service that is not there.

use crate::world::World;

#[test]
fn every_command_has_help_with_examples() {
    let world = World::new("help");
    let commands = [
        "",
        "run",
        "check",
        "route",
        "policy new",
        "policy build",
        "policy inspect",
        "policy test",
        "demo",
        "ctl",
        "completions",
    ];
    for command in commands {
        world
            .line(&format!("{command} --help"))
            .ends(0)
            .says("Example");
    }
    world
        .line("--version")
        .ends(0)
        .says(concat!("intertrunk ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_use_is_exit_code_two() {
    let world = World::new("misuse");
    for line in [
        "",
        "rote",
        "run",
        "check",
        "check -c",
        "policy",
        "ctl",
        "completions klingon",
    ] {
        world.line(line).ends(2);
    }
    world
        .line("run -c gone.toml")
        .ends(2)
        .complains("gone.toml:1:1: cannot be read");
}

#[test]
fn completions_are_printed_for_each_shell() {
    let world = World::new("completions");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        world
            .line(&format!("completions {shell}"))
            .ends(0)
            .says("intertrunk");
    }
}

#[test]
fn a_service_that_is_not_there_is_said() {
    let world = World::new("ctl");
    // Port 9 is discard, on which no admin API listens.
    let ran = world.line("ctl --url http://127.0.0.1:9 status").ends(2);
    ran.complains("no answer from http://127.0.0.1:9; is `intertrunk run` up");
    world
        .line("ctl call ../../etc")
        .ends(2)
        .complains("is no id");
    world
        .line("ctl policy stage gone.wasm")
        .ends(2)
        .complains("gone.wasm cannot be read");
    world
        .line("ctl --token-file gone status")
        .ends(2)
        .complains("gone cannot be read");
}
