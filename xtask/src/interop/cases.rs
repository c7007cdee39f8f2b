//! The table of `rules`: which scenario shows which rule of the call kernel, and what the call
//! records must say of it.
//!
//! Each case has trunks of its own: `a` calls, `b`, `c`, … are tried in that order.

use super::rules::Party::{Deaf, Itself, Nameless, Nobody, SippSecond, SippShunsTcp, Unsendable};
use super::rules::{Case, Party, Side};
use super::trunk_cases::TRUNKS;

/// All cases, each with its number.
pub fn numbered() -> impl Iterator<Item = (usize, &'static Case)> {
    (1..).zip(KERNEL.iter().chain(TRUNKS))
}

/// By rule.
const KERNEL: &[Case] = &[
    Case {
        name: "k01-cancel-while-asking",
        rules: "K1",
        caller: "k01-caller.xml",
        callees: &[plain(Nobody)],
        policy: "slow",
        calls: 3,
        per_second: 1,
        final_code: 487,
        ..Case::PLAIN
    },
    Case {
        name: "k02-cancel-crosses-answer",
        rules: "K2",
        caller: "k02-caller.xml",
        callees: &[sipp("k02-callee.xml")],
        attempts: &[487],
        final_code: 487,
        ..Case::PLAIN
    },
    Case {
        name: "k03-forked-answers",
        rules: "K3",
        caller: "k03-caller.xml",
        callees: &[sipp("k03-callee.xml")],
        attempts: &[200],
        ..Case::PLAIN
    },
    Case {
        name: "k04-attempts-share-nothing",
        rules: "K4",
        caller: "plain-caller.xml",
        callees: &[sipp("k04-callee-down.xml"), sipp("k04-callee.xml")],
        attempts: &[503, 200],
        sent: "2555",
        ..Case::PLAIN
    },
    Case {
        name: "k05-busy-is-final",
        rules: "K5",
        caller: "k05-caller-busy.xml",
        callees: &[sipp("k05-callee-busy.xml"), plain(Nobody)],
        attempts: &[486],
        final_code: 486,
        ended_by: "callee",
        ..Case::PLAIN
    },
    Case {
        name: "k05-no-double-ringing",
        rules: "K5",
        caller: "k05-caller-rang.xml",
        callees: &[sipp("k05-callee-rang.xml"), plain(Nobody)],
        attempts: &[503],
        final_code: 503,
        ended_by: "callee",
        ..Case::PLAIN
    },
    Case {
        name: "k05-only-one-rings",
        rules: "K3, K5",
        caller: "k05-caller-once.xml",
        callees: &[
            impatient(sipp("k05-callee-late.xml")),
            sipp("plain-callee.xml"),
        ],
        attempts: &[408, 200],
        ..Case::PLAIN
    },
    Case {
        name: "k06-fails-at-once",
        rules: "K6",
        caller: "k06-caller.xml",
        callees: &[plain(Unsendable), sipp("plain-callee.xml")],
        attempts: &[503, 200],
        ..Case::PLAIN
    },
    Case {
        name: "k06-no-connection",
        rules: "K6",
        caller: "k06-caller.xml",
        callees: &[by_tcp(Nobody), sipp("plain-callee.xml")],
        attempts: &[503, 200],
        ..Case::PLAIN
    },
    Case {
        name: "k06-no-address",
        rules: "K6",
        caller: "k06-caller.xml",
        callees: &[plain(Nameless), sipp("plain-callee.xml")],
        attempts: &[503, 200],
        ..Case::PLAIN
    },
    Case {
        name: "k06-second-peer",
        rules: "K6",
        calls: 1,
        caller: "k06-caller.xml",
        callees: &[plain(SippSecond("plain-callee.xml"))],
        attempts: &[200],
        ..Case::PLAIN
    },
    Case {
        name: "k07-glare",
        rules: "K7",
        caller: "k07-caller.xml",
        callees: &[sipp("k07-callee.xml")],
        attempts: &[200],
        ..Case::PLAIN
    },
    Case {
        name: "k08-bye-crosses-reinvite",
        rules: "K8",
        caller: "k08-caller-reinvite.xml",
        callees: &[sipp("k08-callee-reinvite.xml")],
        attempts: &[200],
        ..Case::PLAIN
    },
    Case {
        name: "k08-both-hang-up",
        rules: "K8",
        caller: "k08-caller-both.xml",
        callees: &[sipp("k08-callee-both.xml")],
        attempts: &[200],
        ended_by: "callee",
        ..Case::PLAIN
    },
    Case {
        name: "k09-delayed-offer",
        rules: "K9",
        caller: "k09-caller.xml",
        callees: &[sipp("k09-callee.xml")],
        attempts: &[200],
        ..Case::PLAIN
    },
    Case {
        name: "k10-reliable-on-both-legs",
        rules: "K10",
        caller: "k10-caller.xml",
        callees: &[sipp("k10-callee.xml")],
        attempts: &[200],
        ..Case::PLAIN
    },
    Case {
        name: "k10-reliable-on-one-leg",
        rules: "K10",
        caller: "k10-caller-plain.xml",
        callees: &[sipp("k10-callee.xml")],
        attempts: &[200],
        ..Case::PLAIN
    },
    Case {
        name: "k11-timer-answered",
        rules: "K11",
        caller: "k11-caller-asks.xml",
        callees: &[sipp("plain-callee.xml")],
        attempts: &[200],
        ..Case::PLAIN
    },
    Case {
        name: "k11-timer-too-short",
        rules: "K11",
        caller: "k11-caller-too-short.xml",
        callees: &[],
        final_code: 422,
        records: 0,
        ..Case::PLAIN
    },
    Case {
        name: "k11-timer-runs-out",
        rules: "K11",
        caller: "k11-caller-vanishes.xml",
        callees: &[sipp("k11-callee-outlives.xml")],
        attempts: &[200],
        ended_by: "host",
        seconds_max: 90,
        ..Case::PLAIN
    },
    Case {
        name: "k12-repeated-answer",
        rules: "K12",
        caller: "k12-caller.xml",
        callees: &[sipp("k12-callee.xml")],
        attempts: &[200],
        ..Case::PLAIN
    },
    Case {
        name: "k13-hold-resume-refusal",
        rules: "K13",
        caller: "k13-caller.xml",
        callees: &[sipp("k13-callee.xml")],
        attempts: &[200],
        ..Case::PLAIN
    },
    Case {
        name: "k14-blind-transfer",
        rules: "K14",
        caller: "k14-caller.xml",
        callees: &[sipp("k14-callee.xml"), sipp("k14-target.xml")],
        attempts: &[200, 200],
        ended_by: "callee",
        transfers: true,
        ..Case::PLAIN
    },
    Case {
        name: "k14-transfer-to-busy",
        rules: "K14",
        caller: "k14-caller-busy.xml",
        callees: &[sipp("k14-callee-kept.xml"), sipp("k05-callee-busy.xml")],
        attempts: &[200, 486],
        transfers: true,
        ..Case::PLAIN
    },
    Case {
        name: "k15-by-tcp",
        rules: "K15",
        caller: "k15-caller.xml",
        callees: &[on_tcp("k15-callee-tcp.xml")],
        attempts: &[200],
        ..Case::PLAIN
    },
    Case {
        name: "k15-ack-follows",
        rules: "K15",
        caller: "k15-caller-busy.xml",
        callees: &[on_tcp("k15-callee-busy.xml")],
        attempts: &[486],
        final_code: 486,
        ended_by: "callee",
        ..Case::PLAIN
    },
    Case {
        name: "k15-cancel-follows",
        rules: "K15",
        caller: "k15-caller-cancels.xml",
        callees: &[on_tcp("k15-callee-cancelled.xml")],
        attempts: &[487],
        final_code: 487,
        ..Case::PLAIN
    },
    Case {
        name: "k15-falls-back",
        rules: "K15",
        caller: "k15-caller.xml",
        callees: &[sipp("k15-callee-udp.xml")],
        attempts: &[200],
        ..Case::PLAIN
    },
    Case {
        name: "k15-off",
        rules: "K15",
        caller: "k15-caller.xml",
        callees: &[with(
            "oversize = \"off\"",
            SippShunsTcp("k15-callee-udp.xml"),
        )],
        attempts: &[200],
        ..Case::PLAIN
    },
    Case {
        name: "k15-tcp-or-not-at-all",
        rules: "K15",
        caller: "k15-caller.xml",
        callees: &[
            with("oversize = \"tcp\"", Nobody),
            on_tcp("k15-callee-tcp.xml"),
        ],
        attempts: &[503, 200],
        ..Case::PLAIN
    },
    Case {
        name: "k16-forged-headers",
        rules: "K16",
        calls: 10,
        caller: "plain-caller.xml",
        policy: "hostile",
        dialled: "dialog-",
        callees: &[
            named("gw-a", plain(Nobody)),
            named("gw-b", sipp("k16-callee.xml")),
        ],
        attempts: &[0, 200],
        ..Case::PLAIN
    },
    Case {
        name: "k17-many-connections",
        rules: "K17",
        calls: 10,
        per_second: 100,
        caller: "k17-caller.xml",
        more: &["-t", "tn", "-max_socket", "20", "-bind_local"],
        uri: TCP,
        callees: &[Side {
            uri: TCP,
            ..on_tcp("plain-callee.xml")
        }],
        attempts: &[200],
        ..Case::PLAIN
    },
    Case {
        name: "k17-deaf-peer",
        rules: "K17",
        calls: 20,
        caller: "k17-caller-large.xml",
        more: &["-t", "t1", "-bind_local"],
        uri: TCP,
        callees: &[
            impatient(by_tcp(Deaf)),
            Side {
                uri: TCP,
                ..on_tcp("plain-callee.xml")
            },
        ],
        attempts: &[408, 200],
        ..Case::PLAIN
    },
    Case {
        name: "k18-no-hops-left",
        rules: "K18",
        caller: "k18-caller-exhausted.xml",
        callees: &[],
        records: 0,
        ..Case::PLAIN
    },
    Case {
        name: "k18-one-hop-fewer",
        rules: "K18",
        caller: "k18-caller-hops.xml",
        callees: &[sipp("k18-callee-hops.xml")],
        attempts: &[200],
        ..Case::PLAIN
    },
    Case {
        name: "k18-loop",
        rules: "K18",
        caller: "k18-caller-loop.xml",
        callees: &[plain(Itself)],
        attempts: &[482],
        final_code: 482,
        ended_by: "callee",
        records: 2,
        ..Case::PLAIN
    },
    Case {
        name: "k19-unknown-method",
        rules: "K19",
        caller: "k19-unknown.xml",
        callees: &[],
        records: 0,
        ..Case::PLAIN
    },
    Case {
        name: "k19-inside-a-dialog",
        rules: "K19",
        caller: "k19-caller.xml",
        callees: &[sipp("k19-callee.xml")],
        attempts: &[200],
        ..Case::PLAIN
    },
    Case {
        name: "k20-reason-of-a-refusal",
        rules: "K20",
        caller: "k20-caller.xml",
        callees: &[sipp("k05-callee-busy.xml")],
        attempts: &[486],
        final_code: 486,
        ended_by: "callee",
        ..Case::PLAIN
    },
    Case {
        name: "k20-reason-of-a-bye",
        rules: "K20",
        caller: "k20-caller-bye.xml",
        callees: &[sipp("k20-callee-bye.xml")],
        attempts: &[200],
        ended_by: "callee",
        ..Case::PLAIN
    },
];

