//! The torture messages of RFC 4475, each against what MANIFEST.tsv says of it. A row of the
//! manifest without an expectation here is a failure, as is an expectation without a row.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use intertrunk_sip::{
    DropReason, Fault, Limits, Message, Method, Name, Overlay, Read, Scheme, peek_call_id, read,
    unsupported_scheme,
};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

enum Expect {
    /// Reads, is written back byte for byte, and these facts hold.
    Good(fn(&Message)),
    /// Is answered with this status for this fault.
    Refuse(u16, Fault),
    /// Is dropped for this reason.
    Drop(DropReason),
}

use Expect::{Drop, Good, Refuse};

const SOURCE: &str = "198.51.100.7:5060";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/rfc4475")
}

fn bytes_of(name: &str) -> Bytes {
    Bytes::from(fs::read(folder().join(name)).unwrap())
}

fn good(name: &str) -> Message {
    match read(bytes_of(name), &Limits::default()) {
        Read::Message(message) => message,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn every_row_of_the_manifest_holds() {
    let manifest = fs::read_to_string(folder().join("MANIFEST.tsv")).unwrap();
    let mut names = BTreeSet::new();
    let mut valid = 0;
    for row in manifest.lines().skip(1) {
        let mut columns = row.split('\t');
        let (name, class) = (columns.next().unwrap(), columns.next().unwrap());
        let length: usize = columns.nth(1).unwrap().parse().unwrap();
        assert_eq!(
            bytes_of(name).len(),
            length,
            "{name} is not the corpus's file"
        );
        let expect = expectation(name).unwrap_or_else(|| panic!("no expectation for {name}"));
        assert!(
            class != "valid" || matches!(expect, Good(_)),
            "{name} is valid"
        );
        assert!(class != "invalid" || !matches!(expect, Good(_)) || name == "baddate.dat");
        valid += usize::from(class == "valid");
        check(name, &expect);
        names.insert(name.to_owned());
    }
    let files: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".dat"))
        .collect();
    assert_eq!(names, files, "each file has its row");
    assert_eq!((valid, names.len()), (13, 50));
}

fn check(name: &str, expect: &Expect) {
    let bytes = bytes_of(name);
    match (expect, read(bytes.clone(), &Limits::default())) {
        (Good(facts), Read::Message(message)) => {
            facts(&message);
            written_back(name, &bytes, &message);
            assert_eq!(peek_call_id(&bytes), Some(message.call_id()), "{name}");
        }
        (Refuse(status, fault), Read::Refuse(refusal)) => {
            assert_eq!((refusal.status, refusal.fault), (*status, *fault), "{name}");
            let source = SOURCE.parse().unwrap();
            let response = refusal.response("refused", source);
            let line = format!("SIP/2.0 {status} {}\r\n", refusal.reason);
            assert!(
                response.starts_with(line.as_bytes()),
                "{name}: {response:?}"
            );
            assert!(
                response.ends_with(b"\r\nContent-Length: 0\r\n\r\n"),
                "{name}: {response:?}"
            );
            assert_eq!(refusal.destination(source).ip(), source.ip());
        }
        (Drop(reason), Read::Drop(found)) => assert_eq!(*reason, found, "{name}"),
        (_, other) => panic!("{name}: {other:?}"),
    }
}

/// Untouched; and with one header added and taken out again, which rewrites every line.
fn written_back(name: &str, bytes: &Bytes, message: &Message) {
    let sent = match name {
        "dblreq.dat" => &bytes[..memchr::memmem::find(bytes, b"\r\n\r\n").unwrap() + 4],
        _ => &bytes[..],
    };
    assert_eq!(&Overlay::new(message).finish()[..], sent, "{name}");
    let rewritten = Overlay::new(message).remove_named("X-Not-There").finish();
    assert_eq!(&rewritten[..], sent, "{name}, line by line");
}

