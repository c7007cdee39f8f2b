//! The guide for authors of policies is true: its files are written and its commands run, in their
//! order and in an empty folder, and they print what it says.

#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

const GUIDE: &str = include_str!("../../docs/policy-guide.md");

/// Its code blocks: what stands after the fence, and what is in it.
fn blocks() -> Vec<(&'static str, &'static str)> {
    let parts: Vec<&str> = GUIDE.split("```").collect();
    let inside = parts.iter().skip(1).step_by(2);
    inside
        .map(|block| block.split_once('\n').unwrap())
        .collect()
}

/// All of it as one script.
fn script() -> String {
    let mut script = String::from("trap 'kill $(jobs -p)' EXIT\n");
    for (info, text) in blocks() {
        match info.split_once(' ') {
            Some((_, path)) => writeln!(script, "cat > {path} <<'END'\n{text}END").unwrap(),
            None if info == "sh" => script.push_str(text),
            None => {}
        }
    }
    // People see when the service is there.
    let run = "intertrunk run -c intertrunk.toml &";
    let ready = "until intertrunk ctl status > /dev/null 2>&1; do kill -0 $!; done";
    // With the versions of the repository nothing is compiled that is not there already.
    let new = "intertrunk policy new office --sdk \"$INTERTRUNK/guest-sdk\"\n";
    assert!(script.contains(run) && script.contains(new));
    script
        .replace(run, &format!("{run}\n{ready}"))
        .replace(new, &format!("{new}cp \"$INTERTRUNK/Cargo.lock\" office\n"))
}

#[test]
fn the_guide_works_as_it_is_written() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guide");
    let _was_not_there = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_intertrunk"));
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = free.local_addr().unwrap().to_string();
    drop(free);
    // The ports of the guide may be in use on this machine, and the target is there already.
    let script = script()
        .replace("127.0.0.1:5060", "127.0.0.1:0")
        .replace("127.0.0.1:8060", &admin)
        .replace("rustup target add", "true");
    let path = std::env::join_paths(
        std::iter::once(binary.parent().unwrap().to_owned())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let output = Command::new("timeout")
        .args(["900", "bash", "-euc", &script])
        .current_dir(&folder)
        .env("PATH", path.unwrap())
        .env("INTERTRUNK", repository)
        .env("INTERTRUNK_URL", format!("http://{admin}"))
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_NET_OFFLINE", "true")
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{complained}");
    for (_, text) in blocks().into_iter().filter(|(info, _)| *info == "text") {
        for line in text.lines() {
            assert!(told.contains(line), "no {line:?} in:\n{told}\n{complained}");
        }
    }
}
