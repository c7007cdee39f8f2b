//! The calls of the demonstration and what must come of each.
//!
//! Numbers are the story: the peers' manners and the dial plan (`dialplan.toml`) go by them.

use intertrunk_proto::EndedBy;

use super::peer::Manner;

/// A trunk and, by the called number, what its peer does.
type Party = (&'static str, fn(&str) -> Manner);

/// Trunks of the world, in the order of their sockets.
pub const TRUNKS: [Party; 6] = [
    ("seattle", pbx),
    ("redmond", pbx),
    ("gw-a", gateway_a),
    ("gw-b", |_| Manner::Answers),
    ("gw-dark", |_| Manner::Silent),
    ("bellevue", pbx),
];

fn pbx(extension: &str) -> Manner {
    match extension {
        "0199" => Manner::Refuses(486),
        "0222" => Manner::HangsUp,
        _ => Manner::Answers,
    }
}

fn gateway_a(number: &str) -> Manner {
    match number {
        n if n.starts_with("+1303") => Manner::Refuses(503),
        n if n.ends_with("0666") => Manner::Rings,
        _ => Manner::Answers,
    }
}

/// What the calling side does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// Talks, and hangs up unless the called side does.
    Talk,
    /// Gives up while it rings.
    GiveUp,
}

/// One call to place.
#[derive(Debug)]
pub struct Call {
    /// What it shows.
    pub shows: &'static str,
    /// Trunk that it comes in on.
    pub from: &'static str,
    /// Calling number as the peer writes it.
    pub caller: &'static str,
    /// Called number as the peer writes it.
    pub dialled: &'static str,
    /// What the calling side does.
    pub act: Act,
    /// What must come of it.
    pub expect: Expect,
}

/// What must come of a call.
#[derive(Debug)]
pub struct Expect {
    /// Final code that the caller gets.
    pub code: u16,
    /// Trunk and final code of each attempt.
    pub attempts: &'static [(&'static str, u16)],
    /// Called and calling number as the last trunk sees them.
    pub numbers: Option<(&'static str, &'static str)>,
    /// Generation of the policy that decides.
    pub generation: u64,
    /// Why the fallback decides, if it does.
    pub fault: Option<&'static str>,
    /// Who ends the call.
    pub ended_by: EndedBy,
}

/// What most calls come to; each call says what is different with it.
const ANSWERED: Expect = Expect {
    code: 200,
    attempts: &[],
    numbers: None,
    generation: 1,
    fault: None,
    ended_by: EndedBy::Caller,
};

