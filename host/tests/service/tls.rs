//! Calls under TLS: who may connect, whose certificate speaks for which trunk, and new certificates
//! while calls are up.

use std::fs;
use std::time::Instant;

use crate::certificates::{Authority, Identity};
use crate::host::{Host, folder_of};
use crate::line::Line;
use crate::phone::{PATIENCE, Phone};

const PBX: &str = "127.0.0.11:0";
const GW: &str = "127.0.0.21:0";

/// A TLS telephone with this certificate.
fn phone(authority: &Authority, identity: &Identity, address: &str) -> Phone {
    Phone::on(Line::stream(address, Some(authority.phone(identity))))
}

/// Puts the host's own certificate, and the authority's, where its configuration looks for them.
fn put(name: &str, authority: &Authority, own: &Identity) {
    let folder = folder_of(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("edge.pem"), &own.cert).unwrap();
    fs::write(folder.join("edge.key"), &own.key).unwrap();
    fs::write(folder.join("ca.pem"), &authority.pem).unwrap();
}

/// The configuration with its listener under TLS; `tls` is added to its certificates.
fn under_tls(text: &str, tls: &str) -> String {
    let address = "address = \"127.0.0.1:0\"";
    let certificates = format!("tls = {{ cert = \"edge.pem\", key = \"edge.key\"{tls} }}");
    // A busy machine shakes hands slowly; none of these tests is about that.
    let patient = "connect_timeout = \"30s\"";
    text.replacen(
        address,
        &format!("{address}\ntransport = \"tls\"\n{patient}\n{certificates}"),
        1,
    )
}

/// A host whose PBX and gateway speak TLS, and both show certificates for their addresses.
fn host(name: &str, authority: &Authority, pbx: Phone, edit: fn(String) -> String) -> Host {
    put(name, authority, &authority.sign(&["127.0.0.1"]));
    let gw = phone(authority, &authority.sign(&["127.0.0.21"]), GW);
    Host::with(name, pbx, gw, |text| {
        edit(under_tls(&text, ", client_ca = \"ca.pem\""))
    })
}

/// T5: a call under tls.
#[test]
fn a_call_under_tls() {
    let authority = Authority::new();
    let pbx = phone(&authority, &authority.sign(&["127.0.0.11"]), PBX);
    let host = host("tls-call", &authority, pbx, |text| text);
    let (mut caller, _, invite) = host.pbx.call(host.sip, "92065551234", &host.gw);
    assert!(
        invite.header("Via").starts_with("SIP/2.0/TLS "),
        "{}",
        invite.0
    );
    let contact = format!("<sip:{};transport=tls>", host.sip);
    assert_eq!(invite.header("Contact"), contact);
    host.pbx.hang_up(&mut caller, &host.gw);
    let (_, mut callee, _) = host.pbx.call(host.sip, "92065551235", &host.gw);
    host.gw.hang_up(&mut callee, &host.pbx);
    assert_eq!((host.pbx.line.open(), host.gw.line.open()), (1, 1));
    assert_eq!(host.records(2)[1]["final_code"], 200);
}

/// A peer with a `sips` URI is asked for by `sips`, and so is asked to come back (RFC 3261 §8.1.1.8).
#[test]
fn a_secure_peer_is_asked_for_by_sips() {
    let authority = Authority::new();
    let pbx = phone(&authority, &authority.sign(&["127.0.0.11"]), PBX);
    let host = host("tls-sips", &authority, pbx, |text| {
        text.replace("sip:127.0.0.21", "sips:127.0.0.21")
    });
    let mut caller = host.pbx.invite(host.sip, "0100", "92065551234");
    let invite = host.gw.request("INVITE");
    assert!(
        invite
            .start()
            .starts_with("INVITE sips:+12065551234@127.0.0.21:")
    );
    assert_eq!(invite.header("Contact"), format!("<sips:{}>", host.sip));
    host.gw.answer(&invite, 200, "OK");
    let ok = host.pbx.response(&caller, 200, "INVITE");
    host.pbx.acknowledge(&mut caller, &ok);
    host.pbx.hang_up(&mut caller, &host.gw);
}

