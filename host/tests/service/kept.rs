//! What was live before a restart is live after it.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};

use crate::host::{DIALPLAN, EXTENSIONS, Host, STANDARD, STANDARD_WASM, command};

const STATE: &str = "\n[state]\ndir = \"state\"\n";

/// A host whose configured policy never decides, so that its calls go out as they came in.
fn host(name: &str, more: &str) -> Host {
    let looping = "module = \"hostile.wasm\"\nfallback = { route = [\"pbx-a\"] }\n";
    Host::edited(name, |text| text.replace(STANDARD, looping) + more)
}

fn live(host: &Host) -> (String, Option<String>) {
    let policy = &host.get("/v1/policies").is(200).body[0];
    let sha256 = |of: &str| policy[of]["sha256"].as_str().map(str::to_owned);
    (sha256("live").unwrap(), sha256("previous"))
}

fn promoted(host: &Host) -> String {
    host.post("/v1/policies/main/stage", EXTENSIONS).is(200);
    let live = host.post("/v1/policies/main/promote", b"").is(200).body;
    live["sha256"].as_str().unwrap().to_owned()
}

/// Which module decides.
fn decides(host: &Host, number: &str) {
    let (mut call, _, invite) = host.gw.call(host.sip, "+14255550100", &host.pbx);
    assert_eq!(invite.number(), number);
    host.gw.hang_up(&mut call, &host.pbx);
}

/// F21: the promoted generation is live again after a restart, and so is the one that a rollback
/// went back to; the one before can still be gone back to.
#[test]
fn what_was_promoted_survives_a_restart() {
    let mut host = host("kept", STATE);
    let (configured, _) = live(&host);
    decides(&host, "+14255550100");
    let promoted = promoted(&host);
    assert_eq!(host.restarted(), [""; 0]);
    assert_eq!(live(&host), (promoted.clone(), Some(configured.clone())));
    decides(&host, "0100");

    host.post("/v1/policies/main/rollback", b"").is(200);
    assert_eq!(host.restarted(), [""; 0]);
    assert_eq!(live(&host), (configured.clone(), Some(promoted.clone())));
    decides(&host, "+14255550100");
    host.post("/v1/policies/main/rollback", b"").is(200);
    assert_eq!(live(&host), (promoted, Some(configured)));
}

/// F21: without a folder for it, a restart begins as configured.
#[test]
fn without_a_folder_nothing_is_kept() {
    let mut host = host("not-kept", "");
    let (configured, _) = live(&host);
    promoted(&host);
    host.restarted();
    assert_eq!(live(&host), (configured, None));
}

/// F21: whoever has changed the module in the configuration since means that one.
#[test]
fn another_module_in_the_configuration_wins() {
    let module = "module = \"mine.wasm\"\ndeadline = \"5s\"\n";
    let folder = crate::host::folder_of("reconfigured");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("mine.wasm"), EXTENSIONS).unwrap();
    let mut host = Host::edited("reconfigured", |text| {
        text.replace(STANDARD, module) + STATE
    });
    let (configured, _) = live(&host);
    // Told apart from the configured one by nothing but a section that does not matter.
    let other = [EXTENSIONS, &[0, 2, 1, b'x']].concat();
    host.post("/v1/policies/main/stage", &other).is(200);
    let staged = host.post("/v1/policies/main/promote", b"").is(200).body;
    assert_eq!(host.restarted(), [""; 0]);
    assert_eq!(staged["sha256"], live(&host).0);

    let newest = [EXTENSIONS, &[0, 2, 1, b'y']].concat();
    fs::write(folder.join("mine.wasm"), newest).unwrap();
    let warnings = host.restarted();
    assert!(warnings[0].contains("has changed since"), "{warnings:?}");
    let (now, previous) = live(&host);
    assert_eq!(previous, None);
    assert_ne!(now, configured);
    assert_ne!(staged["sha256"], now);
}