/// Of a URI that is reached over TCP.
const TCP: &str = ";transport=tcp";

/// SIPp, on a trunk with nothing special.
pub const fn sipp(scenario: &'static str) -> Side {
    plain(Party::Sipp(scenario))
}

/// SIPp that speaks TCP, on a trunk that leaves the transport open.
const fn on_tcp(scenario: &'static str) -> Side {
    Side {
        more: &["-t", "t1"],
        ..sipp(scenario)
    }
}

/// On a trunk that asks for TCP.
const fn by_tcp(party: Party) -> Side {
    Side {
        uri: TCP,
        ..plain(party)
    }
}

/// On a trunk with this line more.
pub const fn with(trunk: &'static str, party: Party) -> Side {
    Side {
        trunk,
        ..plain(party)
    }
}

/// Soon given up while nothing comes.
const fn impatient(side: Side) -> Side {
    Side {
        trunk: "no_progress = \"500ms\"",
        ..side
    }
}

/// On a trunk of this name, as its policy calls it.
const fn named(name: &'static str, side: Side) -> Side {
    Side { name, ..side }
}

pub const fn plain(party: Party) -> Side {
    Side {
        party,
        name: "",
        trunk: "",
        uri: "",
        more: &[],
        takes: None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::{Case, numbered};
    use crate::cargo;

    /// The scenario files of a case.
    fn files(case: &Case) -> Vec<&'static str> {
        let called = case.callees.iter().filter_map(|side| side.party.scenario());
        called.chain([case.caller]).collect()
    }

    #[test]
    fn the_files_of_a_case_name_its_rules() {
        for (_, case) in numbered() {
            let mut told = String::new();
            for file in files(case) {
                let path = cargo::root().join("tests/interop").join(file);
                let text = fs::read_to_string(&path).unwrap_or_else(|why| panic!("{file}: {why}"));
                let comment = text.lines().nth(1).unwrap_or_default();
                assert!(
                    comment.starts_with("<!-- "),
                    "{file}: a comment comes second"
                );
                told.push_str(comment);
            }
            for rule in case.rules.split(", ").filter(|rule| !rule.is_empty()) {
                assert!(told.contains(rule), "{}: no file says {rule}", case.name);
            }
        }
    }

    #[test]
    fn a_case_is_known_by_its_name() {
        let names: BTreeSet<&str> = numbered().map(|(_, case)| case.name).collect();
        let count = numbered().count();
        assert_eq!(names.len(), count, "two cases have one name");
        assert!(
            count < 150,
            "each case has a network of its own: 127.0.100.0 and on"
        );
    }
}
