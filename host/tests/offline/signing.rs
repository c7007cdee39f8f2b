//! `intertrunk policy keygen`, `sign`, `verify` and `inspect`, and a configuration that insists on them.

use crate::world::World;

/// A policy, as a core module.
const EXTENSIONS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/policy_extensions.wasm"));

const CONFIG: &str = r#"
[[listen]]
name = "lan"
address = "127.0.0.1:5060"

[[trunk]]
name = "pbx-a"
peers = ["sip:127.0.0.11:5070"]

[policy.main]
module = "office.wasm"

[signing]
keys = ["ops.pub"]
"#;

/// A folder with a module and two pairs of keys.
fn world(name: &str) -> World {
    let world = World::new(name)
        .with("office.wasm", EXTENSIONS)
        .with("t.toml", CONFIG);
    world.line("policy keygen ops").ends(0);
    world.line("policy keygen other").ends(0);
    world
}

fn change(world: &World, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
    let path = world.path(name);
    let mut bytes = std::fs::read(&path).unwrap();
    edit(&mut bytes);
    std::fs::write(&path, bytes).unwrap();
}

/// B7: a signature is made, verified and shown; what it is worth says its key.
#[test]
fn a_module_is_signed_and_verified() {
    let world = world("sign");
    let sha256 = |world: &World| {
        let line = "policy inspect office.wasm --json --key ops.pub --key other.pub";
        let inspected = world.line(line).ends(0).json();
        (inspected["sha256"].clone(), inspected)
    };
    let (unsigned, inspected) = sha256(&world);
    assert!(inspected["signature"].is_null(), "{inspected}");
    world
        .line("policy inspect office.wasm")
        .says("signed   by nobody");
    let verify = |key: &str| world.line(&format!("policy verify --key {key} office.wasm"));
    verify("ops.pub").ends(1).says("it is not signed");

    world.line("policy sign --key ops.key office.wasm").ends(0);
    verify("ops.pub").ends(0).says("accepts it");
    verify("other.pub").ends(1).says("not a trusted key");
    verify("other.pub --key ops.pub").ends(0);
    let (signed, inspected) = sha256(&world);
    assert_eq!(signed, unsigned, "a signed policy is the same policy");
    assert_eq!(inspected["signature"]["intact"], true);
    assert_eq!(inspected["keys"][0]["accepts"], true);
    assert_eq!(inspected["keys"][1]["accepts"], false);
    assert_eq!(inspected["keys"][0]["key"], inspected["signature"]["key"]);

    let again = "policy sign --key other.key office.wasm -o other.wasm";
    world.line(again).ends(0);
    world
        .line("policy verify --key other.pub other.wasm")
        .ends(0);
    verify("ops.pub").ends(0);

    change(&world, "office.wasm", |bytes| {
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
    });
    verify("ops.pub").ends(1).says("was changed");
    let told = world.line("policy inspect office.wasm").ends(0);
    told.says("CHANGED since");
}

/// B7: wrong files are told apart, and no key is overwritten.
#[test]
fn files_that_are_no_keys_are_named() {
    let world = world("keys").with("none.wasm", "nothing");
    world
        .line("policy keygen ops")
        .ends(2)
        .complains("ops.key is there already");
    let sign = |key: &str| world.line(&format!("policy sign --key {key} office.wasm"));
    sign("ops.pub")
        .ends(2)
        .complains("ops.pub: this is a public key");
    sign("t.toml")
        .ends(2)
        .complains("t.toml: this is no PEM file");
    sign("gone.key")
        .ends(2)
        .complains("gone.key cannot be read");
    world
        .line("policy verify --key ops.key office.wasm")
        .ends(2)
        .complains("ops.key: this is a private key");
    world
        .line("policy sign --key ops.key none.wasm")
        .ends(2)
        .complains("not a WebAssembly module");
    let mode = std::fs::metadata(world.path("ops.key"))
        .unwrap()
        .permissions();
    let mode = std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777;
    assert_eq!(mode, 0o600, "nobody else reads it");
}

/// B7: with `[signing]` a module is loaded if one of its keys signed it, and as it was signed.
#[test]
fn a_configuration_insists_on_signatures() {
    let world = world("insist");
    let check = |world: &World| world.line("check -c t.toml");
    check(&world)
        .ends(1)
        .says("t.toml:11:10: policy.main.module: refused: it is not signed; sign it with");
    world
        .line("policy sign --key other.key office.wasm")
        .ends(0);
    check(&world).ends(1).says("which is not a trusted key");
    world.line("policy sign --key ops.key office.wasm").ends(0);
    check(&world).ends(0);
    change(&world, "office.wasm", |bytes| bytes[100] ^= 1);
    check(&world).ends(1).says("it was changed after");

    let builtin = "module = \"builtin:standard\"\nconfig = \"dialplan.toml\"";
    let world = world
        .with(
            "t.toml",
            CONFIG.replace("module = \"office.wasm\"", builtin),
        )
        .with(
            "dialplan.toml",
            "[[route]]\nname = \"all\"\nprefix = \"\"\nto = \"pbx-a\"\n",
        );
    check(&world).ends(0);
}

/// B7: a policy may do without; to insist without keys is a mistake, told where it stands.
#[test]
fn who_insists_names_keys() {
    let world = world("per-policy");
    let without = CONFIG.replace("[signing]", "require_signature = false\n\n[signing]");
    let world = world.with("t.toml", without);
    world.line("check -c t.toml").ends(0);
    let (no_keys, _) = CONFIG.split_once("[signing]").unwrap();
    let world = world.with("t.toml", format!("{no_keys}require_signature = true\n"));
    let told = world.line("check -c t.toml").ends(1);
    told.says("t.toml:13:21: policy.main.require_signature: no key is trusted; add `[signing]`");
    let world = world.with("t.toml", CONFIG.replace("ops.pub", "ops.key"));
    let told = world.line("check -c t.toml").ends(1);
    told.says("t.toml:14:9: signing.keys[0]: ")
        .says("ops.key: this is a private key");
}
