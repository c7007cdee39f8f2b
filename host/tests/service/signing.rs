//! A running service that takes signed modules only.

use intertrunk_policy::signature::SigningKey;

use crate::host::{EXTENSIONS, HOSTILE, Host, STANDARD, folder_of};

/// B7: an unsigned, a wrongly signed and a changed module are refused at staging, nothing changes; a
/// signed one decides, and its key is shown.
#[test]
fn only_what_a_trusted_key_signed_is_staged() {
    let (ours, _) = SigningKey::generate().unwrap();
    let (theirs, _) = SigningKey::generate().unwrap();
    let folder = folder_of("signing");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("ops.pub"), ours.public().to_pem()).unwrap();
    std::fs::write(folder.join("mine.wasm"), ours.sign(HOSTILE).unwrap()).unwrap();
    let host = Host::edited("signing", |text| {
        let mine = text.replace(STANDARD, "module = \"mine.wasm\"\ndeadline = \"5s\"\n");
        mine + "\n[signing]\nkeys = [\"ops.pub\"]\n"
    });

    let signed = ours.sign(EXTENSIONS).unwrap();
    let mut changed = signed.clone();
    changed[EXTENSIONS.len() / 2] ^= 1;
    for (wasm, told) in [
        (EXTENSIONS, "it is not signed"),
        (&theirs.sign(EXTENSIONS).unwrap(), "not a trusted key"),
        (&changed, "was changed"),
    ] {
        let refused = host.post("/v1/policies/main/stage", wasm).is(422);
        assert!(refused.text.contains(told), "{}", refused.text);
        host.post("/v1/policies/main/promote", b"").is(409);
    }
    let live = host.get("/v1/policies").body[0]["live"].clone();
    assert_eq!(live["generation"], 1, "{live}");

    let staged = host.post("/v1/policies/main/stage", &signed).is(200).body;
    assert_eq!(staged["signer"], ours.public().to_string());
    host.post("/v1/policies/main/promote", b"").is(200);
    let (mut call, _, invite) = host.gw.call(host.sip, "+14255550100", &host.pbx);
    assert_eq!(invite.number(), "0100");
    host.gw.hang_up(&mut call, &host.pbx);
}