fn expectation(name: &str) -> Option<Expect> {
    let start_line = |what| Refuse(400, Fault::StartLine(what));
    let header = |name, what| Refuse(400, Fault::Header(name, what));
    Some(match name {
        "wsinv.dat" => Good(wsinv),
        "intmeth.dat" => Good(intmeth),
        "esc01.dat" => Good(esc01),
        "escnull.dat" => Good(escnull),
        "esc02.dat" => Good(esc02),
        "lwsdisp.dat" => Good(lwsdisp),
        "longreq.dat" => Good(longreq),
        "dblreq.dat" => Good(dblreq),
        "semiuri.dat" => Good(semiuri),
        "transports.dat" => Good(transports),
        "mpart01.dat" => Good(mpart01),
        "unreason.dat" => Good(unreason),
        "noreason.dat" => Good(noreason),

        "badinv01.dat" => header(Name::Via, "parameter without a name"),
        "clerr.dat" => header(Name::ContentLength, "more than the datagram has"),
        "ncl.dat" => header(Name::ContentLength, "no number within its range"),
        "scalar02.dat" => header(Name::CSeq, "number is not below 2^31"),
        "scalarlg.dat" => Drop(DropReason::BadResponse(Fault::Header(
            Name::CSeq,
            "number is not below 2^31",
        ))),
        "quotbal.dat" => header(Name::To, "quoted string is not closed"),
        "ltgtruri.dat" => start_line("URI with a character that must be escaped"),
        "lwsruri.dat" | "lwsstart.dat" | "trws.dat" => {
            start_line("more blanks than two single spaces")
        }
        "escruri.dat" => start_line("URI with headers"),
        "baddate.dat" => Good(baddate),
        "regbadct.dat" => header(Name::Contact, "URI with , or ? needs < >"),
        "badaspec.dat" => header(
            Name::To,
            "URI is empty or has a character that must be escaped",
        ),
        "baddn.dat" => Refuse(400, Fault::HeaderLine("no empty line at its end")),
        "badvers.dat" => Refuse(505, Fault::Version),
        "mismatch01.dat" | "mismatch02.dat" => header(Name::CSeq, "method is not the request's"),
        "bigcode.dat" => Drop(DropReason::BadResponse(Fault::StartLine(
            "no status code of three digits",
        ))),

        "badbranch.dat" => Good(badbranch),
        "insuf.dat" => Refuse(400, Fault::Missing(Name::From)),
        "unkscm.dat" => Good(unkscm),
        "novelsc.dat" => Good(novelsc),
        "unksm2.dat" => Good(unksm2),
        "bext01.dat" => Good(bext01),
        "invut.dat" => Good(invut),
        "regaut01.dat" => Good(regaut01),
        "multi01.dat" => Refuse(400, Fault::Repeated(Name::CSeq)),
        "mcl01.dat" => Refuse(400, Fault::Repeated(Name::ContentLength)),
        "bcast.dat" => Good(bcast),
        "zeromf.dat" => Good(zeromf),
        "cparam01.dat" => Good(cparam01),
        "cparam02.dat" => Good(cparam02),
        "regescrt.dat" => Good(regescrt),
        "sdp01.dat" => Good(sdp01),
        "inv2543.dat" => Good(inv2543),

        "test.dat" => Drop(DropReason::NoUsableVia(Fault::StartLine("no SIP version"))),
        _ => return None,
    })
}

