//! A scenario for each rule of the call kernel that shows on the wire.
//!
//! The cases themselves are data ([`super::cases`]). Here each gets addresses and trunks of its own
//! in the host's configuration, one after the other is played, and its call records are compared.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::net::UdpSocket;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::cases::CASES;
use super::records::{Expected, Records};
use super::service::Service;
use super::sipp::Sipp;
use super::{Group, Listed, Outcome, World, build_policy};

/// One rule, or a few, on the wire.
pub struct Case {
    pub name: &'static str,
    pub rules: &'static str,
    pub calls: u32,
    pub per_second: u32,
    /// The caller's scenario.
    pub caller: &'static str,
    /// What the caller's SIPp is told besides.
    pub more: &'static [&'static str],
    /// More keys of the caller's trunk.
    pub trunk: &'static str,
    /// The policy that decides about its calls.
    pub policy: &'static str,
    /// Who is tried, in this order.
    pub callees: &'static [Side],
    /// What the records say: the code of each attempt, in the order of `callees`.
    pub attempts: &'static [u64],
    /// What the records say: the caller's final answer.
    pub final_code: u64,
    /// What the records say: who ended the call.
    pub ended_by: &'static str,
    /// Records that one call of the caller's leaves.
    pub records: u32,
    /// The last of `callees` is reached by a transfer of the caller's, to a number of its own, and
    /// by no other call.
    pub transfers: bool,
    /// How long it may take at most. One that takes longer than the others is played beside them.
    pub seconds_max: u64,
}

/// One place to try.
pub struct Side {
    pub party: Party,
    /// More keys of its trunk.
    pub trunk: &'static str,
}

