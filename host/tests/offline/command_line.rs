//! The command line itself: help, exit codes, completions, and a service that is not there.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};

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
        "audit verify",
        "demo",
        "import",
        "import skype",
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

/// Answers one request with this status line and body. Gives its URL, and then what it was asked.
fn service(status: &'static str, body: &'static str) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut chunk = [0; 1024];
        while !request.windows(4).any(|end| end == b"\r\n\r\n") {
            let read = stream.read(&mut chunk).unwrap();
            assert_ne!(read, 0, "the request ends within its headers");
            request.extend_from_slice(&chunk[..read]);
        }
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        String::from_utf8(request).unwrap()
    });
    (url, asked)
}

#[test]
fn the_answer_of_a_service_is_shown_as_a_table() {
    let world = World::new("ctl-table").with("token", "secret\n");
    let (url, asked) = service("200 OK", r#"[{"name":"gw-a","kind":"pstn","health":"up"}]"#);
    let line = format!("ctl --url {url} --token-file token trunks");
    world.line(&line).ends(0).says("gw-a   pstn  up");
    let asked = asked.join().unwrap().to_ascii_lowercase();
    assert!(asked.starts_with("get /v1/trunks http/1.1\r\n"), "{asked}");
    assert!(
        asked.contains("\r\nauthorization: bearer secret\r\n"),
        "{asked}"
    );
}

#[test]
fn a_no_of_the_service_is_exit_code_one() {
    let world = World::new("ctl-no");
    let no = r#"{"error":"there is no policy `x`","faults":[]}"#;
    let (url, asked) = service("404 Not Found", no);
    let ran = world
        .line(&format!("ctl --url {url} policy promote x"))
        .ends(1);
    assert_eq!(
        (ran.out.as_str(), ran.err.as_str()),
        ("", "intertrunk: there is no policy `x`\n")
    );
    assert!(
        asked
            .join()
            .unwrap()
            .starts_with("POST /v1/policies/x/promote ")
    );
}
