//! `intertrunk check` on listeners that take connections: what is wrong, where, and what to write.

use crate::world::World;

const MISTAKES: &str = r#"[[listen]]
name = "bare"
address = "127.0.0.1:5061"
transport = "tls"

[[listen]]
name = "wrong"
address = "127.0.0.1:5071"
transport = "tls"
tls = { cert = "missing.pem", key = "text", client_ca = "text" }

[[listen]]
name = "lan"
address = "127.0.0.1:5060"
idle = "1m"
tls = { cert = "text" }

[[trunk]]
name = "pbx-a"
listen = "lan"
peers = ["sips:127.0.0.11", "sip:127.0.0.11:5070;transport=tcp", "sip:127.0.0.11;transport=sctp"]
match = ["pbx.example.com", "pbx"]
oversize = "always"

[policy.main]
module = "builtin:standard"
"#;

const FAULTS: [&str; 11] = [
    "t.toml:1:1: listen[0].tls: missing, and the transport is tls; write tls = { cert = \"edge.pem\", key = \"edge.key\" }",
    "t.toml:10:16: listen[1].tls.cert: missing.pem cannot be read: No such file or directory (os error 2); name a readable PEM file",
    "warning: listen[2].idle: has no effect: UDP has no connections; leave it out",
    "t.toml:16:7: listen[2].tls: has no meaning without transport = \"tls\"; leave it out, or change the transport",
    "listen[2].tls.key: missing; write key = \"edge.key\", the private key of the certificate",
    "t.toml:21:10: trunk[0].peers[0]: listener \"bare\" has no CA to know the peer's certificate by; add ca = \"peers.pem\" to its `tls`",
    "t.toml:21:29: trunk[0].peers[1]: \"sip:127.0.0.11:5070;transport=tcp\" wants tcp, and there is no listener for it; add a [[listen]] with transport = \"tcp\"",
    "trunk[0].peers[2]: \"sip:127.0.0.11;transport=sctp\" wants a transport that there is not; write `;transport=udp`, `tcp` or `tls`, or leave it out",
    "t.toml:22:10: trunk[0].match[0]: \"pbx.example.com\" is the name of a certificate, and none is shown; write an address, or give the listener tls = { …, client_ca = \"…\" }",
    "t.toml:22:29: trunk[0].match[1]: \"pbx\" is no address, no network and no name; ",
    "t.toml:23:12: trunk[0].oversize: \"always\" is none of its values; write \"off\" or \"tcp-if-reachable\" or \"tcp\"",
];

#[test]
fn faults_of_connections_are_told_at_their_place() {
    let world = World::new("connections")
        .with("t.toml", MISTAKES)
        .with("text", "no PEM");
    let mut ran = world.line("check -c t.toml").ends(1);
    for fault in FAULTS {
        ran = ran.says(fault);
    }
}

const DIAL_PLAN: &str = "[[route]]\nname = \"all\"\nprefix = \"+\"\nto = \"a\"\n";

/// Each of the four files may be the one that is wrong.
#[test]
fn the_file_that_is_wrong_is_named() {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["sbc.example.com".to_owned()]).unwrap();
    let cert = params.self_signed(&key).unwrap().pem();
    let other = rcgen::KeyPair::generate().unwrap();
    let config = |tls: &str| {
        format!(
            "[[listen]]\nname = \"lan\"\naddress = \"127.0.0.1:5061\"\ntransport = \"tls\"\n\
             tls = {{ {tls} }}\n\n[[trunk]]\nname = \"a\"\npeers = [\"sip:127.0.0.2\"]\n\n\
             [policy.main]\nmodule = \"builtin:standard\"\n\
             config = \"dialplan.toml\"\n"
        )
    };
    let check = |name: &str, tls: &str, code| {
        let world = World::new(name)
            .with("t.toml", config(tls))
            .with("cert.pem", &cert)
            .with("cert.key", key.serialize_pem())
            .with("other.key", other.serialize_pem())
            .with("text", "nothing")
            .with("dialplan.toml", DIAL_PLAN);
        world.line("check -c t.toml").ends(code)
    };
    let good = "cert = \"cert.pem\", key = \"cert.key\", client_ca = \"cert.pem\"";
    check("tls-good", good, 0);
    let told = |name, tls: &str, what| {
        check(name, tls, 1).says(what);
    };
    told(
        "tls-cert",
        &good.replacen("cert.pem", "text", 1),
        "listen[0].tls.cert: no certificate in it; ",
    );
    told(
        "tls-key",
        &good.replace("cert.key", "text"),
        "listen[0].tls.key: no private key in it: ",
    );
    told(
        "tls-pair",
        &good.replace("cert.key", "other.key"),
        "listen[0].tls.cert: ",
    );
    let ca = good.replace("client_ca = \"cert.pem\"", "client_ca = \"text\"");
    told(
        "tls-ca",
        &ca,
        "listen[0].tls.client_ca: no certificate in it; ",
    );
}