/// Who is at that place.
pub enum Party {
    /// SIPp with this scenario, once for each call.
    Sipp(&'static str),
    /// Nobody: not one datagram may come.
    Nobody,
    /// An address that the kernel refuses to send to.
    Unsendable,
    /// The host, by another of its listeners.
    Itself,
}

impl Case {
    /// What most cases have in common.
    pub const PLAIN: Case = Case {
        name: "",
        rules: "",
        calls: 5,
        per_second: 20,
        caller: "",
        more: &[],
        trunk: "",
        policy: "main",
        callees: &[],
        attempts: &[],
        final_code: 200,
        ended_by: "caller",
        records: 1,
        transfers: false,
        seconds_max: SECONDS_MAX,
    };
}

/// How long most cases may take, whatever their calls do.
const SECONDS_MAX: u64 = 20;
/// How long a called side may stay after the caller is done: a late datagram would still fail it.
const LINGERS_FOR: Duration = Duration::from_secs(5);

/// The rules on the wire.
pub const GROUP: Group = Group {
    name: "rules",
    list: || CASES.iter().map(listed).collect(),
    run,
};

fn listed(case: &Case) -> Listed {
    Listed {
        name: case.name,
        rules: case.rules,
        peers: match case.callees.len() {
            0 => "SIPp",
            1 => "SIPp, SIPp",
            _ => "SIPp, SIPp, SIPp",
        },
    }
}

fn run(world: &World) -> Result<Vec<Outcome>> {
    let dir = &world.dir;
    configure(dir)?;
    build_policy(
        &world.intertrunk,
        "policies/hostile",
        &dir.join("hostile.wasm"),
    )?;
    let service = Service::start(&world.intertrunk, dir, "rules.toml")?;
    let wanted = (1..).zip(CASES).filter(|(_, case)| world.wants(case.name));
    let (long, short): (Vec<_>, Vec<_>) =
        wanted.partition(|(_, case)| case.seconds_max > SECONDS_MAX);
    let mut outcomes = play_all(&short, &long, dir)?;
    let played = short.into_iter().chain(long);
    let records = Records::at_the_end_of(service, dir, &mut outcomes)?;
    for (outcome, (number, case)) in outcomes.iter_mut().zip(played) {
        let calls = case.calls * case.records;
        records.compare(&expected(number, case), calls, &mut outcome.faults);
    }
    Ok(outcomes)
}

/// Plays `short` one after the other, meanwhile all of `long`; the outcomes are in that order.
fn play_all(short: &[(usize, &Case)], long: &[(usize, &Case)], dir: &Path) -> Result<Vec<Outcome>> {
    thread::scope(|scope| {
        let beside: Vec<_> = long
            .iter()
            .map(|(number, case)| scope.spawn(|| play(*number, case, dir)))
            .collect();
        let mut outcomes = Vec::new();
        for (number, case) in short {
            outcomes.push(play(*number, case, dir)?);
        }
        for case in beside {
            let outcome = case.join();
            outcomes.push(outcome.expect("whoever plays a case does not panic")?);
        }
        Ok(outcomes)
    })
}

fn caller_address(number: usize) -> String {
    format!("127.0.{}.1:15070", 100 + number)
}

fn callee_address(number: usize, place: usize) -> String {
    format!("127.0.{}.{}:15080", 100 + number, 11 + place)
}

/// The number that is dialled, but for the call's own number behind it.
fn dialled(number: usize) -> String {
    format!("+1555{number:03}")
}

fn trunk_name(case: &Case, place: usize) -> String {
    format!("{}-{}", case.name, ["b", "c", "d"][place])
}

fn expected(number: usize, case: &Case) -> Expected {
    let attempts = case.attempts.iter().enumerate();
    Expected {
        dialled: dialled(number),
        sent: dialled(number),
        ingress: None,
        attempts: attempts
            .map(|(place, code)| (trunk_name(case, place), *code))
            .collect(),
        kept: if case.transfers {
            0
        } else {
            case.attempts.len().saturating_sub(1)
        },
        final_code: case.final_code,
        ended_by: case.ended_by,
    }
}

/// Adds the trunks of each case to the configuration, and its route to the dial plan.
fn configure(dir: &Path) -> Result<()> {
    let (mut trunks, mut routes) = (String::new(), String::new());
    for (number, case) in (1..).zip(CASES) {
        let Case {
            name,
            trunk,
            policy,
            ..
        } = case;
        let mut section = |name: &str, peer: &str, keys: &str| {
            write!(
                trunks,
                "\n[[trunk]]\nname = \"{name}\"\nlisten = \"lan\"\npeers = [\"sip:{peer}\"]\n\
                 policy = \"{policy}\"\n{keys}\n"
            )
        };
        section(&format!("{name}-a"), &caller_address(number), trunk)?;
        let mut names = Vec::new();
        for (place, side) in case.callees.iter().enumerate() {
            let peer = match side.party {
                // The host is bound to loopback, so that the kernel refuses this at once.
                Party::Unsendable => "192.0.2.1:15080".to_owned(),
                Party::Itself => "127.0.0.2:15060".to_owned(),
                Party::Sipp(_) | Party::Nobody => callee_address(number, place),
            };
            section(&trunk_name(case, place), &peer, side.trunk)?;
            names.push(format!("\"{}\"", trunk_name(case, place)));
        }
        let mut route = |prefix: &str, to: &str| {
            write!(
                routes,
                "\n[[route]]\nname = \"{name}\"\nfrom = [\"{name}-a\"]\n\
                 prefix = \"{prefix}\"\nto = [{to}]\n"
            )
        };
        if let Some(target) = names.pop_if(|_| case.transfers) {
            route(&format!("{}9", dialled(number)), &target)?;
        }
        if !names.is_empty() {
            route("+1", &names.join(", "))?;
        }
    }
    append(&dir.join("rules.toml"), &trunks)?;
    append(&dir.join("rules-dialplan.toml"), &routes)
}

fn append(file: &Path, text: &str) -> Result<()> {
    let mut file = OpenOptions::new().append(true).open(file)?;
    Ok(file.write_all(text.as_bytes())?)
}

/// A party that is not SIPp.
enum Watch {
    Silence(UdpSocket),
}

fn play(number: usize, case: &Case, dir: &Path) -> Result<Outcome> {
    eprintln!("{} calls: {}", case.calls, case.name);
    let began = Instant::now();
    let budget = Duration::from_secs(case.seconds_max);
    let deadline = began + budget;
    let (mut running, mut watches, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    for (place, side) in case.callees.iter().enumerate() {
        let address = callee_address(number, place);
        match side.party {
            Party::Sipp(scenario) => running.push(Sipp::start(
                dir,
                scenario,
                &address,
                case.calls,
                budget,
                &[],
            )?),
            Party::Nobody => watches.push(Watch::Silence(UdpSocket::bind(&address)?)),
            Party::Unsendable | Party::Itself => {}
        }
    }
    for callee in &running {
        callee.wait_until_bound(deadline)?;
    }
    let (service, rate) = (dialled(number), case.per_second.to_string());
    let mut more = vec!["-s", &service, "-r", &rate, "-cid_str", "caller-%u-%p@%s"];
    more.extend(case.more);
    more.push(super::HOST);
    let mut caller = Sipp::start(
        dir,
        case.caller,
        &caller_address(number),
        case.calls,
        budget,
        &more,
    )?;
    while !caller.has_ended()? && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    running.push(caller);
    for sipp in running {
        let tally = sipp.finish(Instant::now() + LINGERS_FOR)?;
        if !tally.is_good(case.calls) {
            faults.push(tally.to_string());
        }
    }
    for Watch::Silence(socket) in watches {
        faults.extend(overheard(&socket)?);
    }
    Ok(Outcome {
        listed: listed(case),
        calls: case.calls,
        took: began.elapsed(),
        faults,
    })
}

/// The first datagram that came where nothing may come.
fn overheard(socket: &UdpSocket) -> Result<Option<String>> {
    socket.set_nonblocking(true)?;
    let mut buffer = [0; 2048];
    match socket.recv(&mut buffer) {
        Ok(length) => {
            let text = String::from_utf8_lossy(&buffer[..length]);
            let first = text.lines().next().unwrap_or_default().to_owned();
            Ok(Some(format!("somebody was dialled: {first}")))
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error).context("listening for silence"),
    }
}