fn wsinv(m: &Message) {
    assert_eq!(m.from_tag(), Some(&b"98asjd8"[..]));
    assert_eq!(m.to_tag(), Some(&b"1918181833n"[..]));
    assert_eq!(
        m.from().unwrap().display.as_deref(),
        Some("J Rosenberg \\\"")
    );
    assert_eq!((m.cseq(), m.method()), (9, &Method::Invite));
    assert_eq!(m.max_forwards(), Some(68));
    assert_eq!(m.body().len(), 150);
    assert_eq!(m.header(Name::Subject), Some(&b""[..]));
    let vias: Vec<_> = m
        .values(Name::Via)
        .map(|v| intertrunk_sip::Via::parse(v).unwrap())
        .collect();
    let seen: Vec<_> = vias
        .iter()
        .map(|v| (v.transport, v.host, v.branch.unwrap()))
        .collect();
    assert_eq!(
        seen,
        [
            ("UDP", "192.0.2.2", &b"390skdjuw"[..]),
            ("TCP", "spindle.example.com", b"z9hG4bK9ikj8"),
            ("UDP", "192.168.255.111", b"z9hG4bK30239"),
        ]
    );
    let contact = m.contact().unwrap().unwrap();
    assert_eq!(contact.display.as_deref(), Some("Quoted string \"\""));
    assert_eq!(contact.params.get("newparam"), Some(Some("newvalue")));
    assert_eq!(contact.params.get("secondparam"), Some(None));
    assert_eq!(contact.params.get("q"), Some(Some("0.33")));
    let odd: Vec<_> = m.header_named("unknownheaderwithunusualvalue").collect();
    assert_eq!(odd, [&b";;,,;;,;"[..]]);
    let folded = m.header_named("NewFangledHeader").next().unwrap();
    assert_eq!(
        &intertrunk_sip::unfold(folded)[..],
        b"newfangled value continued newfangled value"
    );
}

fn intmeth(m: &Message) {
    assert_eq!(
        m.method().as_str(),
        "!interesting-Method0123456789_*+`.%indeed'~"
    );
    let uri = m.uri().unwrap();
    assert_eq!(
        uri.user,
        Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*")
    );
    assert_eq!(
        uri.password,
        Some("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)")
    );
    assert_eq!((uri.host, uri.headers), ("example.com", None));
    assert_eq!(
        m.to().unwrap().display.as_deref(),
        Some("BEL:\u{7} NUL:\0 DEL:\u{7f}")
    );
    assert_eq!(m.from_tag(), Some(&b"_token~1'+`*%!-."[..]));
    let from = m.from().unwrap();
    assert_eq!(
        from.display.as_deref(),
        Some("token1~` token2'+_ token3*%!.-")
    );
    assert_eq!(
        from.params.get("fromParam''~+*_!.-%"),
        Some(Some("\"работающий\""))
    );
    assert_eq!(
        m.call_id(),
        &br#"intmeth.word%ZK-!.*_+'@word`~)(><:\/"][?}{"#[..]
    );
    assert_eq!((m.cseq(), m.max_forwards()), (139_122_385, Some(255)));
    assert_eq!(m.header_named("extensionHeader-!.%*+_`'~").count(), 1);
}

fn esc01(m: &Message) {
    assert_eq!(m.request_uri(), "sip:sips%3Auser%40example.com@example.net");
    assert_eq!(m.uri().unwrap().user_decoded(), "sips:user@example.com");
    assert_eq!(m.to().unwrap().uri().unwrap().user_decoded(), "user");
    assert_eq!(
        m.from().unwrap().uri().unwrap().user_decoded(),
        "I have spaces"
    );
    let contact = m.contact().unwrap().unwrap().uri().unwrap();
    assert_eq!(contact.user_decoded(), "caller");
    assert_eq!(contact.params.get("lr"), Some(None));
    assert_eq!(contact.params.get("name"), Some(Some("v%61lue%25%34%31")));
    assert_eq!(m.header(Name::ContentType), Some(&b"application/sdp"[..]));
    assert_eq!(m.body().len(), 150);
}

fn escnull(m: &Message) {
    assert_eq!(
        m.to().unwrap().uri().unwrap().user_decoded(),
        "null-\0-null"
    );
    let users: Vec<_> = m
        .values(Name::Contact)
        .map(|c| {
            let contact = intertrunk_sip::NameAddr::parse(c).unwrap();
            contact.uri().unwrap().user_decoded().into_owned()
        })
        .collect();
    assert_eq!(users, ["\0", "\0\0"]);
}

