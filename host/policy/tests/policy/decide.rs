//! What crosses the boundary, and the explanation.

use bytes::Bytes;
use intertrunk_policy::{Runner, build, cases, module};
use intertrunk_proto::ask::HeaderField;
use intertrunk_sip::Message;

use crate::guests::{
    ENGINE, EXTENSIONS, STANDARD, ask, folder, live, options, query, tag, trunks, world,
};

/// O4: stored cases pass in the engine.
#[test]
fn stored_cases_pass_in_the_engine() {
    for (wasm, policy) in [
        (&EXTENSIONS, "extensions"),
        (&STANDARD, "intertrunk-standard"),
    ] {
        let suites = intertrunk_cases::load(&folder(policy).join("cases")).unwrap();
        let reports = cases::run(&ENGINE, wasm, "", &suites).unwrap_or_else(|it| panic!("{it}"));
        assert!(!reports.is_empty());
        for report in reports {
            assert!(report.passed(), "{report}");
        }
    }
}

/// R27: the explanation is kept only when asked for.
#[test]
fn the_explanation_is_kept_only_when_asked_for() {
    let slot = live(&EXTENSIONS, "", options());
    let mut runner = Runner::new(&ENGINE);
    let explained = ask(&mut runner, &slot, None, "+12065550123");
    assert_eq!(trunks(&explained), ["gw-a", "gw-b"]);
    assert_eq!(explained.because, ["PSTN, least cost"]);
    let mut quiet = query("+12065550123");
    quiet.explain = false;
    assert!(
        runner
            .decide(&slot, None, &mut quiet, None, &world())
            .because
            .is_empty()
    );
}

#[test]
fn settings_reach_the_policy() {
    let dialplan = std::fs::read_to_string(folder("intertrunk-standard").join("dialplan.toml"));
    let slot = live(&STANDARD, &dialplan.unwrap(), options());
    let answer = ask(&mut Runner::new(&ENGINE), &slot, None, "912065550123");
    assert_eq!(trunks(&answer), ["gw-a", "gw-b"]);
    assert_eq!(tag(&answer, "route"), "north america");
}

#[test]
fn a_policy_gets_no_header_that_it_did_not_ask_for() {
    let slot = live(&EXTENSIONS, "", options());
    let mut question = query("+12065550123");
    question.call.headers = vec![HeaderField {
        name: "X-Secret".to_owned(),
        value: "1".to_owned(),
    }];
    Runner::new(&ENGINE).decide(&slot, None, &mut question, None, &world());
    assert!(question.call.headers.is_empty());
}

#[test]
fn headers_come_from_the_invite_by_the_manifest() {
    // In a component of its own making: its manifest asks for two headers, one by its compact form, and
    // for one that no policy sees.
    let asks_for_headers =
        crate::load::with_manifest(&["X-Account", "i", "Authorization"], &["*"], &[]);
    let slot = live(&asks_for_headers, "", options());
    let invite = "INVITE sip:100@example.com SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
        From: <sip:a@example.com>;tag=1\r\nTo: <sip:100@example.com>\r\n\
        Call-ID: one@a.example\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n\
        x-account: seven\r\n  eight \r\nX-Other: no\r\nX-ACCOUNT: nine\r\n\
        Authorization: Digest username=\"a\"\r\n\
        Content-Length: 0\r\n\r\n";
    let invite = Message::parse(Bytes::from_static(invite.as_bytes())).unwrap();
    let mut question = query("100");
    let stale = HeaderField {
        name: "X-Account".to_owned(),
        value: "stale".to_owned(),
    };
    question.call.headers = vec![stale];
    Runner::new(&ENGINE).decide(&slot, None, &mut question, Some(&invite), &world());
    let headers: Vec<_> = question
        .call
        .headers
        .iter()
        .map(|it| (it.name.as_str(), it.value.as_str()))
        .collect();
    let expected = [
        ("i", "one@a.example"),
        ("X-Account", "seven eight"),
        ("X-Account", "nine"),
    ];
    assert_eq!(headers, expected);
}

#[test]
fn settings_ask_for_headers_of_their_own() {
    let dialplan = "[[route]]\nname = 'seven'\nheader = { name = 'X-Account', prefix = '7' }\nto = 'gw-b'\n\
                    [[route]]\nname = 'others'\nto = 'gw-a'";
    let mut runner = Runner::new(&ENGINE);
    for (settings, expected) in [
        (dialplan, "gw-b"),
        ("[[route]]\nname = 'others'\nto = 'gw-a'", "gw-a"),
    ] {
        let slot = live(&STANDARD, settings, options());
        let mut question = query("100");
        question.call.headers = ["X-Other", "x-account"]
            .map(|name| HeaderField {
                name: name.to_owned(),
                value: "7".to_owned(),
            })
            .into();
        let answer = runner.decide(&slot, None, &mut question, None, &world());
        assert_eq!(trunks(&answer), [expected]);
        let passed = question.call.headers.len();
        assert_eq!(passed, usize::from(settings == dialplan));
    }
}

/// R24: a core module loads as its component does.
#[test]
fn a_core_module_loads_as_its_component_does() {
    let built = build::build(&folder("extensions"), None).unwrap();
    let core = std::fs::read(&built.module).unwrap();
    assert_eq!(module::componentize(&core).unwrap(), built.bytes);
    assert_eq!(std::fs::read(&built.path).unwrap(), built.bytes);

    let slot = live(&core, "", options());
    let answer = ask(&mut Runner::new(&ENGINE), &slot, None, "+14255550100");
    assert_eq!(trunks(&answer), ["pbx-a"]);

    let (of_core, of_component) = (
        module::inspect(&ENGINE, &core).unwrap(),
        module::inspect(&ENGINE, &built.bytes).unwrap(),
    );
    assert_eq!(of_core.kind, module::Kind::CoreModule);
    assert_eq!(of_component.kind, module::Kind::Component);
    assert_eq!(of_component.sha256, built.sha256);
    assert_eq!(of_core.sha256, of_component.sha256, "one policy, one name");
    assert_eq!(of_core.manifest, of_component.manifest);
    assert_eq!(of_component.manifest.name, "policy-extensions");
    assert_eq!(of_component.world, "intertrunk:policy@0.1.0");
    let foreign = of_component
        .imports
        .iter()
        .find(|it| !it.starts_with("intertrunk:policy/"));
    assert_eq!(foreign, None, "a guest has no rights of its own");
}
