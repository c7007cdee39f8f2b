//! The cases of `rules` that show trunks: their health, their limits, their switches, and what they
//! show those who ask for a password.

use super::cases::{plain, sipp, with};
use super::rules::Party::{Mute, Nobody, Sipp};
use super::rules::{Case, Side};

/// By feature.
pub const TRUNKS: &[Case] = &[
    Case {
        name: "f03-silent-trunk",
        rules: "F3",
        caller: "trunk-caller.xml",
        callees: &[
            with(
                "options = { interval = \"1s\", timeout = \"400ms\", down_after = 1 }",
                Mute,
            ),
            sipp("plain-callee.xml"),
        ],
        attempts: &[503, 200],
        ..Case::PLAIN
    },
    Case {
        name: "f15-full-trunk",
        rules: "F15, F19",
        caller: "trunk-caller.xml",
        callees: &[with("max_calls_out = 0", Nobody), sipp("plain-callee.xml")],
        attempts: &[503, 200],
        ..Case::PLAIN
    },
    Case {
        name: "f15-third-call-goes-on",
        rules: "F15, F19",
        caller: "trunk-caller.xml",
        per_second: 100,
        more: TALKS,
        callees: &[
            taking(2, with("max_calls_out = 2", Sipp("plain-callee.xml"))),
            taking(3, sipp("plain-callee.xml")),
        ],
        attempts: &[503, 200],
        ..Case::PLAIN
    },
    Case {
        name: "f16-burst-is-over",
        rules: "F16, F19",
        caller: "trunk-caller.xml",
        per_second: 100,
        callees: &[
            taking(
                2,
                with("max_cps_out = 1\nburst = 2", Sipp("plain-callee.xml")),
            ),
            taking(3, sipp("plain-callee.xml")),
        ],
        attempts: &[503, 200],
        ..Case::PLAIN
    },
    Case {
        name: "t11-asked-for-a-password",
        rules: "T11",
        caller: "plain-caller.xml",
        callees: &[with(
            "credentials = { user = \"us\", password_file = \"password\", realm = \"carrier\" }",
            Sipp("t11-callee.xml"),
        )],
        attempts: &[200],
        ..Case::PLAIN
    },
    Case {
        name: "t12-drained-while-talking",
        rules: "T12",
        caller: "trunk-caller.xml",
        more: TALKS,
        during: &["/v1/trunks/t12-drained-while-talking-b/drain"],
        callees: &[sipp("plain-callee.xml")],
        attempts: &[200],
        ..Case::PLAIN
    },
    Case {
        name: "t12-draining-trunk",
        rules: "T12",
        caller: "trunk-caller.xml",
        before: &["/v1/trunks/t12-draining-trunk-b/drain"],
        callees: &[plain(Nobody), sipp("plain-callee.xml")],
        attempts: &[503, 200],
        ..Case::PLAIN
    },
    Case {
        name: "ipv6-call",
        caller: "ipv6-caller.xml",
        callees: &[sipp("ipv6-callee.xml")],
        attempts: &[200],
        ipv6: true,
        ..Case::PLAIN
    },
];

/// Its calls talk for so long: all are up at once.
const TALKS: &[&str] = &["-d", "700"];

/// Takes so many of the calls, until its trunk takes no more.
const fn taking(calls: u32, side: Side) -> Side {
    Side {
        takes: Some(calls),
        ..side
    }
}