fn esc02(m: &Message) {
    assert_eq!(m.method(), &Method::Other("RE%47IST%45R".into()));
    assert_eq!(m.to().unwrap().display.as_deref(), Some("%Z%45"));
    assert_eq!(m.via().unwrap().branch, Some(&b"z9hG4bK209%fzsnel234"[..]));
    assert_eq!(m.values(Name::Contact).count(), 2);
    assert_eq!(m.header_named("C%6Fntact").count(), 1);
}

fn lwsdisp(m: &Message) {
    let from = m.from().unwrap();
    assert_eq!(
        (from.display.as_deref(), from.uri),
        (Some("caller"), "sip:caller@example.com")
    );
}

fn longreq(m: &Message) {
    assert_eq!(m.values(Name::Via).count(), 34);
    assert_eq!(m.via().unwrap().host, "sip33.example.com");
    let last = intertrunk_sip::Via::parse(m.values(Name::Via).last().unwrap()).unwrap();
    assert_eq!(
        (last.host, last.received),
        ("host.example.com", Some("192.0.2.5"))
    );
    assert!(last.branch.unwrap().len() > 150);
    assert!(
        m.to()
            .unwrap()
            .display
            .unwrap()
            .starts_with("I have a user name of extreme")
    );
    assert!(m.from_tag().unwrap().len() > 100);
    assert_eq!((m.cseq(), m.body().len()), (3_882_340, 150));
}

fn dblreq(m: &Message) {
    assert_eq!((m.method(), m.cseq()), (&Method::Register, 8));
    assert!(!m.has_body());
    assert!(m.bytes().ends_with(b"Content-Length: 0\r\n\r\n"));
}

fn semiuri(m: &Message) {
    let uri = m.uri().unwrap();
    assert_eq!(uri.user, Some("user;par=u%40example.net"));
    assert!(uri.params.is_empty());
    assert_eq!(m.values(Name::Accept).count(), 6);
}

fn transports(m: &Message) {
    let seen: Vec<_> = m
        .values(Name::Via)
        .map(|v| intertrunk_sip::Via::parse(v).unwrap().transport)
        .collect();
    assert_eq!(seen, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);
}

fn mpart01(m: &Message) {
    assert_eq!((m.method(), m.body().len()), (&Method::Message, 553));
    assert!(m.body().starts_with(b"--7a9cbec02ceef655\r\n"));
    assert!(m.body().ends_with(b"--7a9cbec02ceef655--\r\n"));
    assert_eq!(m.via().unwrap().rport, Some(None));
}

fn unreason(m: &Message) {
    assert_eq!(m.status(), 200);
    assert_eq!(
        m.reason(),
        "= 2**3 * 5**2 но сто девяносто девять - простое".as_bytes()
    );
}

fn noreason(m: &Message) {
    assert_eq!((m.status(), m.reason()), (100, &b""[..]));
    assert!(!m.is_request());
}

fn baddate(m: &Message) {
    assert_eq!(
        m.header(Name::Date),
        Some(&b"Fri, 01 Jan 2010 16:00:00 EST"[..])
    );
}

fn badbranch(m: &Message) {
    assert_eq!(m.via().unwrap().branch, Some(&b"z9hG4bK"[..]));
}

fn unkscm(m: &Message) {
    let uri = m.uri().unwrap();
    assert_eq!((uri.scheme, uri.other), (Scheme::Other, m.request_uri()));
    assert!(unsupported_scheme(m));
}

fn novelsc(m: &Message) {
    assert_eq!(m.request_uri(), "soap.beep://192.0.2.103:3002");
    assert!(unsupported_scheme(m));
}

fn unksm2(m: &Message) {
    assert!(!unsupported_scheme(m));
    assert_eq!(m.to().unwrap().uri().unwrap().scheme, Scheme::Other);
    assert_eq!(m.contact().unwrap().unwrap().uri, "name:John_Smith");
}

