//! Who may call and who may not: passwords that are asked for, and sources that nobody listens to any
//! more, while everybody else's calls go on.
//!
//! One story: each act begins with what the ones before it have left.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;

use super::records::{Expected, Records};
use super::service::{self, Service};
use super::sipp::Sipp;
use super::{Group, HOST, Listed, Outcome, World};

/// Passwords and blocks.
pub const GROUP: Group = Group {
    name: "security",
    list: || ACTS.iter().map(Act::listed).collect(),
    run,
};

/// Has to show a password.
const PBX: &str = "127.0.0.51:15070";
/// Has not.
const OFFICE: &str = "127.0.0.52:15070";
const GATEWAY: &str = "127.0.0.53:15080";
/// Is no trunk's.
const STRANGER: &str = "127.0.0.66:15070";

const TAKES_AT_MOST: Duration = Duration::from_secs(20);
const LINGERS_FOR: Duration = Duration::from_secs(5);

/// Somebody calls, or tries to.
struct Act {
    name: &'static str,
    rules: &'static str,
    /// Whose block an operator ends before.
    pardons: Option<&'static str>,
    scenario: &'static str,
    from: &'static str,
    calls: u32,
    /// Whether the calls reach the gateway, are answered and leave records.
    reaches: bool,
    /// Who is blocked in the end, and for what.
    blocked: &'static [(&'static str, &'static str)],
}

impl Act {
    /// Calls that are answered.
    const CALLS: Act = Act {
        name: "",
        rules: "",
        pardons: None,
        scenario: "plain-caller.xml",
        from: OFFICE,
        calls: 5,
        reaches: true,
        blocked: &[],
    };
    /// Of which nothing comes.
    const VAIN: Act = Act {
        calls: 1,
        reaches: false,
        ..Act::CALLS
    };

    fn listed(&self) -> Listed {
        Listed {
            name: self.name,
            rules: self.rules,
            peers: if self.reaches { "SIPp, SIPp" } else { "SIPp" },
        }
    }
}

const SCANS: (&str, &str) = ("127.0.0.66", "scanner");
const GUESSES: (&str, &str) = ("127.0.0.51", "wrong-credentials");

const ACTS: &[Act] = &[
    Act {
        name: "s14-password",
        rules: "S14, T11",
        scenario: "s14-caller.xml",
        from: PBX,
        ..Act::CALLS
    },
    Act {
        name: "t10-stranger",
        rules: "T10",
        scenario: "t10-stranger.xml",
        from: STRANGER,
        ..Act::VAIN
    },
    Act {
        name: "s03-scanner",
        rules: "S3, S5",
        scenario: "s03-scanner.xml",
        from: STRANGER,
        blocked: &[SCANS],
        ..Act::VAIN
    },
    Act {
        name: "s14-wrong-password",
        rules: "S3, S14",
        scenario: "s14-guesser.xml",
        from: PBX,
        // Two points each, and points drain away.
        calls: 11,
        blocked: &[GUESSES, SCANS],
        ..Act::VAIN
    },
    Act {
        name: "s03-blocked",
        rules: "S3",
        scenario: "s03-unheard.xml",
        from: PBX,
        blocked: &[GUESSES, SCANS],
        ..Act::VAIN
    },
    Act {
        name: "s03-others-go-on",
        rules: "S3",
        blocked: &[GUESSES, SCANS],
        ..Act::CALLS
    },
    Act {
        name: "s03-pardoned",
        rules: "S3",
        pardons: Some("127.0.0.51"),
        scenario: "s14-caller.xml",
        from: PBX,
        blocked: &[SCANS],
        ..Act::CALLS
    },
    Act {
        name: "s03-pardoned-stranger",
        rules: "S3, T10",
        pardons: Some("127.0.0.66"),
        scenario: "t10-stranger.xml",
        from: STRANGER,
        ..Act::VAIN
    },
];

fn run(world: &World) -> Result<Vec<Outcome>> {
    let dir = &world.dir;
    let service = Service::start(&world.intertrunk, dir, "security.toml")?;
    // Each needs those before it: all are played, whichever was asked for.
    let mut outcomes = Vec::new();
    for (number, act) in (1..).zip(ACTS) {
        outcomes.push(play(number, act, world)?);
    }
    let records = Records::at_the_end_of(service, dir, &mut outcomes)?;
    for ((number, act), outcome) in (1..).zip(ACTS).zip(&mut outcomes) {
        let number = dialled(number);
        let expected = Expected::answered(&number, &number, &[("gw", 200)], "caller");
        let calls = if act.reaches { act.calls } else { 0 };
        records.compare(&expected, calls, &mut outcome.faults);
    }
    outcomes.retain(|outcome| world.wants(outcome.listed.name));
    Ok(outcomes)
}

fn dialled(number: usize) -> String {
    format!("+15558{number:02}")
}

fn play(number: usize, act: &Act, world: &World) -> Result<Outcome> {
    eprintln!("{} calls: {}", act.calls, act.name);
    let began = Instant::now();
    let deadline = began + TAKES_AT_MOST;
    let (dir, number) = (&world.dir, dialled(number));
    if let Some(source) = act.pardons {
        service::order("DELETE", &format!("/v1/blocked/{source}"))?;
    }
    let mut running = Vec::new();
    if act.reaches {
        let callee = Sipp::start(
            dir,
            "plain-callee.xml",
            GATEWAY,
            act.calls,
            TAKES_AT_MOST,
            &[],
        )?;
        callee.wait_until_bound(deadline)?;
        running.push(callee);
    }
    // The URI of a proof; SIPp would leave the number out.
    let uri = format!("{number}@{HOST}");
    let more = [
        "-s",
        &number,
        "-r",
        "20",
        "-cid_str",
        "caller-%u-%p@%s",
        "-auth_uri",
        &uri,
        HOST,
    ];
    let mut caller = Sipp::start(dir, act.scenario, act.from, act.calls, TAKES_AT_MOST, &more)?;
    while !caller.has_ended()? && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    running.push(caller);
    let mut faults = Vec::new();
    for sipp in running {
        let tally = sipp.finish(Instant::now() + LINGERS_FOR)?;
        if !tally.is_good(act.calls) {
            faults.push(tally.to_string());
        }
    }
    let said = service::ask("/v1/blocked")?;
    if blocked_of(&said) != act.blocked.iter().copied().collect() {
        faults.push(format!("blocked are {said}, not {:?}", act.blocked));
    }
    Ok(Outcome {
        listed: act.listed(),
        calls: act.calls,
        took: began.elapsed(),
        faults,
    })
}

/// Who is blocked, and for what.
fn blocked_of(said: &Value) -> BTreeSet<(&str, &str)> {
    let blocks = said.as_array().into_iter().flatten();
    let told = blocks.map(|block| [&block["source"], &block["offence"]]);
    let told = told.map(|told| told.map(|it| it.as_str().unwrap_or_default()));
    told.map(|[source, offence]| (source, offence)).collect()
}