/// F21: whatever has become of the folder, the service starts, and says what it could not do.
#[test]
fn damage_is_told_and_nothing_more() {
    let mut host = host("damaged", STATE);
    let (configured, _) = live(&host);
    promoted(&host);
    let state = host.folder.join("state");
    let files = fs::read_dir(&state).unwrap();
    let mut files = files.map(|file| file.unwrap().path());
    let module = files
        .find(|path| path.extension().unwrap() == "wasm")
        .unwrap();

    let whole = fs::read(&module).unwrap();
    fs::write(&module, &whole[..whole.len() / 2]).unwrap();
    let warnings = host.restarted();
    assert!(
        warnings[0].contains("is not what was staged"),
        "{warnings:?}"
    );
    assert_eq!(live(&host), (configured.clone(), None));

    fs::remove_file(&module).unwrap();
    let warnings = host.restarted();
    assert!(warnings[0].contains("cannot be read"), "{warnings:?}");

    let index = state.join("policies.json");
    let text = fs::read_to_string(&index).unwrap();
    for (damaged, told) in [
        ("{\"version\": 1, \"polic", "EOF while parsing"),
        ("", "EOF while parsing"),
        (
            &text.replace("\"version\": 1", "\"version\": 2"),
            "of version 2",
        ),
    ] {
        fs::write(&index, damaged).unwrap();
        let warnings = host.restarted();
        assert!(warnings[0].contains(told), "{warnings:?}");
        assert_eq!(live(&host), (configured.clone(), None));
    }
    // The next promotion writes all of it anew.
    let promoted = promoted(&host);
    assert_eq!(host.restarted(), [""; 0]);
    assert_eq!(live(&host).0, promoted);
}

/// F21: settings are always those of their file, and what was only staged is not kept.
#[test]
fn settings_are_always_those_of_the_file() {
    let mut host = Host::start("kept-settings", 1, STATE);
    let other = [STANDARD_WASM, &[0, 2, 1, b'x']].concat();
    host.post("/v1/policies/main/stage", &other).is(200);
    let promoted = host.post("/v1/policies/main/promote", b"").is(200).body;
    host.post("/v1/policies/main/stage", STANDARD_WASM).is(200);
    let changed = DIALPLAN.replace("to = '+1$1'", "to = '+1999$1'");
    fs::write(host.folder.join("dialplan.toml"), changed).unwrap();
    assert_eq!(host.restarted(), [""; 0]);
    assert_eq!(live(&host).0, promoted["sha256"]);
    let (mut call, _, invite) = host.pbx.call(host.sip, "92065551234", &host.gw);
    assert_eq!(invite.number(), "+19992065551234");
    host.pbx.hang_up(&mut call, &host.gw);
}

/// A restart takes compiled code from its folder, and does not come about where others can write.
#[test]
fn compiled_code_survives_a_restart() {
    // Not below the target directory, which a umask may leave open to a group.
    let dir = std::env::temp_dir().join(format!("intertrunk-code-{}", std::process::id()));
    DirBuilder::new().mode(0o700).create(&dir).unwrap();
    let cache = format!("\n[cache]\ndir = \"{}\"\n", dir.display());
    let mut host = Host::start("code", 1, &cache);
    let came_from = |host: &Host, from: &str| {
        let metrics = host.get("/metrics").is(200).text;
        let line = format!("intertrunk_policy_code_total{{from=\"{from}\"}} 1\n");
        assert!(metrics.contains(&line), "{metrics}");
    };
    came_from(&host, "compiler");
    assert_eq!(host.restarted(), [""; 0]);
    came_from(&host, "cache");
    let (mut call, _, _) = host.pbx.call(host.sip, "92065551234", &host.gw);
    host.pbx.hang_up(&mut call, &host.gw);

    fs::set_permissions(&dir, Permissions::from_mode(0o777)).unwrap();
    let refused = command(&host.folder).output().unwrap();
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr) + String::from_utf8_lossy(&refused.stdout);
    assert!(
        said.contains(&format!("run `chmod go-w {}`", dir.display())),
        "{said}"
    );
    fs::remove_dir_all(&dir).unwrap();
}
