//! The values that headers are made of, each read alone: what reads prints, and what prints reads
//! the same.

use std::net::SocketAddr;

use intertrunk_sip::sdp::{Origin, put_body};
use intertrunk_sip::{
    CSeq, Method, Name, NameAddr, Params, Token, Uri, Via, escape_user, is_safe_value, is_token,
    response_address, unfold, unquote,
};

use crate::take::Take;

/// The first byte picks the kind, the rest is the value.
pub fn values(data: &[u8]) {
    let mut take = Take::new(data);
    let kind = take.of(&[
        uri, address, via, cseq, params, token, user, quoted, name, method, sdp, parts,
    ]);
    kind(take.rest());
}

fn uri(value: &[u8]) {
    let Some(uri) = std::str::from_utf8(value)
        .ok()
        .and_then(|t| Uri::parse(t).ok())
    else {
        return;
    };
    let text = uri.to_string();
    assert_eq!(Uri::parse(&text), Ok(uri.clone()));
    let _ = (uri.user_decoded(), uri.socket_addr());
    for (name, value) in uri.params.iter() {
        assert!(!name.is_empty() && uri.params.get(name).is_some());
        assert!(value.is_none_or(|v| text.contains(v)));
    }
}

fn address(value: &[u8]) {
    let Ok(address) = NameAddr::parse(value) else {
        return;
    };
    let display = address.display.as_deref().unwrap_or("");
    let quoted = display.replace('\\', "\\\\").replace('"', "\\\"");
    let printed = format!("\"{quoted}\" <{}>{}", address.uri, address.params);
    let again = NameAddr::parse(printed.as_bytes()).expect("what was read prints legally");
    assert_eq!((again.uri, again.tag()), (address.uri, address.tag()));
    assert!(again.params.iter().eq(address.params.iter()));
    if is_safe_value(display.as_bytes()) {
        assert_eq!(again.display, address.display);
    }
}

fn via(value: &[u8]) {
    let Ok(via) = Via::parse(value) else { return };
    let source = SocketAddr::from(([198, 51, 100, 7], 4000));
    assert_eq!(response_address(&via, source).ip(), source.ip());
    let (sent_by, host) = (via.sent_by(), via.host.as_bytes());
    assert!(!host.is_empty() && sent_by.starts_with(host));
    let printed = format!(
        "{}/{}/{} {}{}",
        via.protocol,
        via.version,
        via.transport,
        String::from_utf8_lossy(sent_by),
        via.params
    );
    assert_eq!(Via::parse(printed.as_bytes()), Ok(via));
}

fn cseq(value: &[u8]) {
    if let Ok(cseq) = CSeq::parse(value) {
        let printed = format!("{} {}", cseq.number, cseq.method);
        assert_eq!(CSeq::parse(printed.as_bytes()), Ok(cseq));
    }
}

fn params(value: &[u8]) {
    let Ok(params) = Params::parse(value) else {
        return;
    };
    let mut printed = String::new();
    for (name, value) in params.iter() {
        printed += &format!(";{name}");
        printed += &value.map(|v| format!("={v}")).unwrap_or_default();
    }
    let again = Params::parse(printed.as_bytes()).expect("what was read prints legally");
    assert!(again.iter().eq(params.iter()));
    assert_eq!(again.is_empty(), params.is_empty());
}

fn token(value: &[u8]) {
    if let Some(token) = Token::parse(value) {
        assert_eq!(token.to_string().as_bytes(), value);
        assert!(is_token(value));
    }
}

/// Whatever somebody wants to dial, it gets through a URI as it was.
fn user(value: &[u8]) {
    let text = String::from_utf8_lossy(value);
    let escaped = escape_user(&text);
    if !text.is_empty() {
        let printed = Uri::sip(Some(&escaped), "host.example", Some(5070)).to_string();
        let uri = Uri::parse(&printed).expect("an escaped user part is legal");
        assert_eq!((uri.user_decoded(), uri.host), (text, "host.example"));
    }
}

fn quoted(value: &[u8]) {
    assert!(!unfold(value).iter().any(|b| matches!(b, b'\r' | b'\n')));
    let text = unquote(value);
    if is_safe_value(text.as_bytes()) {
        let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        assert_eq!(unquote(quoted.as_bytes()), text);
    }
}

fn name(value: &[u8]) {
    let name = Name::of(value);
    assert!(name == Name::Other || Name::of(name.as_str().as_bytes()) == name);
}

fn method(value: &[u8]) {
    if let Some(method) = Method::parse(value) {
        assert!(is_token(value));
        assert_eq!(method.as_str().as_bytes(), value);
    }
}

fn sdp(value: &[u8]) {
    described(b"application/sdp", value);
}

fn parts(value: &[u8]) {
    let mut take = Take::new(value);
    let kind = take.of(&[
        &b"multipart/mixed;boundary=a"[..],
        b"multipart/mixed; boundary=\"b c\"",
    ]);
    described(kind, take.rest());
}

/// A session description under our origin tells nobody who wrote it, and a second hop of our kind
/// finds nothing more to hide.
fn described(kind: &[u8], body: &[u8]) {
    let ours = |body: &[u8]| {
        let origin = Origin {
            session: 7,
            host: "192.0.2.1",
        };
        let mut out = Vec::new();
        put_body(&mut out, kind, body, origin, &mut |_| 1);
        out
    };
    let once = ours(body);
    assert!(once.len() <= 2 * body.len() + 64);
    assert_eq!(ours(&once), once);
    if kind == b"application/sdp" {
        for line in once.split(|b| *b == b'\n') {
            let told = [&b"i="[..], b"u=", b"e=", b"p=", b"a=tool:"];
            assert!(!told.iter().any(|start| line.starts_with(start)));
            assert!(!line.starts_with(b"o=") || line.starts_with(b"o=- 7 1 IN IP4 192.0.2.1"));
        }
    }
}