/// T7: mutual TLS: the name in the certificate is the trunk, wherever the connection comes from.
#[test]
fn a_certificate_speaks_for_the_trunk_that_has_its_name() {
    let by_name = |text: String| {
        text.replacen(
            "kind = \"pbx\"",
            "kind = \"pbx\"\nmatch = [\"pbx.example.com\"]",
            1,
        )
    };
    let authority = Authority::new();
    // Its requests go to the address of its URI; what it shows there must be for that.
    let own = authority.sign(&["pbx.example.com", "127.0.0.11"]);
    let host = host(
        "tls-name",
        &authority,
        phone(&authority, &own, PBX),
        by_name,
    );
    let elsewhere = phone(&authority, &own, "127.0.0.99:0");
    let (mut caller, _, _) = elsewhere.call(host.sip, "92065551234", &host.gw);
    elsewhere.hang_up(&mut caller, &host.gw);
    assert_eq!(host.records(1)[0]["ingress_trunk"], "pbx-a");

    // From the right address, but with another name: nobody.
    let other = phone(&authority, &authority.sign(&["other.example.com"]), PBX);
    other.invite(host.sip, "0100", "92065551234");
    let dropped = "intertrunk_datagrams_dropped_total{cause=\"unknown-source\"}";
    host.until("dropped", |host| (host.counter(dropped) > 0).then_some(()));

    // With a certificate of nobody that is known: not even a connection.
    let stranger = Authority::new();
    let mut line = stranger.phone(&stranger.sign(&["pbx.example.com"]));
    line.client = authority.phone(&stranger.sign(&["pbx.example.com"])).client;
    let forger = Phone::on(Line::stream(PBX, Some(line)));
    forger.line.write_raw(host.sip, b"\r\n\r\n", &[]);
    host.until("closed", |_| (forger.line.open() == 0).then_some(()));
    assert_eq!(host.counter("intertrunk_calls_started_total"), 1);
}

/// The gateway's certificate is for another host: its calls fail at once.
#[test]
fn a_peer_that_shows_another_name_is_not_called() {
    let authority = Authority::new();
    let pbx = phone(&authority, &authority.sign(&["127.0.0.11"]), PBX);
    put("tls-wrong", &authority, &authority.sign(&["127.0.0.1"]));
    let gw = phone(&authority, &authority.sign(&["127.0.0.77"]), GW);
    let host = Host::with("tls-wrong", pbx, gw, |text| {
        under_tls(&text, ", client_ca = \"ca.pem\"")
    });
    let caller = host.pbx.invite(host.sip, "0100", "92065551234");
    let give_up = Instant::now() + PATIENCE;
    while host.counter("intertrunk_connections_failed_total") == 0 {
        // The gateway takes part in the handshake only while it looks.
        host.gw.line.open();
        assert!(Instant::now() < give_up);
    }
    host.pbx.response(&caller, 503, "INVITE");
    assert_eq!(host.gw.line.open(), 0);
}

/// A reload takes new certificates for new connections, and those that there are stay.
#[test]
fn certificates_are_renewed_without_dropping_a_call() {
    let old = Authority::new();
    let pbx = phone(&old, &old.sign(&["127.0.0.11"]), PBX);
    let host = host("tls-reload", &old, pbx, |text| text);
    let (mut caller, _, _) = host.pbx.call(host.sip, "92065551234", &host.gw);

    let new = Authority::new();
    put("tls-reload", &new, &new.sign(&["127.0.0.1"]));
    host.post("/v1/reload", b"").is(200);
    let late = phone(&new, &new.sign(&["127.0.0.11"]), PBX);
    late.line.write_raw(host.sip, b"\r\n\r\n", &[]);
    assert!(
        late.line.hears_raw(b"\r\n", Instant::now() + PATIENCE),
        "the new one is shown"
    );
    host.pbx.hang_up(&mut caller, &host.gw);
    assert_eq!((host.pbx.line.open(), host.gw.line.open()), (1, 1));
    assert_eq!(host.records(1)[0]["final_code"], 200);

    // A file that is no certificate changes nothing.
    fs::write(host.folder.join("edge.pem"), "nonsense").unwrap();
    let refused = host.post("/v1/reload", b"").is(422);
    assert!(
        refused.text.contains("listen[0].tls.cert"),
        "{}",
        refused.text
    );
    late.line.write_raw(host.sip, b"\r\n\r\n", &[]);
    assert!(late.line.hears_raw(b"\r\n", Instant::now() + PATIENCE));
}
