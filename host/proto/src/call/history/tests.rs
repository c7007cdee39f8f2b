//! What a history reads, hides, adds and becomes.

use bytes::Bytes;
use intertrunk_sip::{Builder, Message};

use super::{Crossing, Tried, Way, put};
use crate::trunk::tests::trunk;
use crate::trunk::{HistoryForm, IdentityRules};

const RULES: IdentityRules = IdentityRules {
    forward_pai: true,
    forward_history: true,
    trusted: true,
    history: HistoryForm::AsIs,
};

fn written(
    more: &str,
    rules: IdentityRules,
    tried: &[(&'static str, u16)],
    redirected: bool,
) -> Vec<String> {
    let text = format!(
        "INVITE sip:200@x SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\n\
         From: <sip:2@x>;tag=a\r\nTo: <sip:1@x>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n{more}\r\n"
    );
    let invite = Message::parse(Bytes::from(text)).expect("a legal INVITE");
    let (mut from, mut to) = (trunk(0, "from", Vec::new()), trunk(1, "to", Vec::new()));
    from.identity.trusted = !more.contains("X-Stranger");
    to.identity = rules;
    let way = Way {
        crossing: Crossing {
            from: &from,
            to: &to,
            our_host: "sbc",
        },
        asked: "200",
        dialled: "+1200",
        redirected,
    };
    let of = |(callee, code): &(&'static str, u16)| Tried {
        callee,
        code: *code,
    };
    let tried: Vec<_> = tried.iter().map(of).collect();
    let mut b = Builder::response(200, "OK");
    put(&mut b, &invite, &way, &tried);
    let bytes = b.finish(None);
    let text = String::from_utf8_lossy(&bytes);
    let lines = text
        .lines()
        .skip(1)
        .take_while(|l| !l.starts_with("Content-Length"));
    lines.map(str::to_owned).collect()
}

fn form(history: HistoryForm) -> IdentityRules {
    IdentityRules { history, ..RULES }
}

const DIVERTED: &str = "Diversion: \"B\" <sip:150@inside:5070;x=y>;reason=user-busy;privacy=off, \
                        <tel:+1100>;reason=\"no-answer\";counter=1;privacy=full;host=inside\r\n";
const HISTORY: &str = "History-Info: <sip:100@inside>;index=1,\r\n \
    <sip:150@10.0.0.1;cause=486?Reason=SIP%3Bcause%3D486&Privacy=history>;index=1.1;mp=1;x=10.0.0.1,\
    <sip:200@inside;cause=302;maddr=10.0.0.2>;index=1.1.1;mp=1.1\r\n";

#[test]
fn a_call_without_history_gets_none() {
    assert_eq!(written("", RULES, &[], false), [""; 0]);
    assert_eq!(
        written("", form(HistoryForm::Diversion), &[], false),
        [""; 0]
    );
    assert_eq!(
        written(&format!("X-Stranger: 1\r\n{DIVERTED}"), RULES, &[], false),
        [""; 0]
    );
    let never = IdentityRules {
        forward_history: false,
        ..form(HistoryForm::HistoryInfo)
    };
    assert_eq!(written(DIVERTED, never, &[], false), [""; 0]);
}

#[test]
fn hosts_of_a_diversion_are_ours() {
    let expected = [
        "Diversion: \"B\" <sip:150@sbc>;reason=user-busy;privacy=off",
        "Diversion: <tel:+1100>;reason=\"no-answer\";counter=1;privacy=full",
    ];
    assert_eq!(written(DIVERTED, RULES, &[], false), expected);
    let stranger = IdentityRules {
        trusted: false,
        ..RULES
    };
    assert_eq!(
        written(DIVERTED, stranger, &[], false),
        expected[..1],
        "the other is private"
    );
    let all = format!("Privacy: history\r\n{DIVERTED}");
    assert_eq!(written(&all, stranger, &[], false), [""; 0]);
    assert_eq!(
        written(&all, RULES, &[], false),
        expected,
        "a friend keeps the secret"
    );
    let redirected = written(DIVERTED, RULES, &[("300", 302)], true);
    assert_eq!(
        redirected[0],
        "Diversion: <sip:300@sbc>;reason=unconditional;counter=1"
    );
    assert_eq!(redirected[1..], expected);
}

/// RFC 7044 §10.3
#[test]
fn a_history_goes_on_with_what_happened_here() {
    let before = [
        "History-Info: <sip:100@sbc>;index=1",
        "History-Info: <sip:150@sbc;cause=486?Reason=SIP%3Bcause%3D486&Privacy=history>\
         ;index=1.1;mp=1",
        "History-Info: <sip:200@sbc;cause=302>;index=1.1.1;mp=1.1",
    ];
    let all = written(HISTORY, RULES, &[], false);
    assert_eq!(all[..3], before);
    assert_eq!(
        all[3..],
        ["History-Info: <sip:+1200@sbc>;index=1.1.1.1;rc=1.1.1"]
    );
    let all = written(HISTORY, RULES, &[("300", 503), ("301", 302)], true);
    let here = [
        "History-Info: <sip:300@sbc?Reason=SIP%3Bcause%3D503>;index=1.1.1.1;rc=1.1.1",
        "History-Info: <sip:301@sbc?Reason=SIP%3Bcause%3D302>;index=1.1.1.2;rc=1.1.1",
        "History-Info: <sip:+1200@sbc;cause=302>;index=1.1.1.3;mp=1.1.1.2",
    ];
    assert_eq!(all[3..], here);
    let stranger = IdentityRules {
        trusted: false,
        ..RULES
    };
    let hidden = "History-Info: <sip:anonymous@anonymous.invalid;cause=486\
                  ?Reason=SIP%3Bcause%3D486>;index=1.1;mp=1";
    assert_eq!(written(HISTORY, stranger, &[], false)[1], hidden);
}

#[test]
fn a_trunk_that_wants_a_history_gets_one() {
    let wanted = form(HistoryForm::HistoryInfo);
    let expected = [
        "History-Info: <sip:200@sbc>;index=1",
        "History-Info: <sip:+1200@sbc>;index=1.1;rc=1",
    ];
    assert_eq!(written("", wanted, &[], false), expected);
    assert_eq!(
        written(&format!("X-Stranger: 1\r\n{HISTORY}"), wanted, &[], false),
        expected
    );
}

/// N16: RFC 7544 §7
#[test]
fn one_form_is_made_of_the_other() {
    let expected = [
        "History-Info: <tel:+1100?Privacy=history>;index=1",
        "History-Info: \"B\" <sip:150@sbc;cause=408>;index=1.1;mp=1",
        "History-Info: <sip:200@sbc;cause=486>;index=1.1.1;mp=1.1",
        "History-Info: <sip:+1200@sbc>;index=1.1.1.1;rc=1.1.1",
    ];
    assert_eq!(
        written(DIVERTED, form(HistoryForm::HistoryInfo), &[], false),
        expected
    );
    let expected = [
        "Diversion: <sip:150@sbc>;reason=unconditional;counter=1;privacy=full",
        "Diversion: <sip:100@sbc>;reason=user-busy;counter=1;privacy=off",
    ];
    assert_eq!(
        written(HISTORY, form(HistoryForm::Diversion), &[], false),
        expected
    );
    let both = format!("{DIVERTED}{HISTORY}");
    let lines = written(&both, form(HistoryForm::Diversion), &[], false);
    assert!(
        lines.len() == 2 && lines[0].contains("user-busy"),
        "its own form counts"
    );
}

#[test]
fn nonsense_is_left_out_and_nothing_is_endless() {
    for nonsense in [
        "<sip:1@x>",
        "<sip:1@x>;index",
        "<sip:1@x>;index=1x",
        "<sip:x>;index=1",
        "<urn:x:y>;index=1",
        "sip:1@x>;index=1",
    ] {
        let lines = written(&format!("History-Info: {nonsense}\r\n"), RULES, &[], false);
        assert_eq!(
            lines[0], "History-Info: <sip:200@sbc>;index=1",
            "{nonsense}"
        );
    }
    let many = "History-Info: <sip:1@x>;index=1\r\n".repeat(60);
    let tried = [("3", 500); 60];
    assert_eq!(written(&many, RULES, &tried, false).len(), super::STEPS_MAX);
    assert_eq!(
        written("", form(HistoryForm::HistoryInfo), &tried, false).len(),
        super::STEPS_MAX
    );
    assert_eq!(
        written(&"Diversion: <sip:1@x>\r\n".repeat(60), RULES, &[], false).len(),
        super::STEPS_MAX
    );
}