/// The calls before the swap.
pub const CALLS: [Call; 13] = [
    Call {
        shows: "outside line",
        from: "seattle",
        caller: "0100",
        dialled: "92065550142",
        act: Act::Talk,
        expect: Expect {
            attempts: &[("gw-a", 200)],
            numbers: Some(("+12065550142", "+14255550100")),
            ..ANSWERED
        },
    },
    Call {
        shows: "extension of the other PBX",
        from: "seattle",
        caller: "0100",
        dialled: "0250",
        act: Act::Talk,
        expect: Expect {
            attempts: &[("redmond", 200)],
            numbers: Some(("0250", "0100")),
            ..ANSWERED
        },
    },
    Call {
        shows: "and back, by full number",
        from: "redmond",
        caller: "0250",
        dialled: "+14255550100",
        act: Act::Talk,
        expect: Expect {
            attempts: &[("seattle", 200)],
            numbers: Some(("0100", "0250")),
            ..ANSWERED
        },
    },
    Call {
        shows: "from outside to an extension",
        from: "gw-a",
        caller: "+12125550187",
        dialled: "+14255550100",
        act: Act::Talk,
        expect: Expect {
            attempts: &[("seattle", 200)],
            numbers: Some(("0100", "92125550187")),
            ..ANSWERED
        },
    },
    Call {
        shows: "called side hangs up",
        from: "gw-b",
        caller: "+12125550187",
        dialled: "+14255550222",
        act: Act::Talk,
        expect: Expect {
            attempts: &[("redmond", 200)],
            numbers: Some(("0222", "92125550187")),
            ended_by: EndedBy::Callee,
            ..ANSWERED
        },
    },
    Call {
        shows: "first carrier is full",
        from: "redmond",
        caller: "0250",
        dialled: "93035550111",
        act: Act::Talk,
        expect: Expect {
            attempts: &[("gw-a", 503), ("gw-b", 200)],
            numbers: Some(("+13035550111", "+14255550250")),
            ..ANSWERED
        },
    },
    Call {
        shows: "first carrier says nothing",
        from: "seattle",
        caller: "0100",
        dialled: "94045550111",
        act: Act::Talk,
        expect: Expect {
            attempts: &[("gw-dark", 408), ("gw-b", 200)],
            numbers: Some(("+14045550111", "+14255550100")),
            ..ANSWERED
        },
    },
    Call {
        shows: "number that the policy refuses",
        from: "redmond",
        caller: "0250",
        dialled: "99005550000",
        act: Act::Talk,
        expect: Expect {
            code: 403,
            ended_by: EndedBy::Host,
            ..ANSWERED
        },
    },
    Call {
        shows: "number that leads nowhere",
        from: "gw-a",
        caller: "+12125550187",
        dialled: "+14255559999",
        act: Act::Talk,
        expect: Expect {
            code: 404,
            ended_by: EndedBy::Host,
            ..ANSWERED
        },
    },
    Call {
        shows: "busy",
        from: "gw-a",
        caller: "+12125550187",
        dialled: "+14255550199",
        act: Act::Talk,
        expect: Expect {
            code: 486,
            attempts: &[("seattle", 486)],
            numbers: Some(("0199", "92125550187")),
            ended_by: EndedBy::Callee,
            ..ANSWERED
        },
    },
    Call {
        shows: "caller gives up while it rings",
        from: "seattle",
        caller: "0100",
        dialled: "92065550666",
        act: Act::GiveUp,
        expect: Expect {
            code: 487,
            attempts: &[("gw-a", 487)],
            numbers: Some(("+12065550666", "+14255550100")),
            ..ANSWERED
        },
    },
    Call {
        shows: "PSTN to PSTN: the host says no",
        from: "gw-b",
        caller: "+442079460000",
        dialled: "+442079460999",
        act: Act::Talk,
        expect: Expect {
            code: 503,
            fault: Some("verdict"),
            ended_by: EndedBy::Host,
            ..ANSWERED
        },
    },
    Call {
        shows: "policy that loops for ever",
        from: "bellevue",
        caller: "+14255550300",
        dialled: "+12065550143",
        act: Act::Talk,
        expect: Expect {
            attempts: &[("gw-a", 200)],
            numbers: Some(("+12065550143", "+14255550300")),
            fault: Some("timeout"),
            ..ANSWERED
        },
    },
];

/// Up before the swap, over after it.
pub const STANDING: Call = Call {
    shows: "up while the policy is swapped",
    from: "seattle",
    caller: "0101",
    dialled: "92065550144",
    act: Act::Talk,
    expect: Expect {
        attempts: &[("gw-a", 200)],
        numbers: Some(("+12065550144", "+14255550101")),
        ..ANSWERED
    },
};

/// Placed after the swap, while the standing call is up.
pub const AFTER: Call = Call {
    shows: "after the swap: the other carrier",
    from: "seattle",
    caller: "0102",
    dialled: "92065550145",
    act: Act::Talk,
    expect: Expect {
        attempts: &[("gw-b", 200)],
        numbers: Some(("+12065550145", "+14255550102")),
        generation: 2,
        ..ANSWERED
    },
};

/// What the new dial plan says instead of the old one.
pub const SWAP: (&str, &str) = (r#"to = ["gw-a", "gw-b"]"#, r#"to = ["gw-b", "gw-a"]"#);