fn bext01(m: &Message) {
    let tags: Vec<_> = m
        .values(Name::Require)
        .chain(m.values(Name::ProxyRequire))
        .collect();
    assert_eq!(
        tags,
        [
            &b"nothingSupportsThis"[..],
            b"nothingSupportsThisEither",
            b"noProxiesSupportThis",
            b"norDoAnyProxiesSupportThis"
        ]
    );
}

fn invut(m: &Message) {
    assert_eq!(
        m.header(Name::ContentType),
        Some(&b"application/unknownformat"[..])
    );
    assert_eq!(m.body().len(), 40);
}

fn regaut01(m: &Message) {
    assert_eq!(
        m.header(Name::Authorization),
        Some(&b"NoOneKnowsThisScheme opaque-data=here"[..])
    );
}

fn bcast(m: &Message) {
    assert_eq!(m.status(), 200);
    assert_eq!(m.via().unwrap().host, "192.0.2.198");
    let second = m.values(Name::Via).nth(1).unwrap();
    let second = intertrunk_sip::Via::parse(second).unwrap();
    let source: std::net::SocketAddr = SOURCE.parse().unwrap();
    assert_eq!(second.host, "255.255.255.255");
    assert_eq!(
        intertrunk_sip::response_address(&second, source).ip(),
        source.ip()
    );
}

fn zeromf(m: &Message) {
    assert_eq!(m.max_forwards(), Some(0));
}

fn cparam01(m: &Message) {
    let contact = m.contact().unwrap().unwrap();
    assert_eq!(contact.params.get("unknownparam"), Some(None));
    assert!(contact.uri().unwrap().params.is_empty());
}

fn cparam02(m: &Message) {
    let contact = m.contact().unwrap().unwrap();
    assert!(contact.params.is_empty());
    assert_eq!(
        contact.uri().unwrap().params.get("unknownparam"),
        Some(None)
    );
}

fn regescrt(m: &Message) {
    let contact = m.contact().unwrap().unwrap().uri().unwrap();
    assert_eq!(contact.headers, Some("Route=%3Csip:sip.example.com%3E"));
    assert_eq!(m.header(Name::Route), None);
}

fn sdp01(m: &Message) {
    let accept: Vec<_> = m.values(Name::Accept).collect();
    assert_eq!(accept, [&b"text/nobodyKnowsThis"[..]]);
}

fn inv2543(m: &Message) {
    assert_eq!(
        (m.via().unwrap().branch, m.from_tag(), m.max_forwards()),
        (None, None, None)
    );
    assert_eq!(m.header(Name::ContentLength), None);
    assert_eq!(
        m.body().len(),
        105,
        "without Content-Length, the body is the rest"
    );
    assert_eq!(m.to().unwrap().params.get("user"), Some(Some("phone")));
}

#[test]
fn the_bad_display_name_is_refused_for_itself() {
    let ended = [&bytes_of("baddn.dat")[..], b"\r\n"].concat();
    let fault = Message::parse(Bytes::from(ended)).unwrap_err();
    assert_eq!(
        fault,
        Fault::Header(Name::From, "display name needs quotes")
    );
    assert_eq!(fault.status(), 400);
}

#[test]
fn a_refusal_copies_what_there_is() {
    let Read::Refuse(refusal) = read(bytes_of("insuf.dat"), &Limits::default()) else {
        panic!("insuf.dat can be answered");
    };
    let response = refusal.response("refused", SOURCE.parse().unwrap());
    assert_eq!(
        response,
        "SIP/2.0 400 Bad Request\r\n\
         Via: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKkdj.insuf;received=198.51.100.7\r\n\
         CSeq: 193942 INVITE\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!((refusal.call_id(), refusal.ack), (None, false));
}

#[test]
fn dates_do_not_decide_and_schemes_above_do() {
    assert!(good("baddate.dat").has_body());
    assert!(
        !unsupported_scheme(&good("unreason.dat")),
        "a response has no Request-URI"
    );
}
