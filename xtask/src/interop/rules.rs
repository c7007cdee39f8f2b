//! A scenario for each rule of the call kernel that shows on the wire.
//!
//! The cases themselves are data ([`super::cases`]). Here each gets addresses and trunks of its own
//! in the host's configuration, one after the other is played, and its call records are compared.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::cases::numbered;
use super::records::{Expected, Records};
use super::service::Service;
use super::sipp::Sipp;
use super::{Group, Listed, Outcome, World, build_policy, service};

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
    /// Parameters of the caller's URI.
    pub uri: &'static str,
    /// Both sides are on `::1`.
    pub ipv6: bool,
    /// The policy that decides about its calls.
    pub policy: &'static str,
    /// What is dialled, but for the call's own number behind it; empty for a number of the case's own.
    pub dialled: &'static str,
    /// What an operator does before: paths of the admin API.
    pub before: &'static [&'static str],
    /// What an operator does once all calls are up.
    pub during: &'static [&'static str],
    /// Who is tried, in this order.
    pub callees: &'static [Side],
    /// What the records say: the code of each attempt, in the order of `callees`; 0 for one that
    /// was not even tried.
    pub attempts: &'static [u64],
    /// What `+1555` becomes for the last one that is tried; the dial plan says so, too.
    pub sent: &'static str,
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
    /// What its trunk is called; empty for the name of the case with a letter.
    pub name: &'static str,
    /// More keys of its trunk.
    pub trunk: &'static str,
    /// Parameters of its URI.
    pub uri: &'static str,
    /// What its SIPp is told besides.
    pub more: &'static [&'static str],
    /// How many of the calls its trunk takes, the others go on; all where nothing is said.
    pub takes: Option<u32>,
}

/// Who is at that place.
pub enum Party {
    /// SIPp with this scenario, once for each call.
    Sipp(&'static str),
    /// SIPp with this scenario on UDP; nobody may connect to the same address.
    SippShunsTcp(&'static str),
    /// SIPp with this scenario as the second peer of its trunk, whose first one is unsendable.
    SippSecond(&'static str),
    /// Nobody: not one datagram may come, and who connects is refused.
    Nobody,
    /// Answers nothing. The calls begin once it has been asked by OPTIONS in vain; nothing else may
    /// come.
    Mute,
    /// Takes connections and never reads; in the end something must be waiting for it.
    Deaf,
    /// A name without an address.
    Nameless,
    /// An address that the kernel refuses to send to.
    Unsendable,
    /// The host, by another of its listeners.
    Itself,
}

impl Party {
    /// The scenario of its SIPp, if it is one.
    pub fn scenario(&self) -> Option<&'static str> {
        match self {
            Party::Sipp(s) | Party::SippShunsTcp(s) | Party::SippSecond(s) => Some(s),
            _ => None,
        }
    }
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
        uri: "",
        ipv6: false,
        sent: "+1555",
        policy: "main",
        dialled: "",
        before: &[],
        during: &[],
        callees: &[],
        attempts: &[],
        final_code: 200,
        ended_by: "caller",
        records: 1,
        transfers: false,
        seconds_max: SECONDS_MAX,
    };
}

/// Where the host listens on a machine that has IPv6.
const HOST_V6: &str = "[::1]:15060";
/// How long most cases may take, whatever their calls do.
const SECONDS_MAX: u64 = 20;
/// How long a called side may stay after the caller is done: a late datagram would still fail it.
const LINGERS_FOR: Duration = Duration::from_secs(5);

/// The rules on the wire.
pub const GROUP: Group = Group {
    name: "rules",
    list: || numbered().map(|(_, case)| listed(case)).collect(),
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
    let has_ipv6 = UdpSocket::bind("[::1]:0").is_ok();
    configure(dir, has_ipv6)?;
    build_policy(
        &world.intertrunk,
        "policies/hostile",
        &dir.join("hostile.wasm"),
    )?;
    let service = Service::start(&world.intertrunk, dir, "rules.toml")?;
    let wanted = numbered().filter(|(_, case)| world.wants(case.name));
    let wanted = wanted.filter(|(_, case)| has_ipv6 || !case.ipv6);
    let (long, short): (Vec<_>, Vec<_>) =
        wanted.partition(|(_, case)| case.seconds_max > SECONDS_MAX);
    let mut outcomes = play_all(&short, &long, dir)?;
    let played = short.into_iter().chain(long);
    let records = Records::at_the_end_of(service, dir, &mut outcomes)?;
    for (outcome, (number, case)) in outcomes.iter_mut().zip(played) {
        let (calls, mut whole) = (case.calls * case.records, expected(number, case));
        let Some(taken) = case.callees.first().and_then(|first| first.takes) else {
            records.compare(&whole, calls, &mut outcome.faults);
            continue;
        };
        records.count(&whole, calls - taken, &mut outcome.faults);
        whole.attempts = vec![(trunk_name(case, 0), case.final_code)];
        whole.kept = 0;
        records.count(&whole, taken, &mut outcome.faults);
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

fn caller_address(number: usize, case: &Case) -> String {
    match case.ipv6 {
        true => format!("[::1]:{}", 20000 + 10 * number),
        false => format!("127.0.{}.1:15070", 100 + number),
    }
}

/// The host is bound to loopback, so that the kernel refuses to send there at once.
fn unsendable(number: usize) -> String {
    format!("192.0.2.{number}:15080")
}

fn callee_address(number: usize, case: &Case, place: usize) -> String {
    match case.ipv6 {
        true => format!("[::1]:{}", 20001 + 10 * number + place),
        false => format!("127.0.{}.{}:15080", 100 + number, 11 + place),
    }
}

/// What is dialled, but for the call's own number behind it.
fn dialled(number: usize, case: &Case) -> String {
    match case.dialled {
        "" => format!("+1555{number:03}"),
        dialled => dialled.to_owned(),
    }
}

fn trunk_name(case: &Case, place: usize) -> String {
    match case.callees[place].name {
        "" => format!("{}-{}", case.name, ["b", "c", "d"][place]),
        name => name.to_owned(),
    }
}

fn expected(number: usize, case: &Case) -> Expected {
    let mut attempts = Vec::new();
    for (place, code) in case.attempts.iter().enumerate() {
        let trunk = trunk_name(case, place);
        if let Party::SippSecond(_) = case.callees[place].party {
            attempts.push((trunk.clone(), 503));
        }
        if *code != 0 {
            attempts.push((trunk, *code));
        }
    }
    let dialled = dialled(number, case);
    Expected {
        sent: dialled.replace("+1555", case.sent),
        dialled,
        ingress: None,
        kept: match case.transfers {
            true => 0,
            false => attempts.len().saturating_sub(1),
        },
        attempts,
        final_code: case.final_code,
        ended_by: case.ended_by,
    }
}

/// Adds the trunks of each case to the configuration, and its route to the dial plan.
fn configure(dir: &Path, has_ipv6: bool) -> Result<()> {
    let (mut trunks, mut routes) = (String::new(), String::new());
    if has_ipv6 {
        trunks += "\n[[listen]]\nname = \"lan-v6\"\naddress = \"[::1]:15060\"\n";
    }
    for (number, case) in numbered() {
        if case.ipv6 && !has_ipv6 {
            continue;
        }
        let listen = if case.ipv6 { "lan-v6" } else { "lan" };
        let Case {
            name,
            trunk,
            policy,
            ..
        } = case;
        let mut section = |name: &str, peer: &str, keys: &str| {
            write!(
                trunks,
                "\n[[trunk]]\nname = \"{name}\"\nlisten = \"{listen}\"\npeers = [\"sip:{peer}\"]\n\
                 policy = \"{policy}\"\n{keys}\n"
            )
        };
        let caller = caller_address(number, case) + case.uri;
        section(&format!("{name}-a"), &caller, trunk)?;
        let mut names = Vec::new();
        for (place, side) in case.callees.iter().enumerate() {
            let address = callee_address(number, case, place);
            let peer = match side.party {
                Party::Unsendable => unsendable(number),
                Party::SippSecond(_) => unsendable(number) + "\", \"sip:" + &address,
                Party::Nameless => "nobody.invalid".to_owned(),
                Party::Itself => "127.0.0.2:15060".to_owned(),
                _ => address,
            } + side.uri;
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
            route(&format!("{}9", dialled(number, case)), &target)?;
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
    /// Nothing may come.
    Silence(UdpSocket),
    /// Nobody may connect.
    NoConnection(TcpListener),
    /// Something must be waiting for it.
    Deaf(TcpListener),
    /// Nothing but OPTIONS may come.
    OnlyOptions(UdpSocket),
}

impl Watch {
    /// What was not as it should be.
    fn fault(self) -> Result<Option<String>> {
        match self {
            Watch::Silence(socket) => overheard(&socket, None),
            Watch::OnlyOptions(socket) => overheard(&socket, Some("OPTIONS ")),
            Watch::NoConnection(listener) => {
                listener.set_nonblocking(true)?;
                let came = listener.accept().ok();
                Ok(came.map(|(_, from)| format!("{from} has connected")))
            }
            Watch::Deaf(listener) => {
                let is_stuck = waits_for(&listener)?;
                Ok((!is_stuck).then(|| "nothing waits for whoever does not read".to_owned()))
            }
        }
    }
}

/// Whether a connection to there has bytes that its other end cannot get rid of.
fn waits_for(listener: &TcpListener) -> Result<bool> {
    let SocketAddr::V4(address) = listener.local_addr()? else {
        return Ok(false);
    };
    let ip = u32::from_le_bytes(address.ip().octets());
    let there = format!("{ip:08X}:{:04X}", address.port());
    // Columns: number, own address, other address, state, bytes to send and to read.
    let sockets = fs::read_to_string("/proc/net/tcp")?;
    Ok(sockets.lines().any(|line| {
        let mut columns = line.split_whitespace().skip(2);
        columns.next() == Some(there.as_str())
            && columns
                .nth(1)
                .is_some_and(|queues| !queues.starts_with("00000000:"))
    }))
}

fn play(number: usize, case: &Case, dir: &Path) -> Result<Outcome> {
    eprintln!("{} calls: {}", case.calls, case.name);
    let began = Instant::now();
    let budget = Duration::from_secs(case.seconds_max);
    let deadline = began + budget;
    let (mut running, mut watches, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    for (place, side) in case.callees.iter().enumerate() {
        let address = callee_address(number, case, place);
        if let Some(scenario) = side.party.scenario() {
            let (calls, more) = (side.takes.unwrap_or(case.calls), side.more);
            let callee = Sipp::start(dir, scenario, &address, calls, budget, more)?;
            running.push((callee, calls));
        }
        match side.party {
            Party::Nobody => watches.push(Watch::Silence(UdpSocket::bind(&address)?)),
            Party::SippShunsTcp(_) => {
                watches.push(Watch::NoConnection(TcpListener::bind(&address)?));
            }
            Party::Mute => {
                let socket = UdpSocket::bind(&address)?;
                asked_in_vain(&socket, deadline)?;
                watches.push(Watch::OnlyOptions(socket));
            }
            Party::Deaf => watches.push(Watch::Deaf(TcpListener::bind(&address)?)),
            Party::Sipp(_)
            | Party::SippSecond(_)
            | Party::Unsendable
            | Party::Nameless
            | Party::Itself => {}
        }
    }
    for path in case.before {
        service::order("POST", path)?;
    }
    for (callee, _) in &running {
        callee.wait_until_bound(deadline)?;
    }
    let (number_dialled, rate) = (dialled(number, case), case.per_second.to_string());
    let mut more = vec![
        "-s",
        &number_dialled,
        "-r",
        &rate,
        "-cid_str",
        "caller-%u-%p@%s",
    ];
    more.extend(case.more);
    more.push(if case.ipv6 { HOST_V6 } else { super::HOST });
    let mut caller = Sipp::start(
        dir,
        case.caller,
        &caller_address(number, case),
        case.calls,
        budget,
        &more,
    )?;
    if !case.during.is_empty() {
        service::wait_until_up(&number_dialled, case.calls, deadline)?;
    }
    for path in case.during {
        service::order("POST", path)?;
    }
    while !caller.has_ended()? && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    running.push((caller, case.calls));
    let mut logged = BTreeSet::new();
    for (sipp, calls) in running {
        let tally = sipp.finish(Instant::now() + LINGERS_FOR)?;
        // What a scenario logs belongs to one attempt alone.
        let twice = |line: &&String| !logged.insert((*line).clone());
        if let Some(line) = tally.logged.iter().find(twice) {
            faults.push(format!("two attempts have the same {line}"));
        }
        if !tally.is_good(calls) {
            faults.push(tally.to_string());
        }
    }
    for watch in watches {
        faults.extend(watch.fault()?);
    }
    Ok(Outcome {
        listed: listed(case),
        calls: case.calls,
        took: began.elapsed(),
        faults,
    })
}

/// Waits until OPTIONS with a second Call-ID come: by then nobody has answered the first ones.
fn asked_in_vain(socket: &UdpSocket, deadline: Instant) -> Result<()> {
    let mut questions = BTreeSet::new();
    let mut buffer = [0; 2048];
    while questions.len() < 2 {
        let left = deadline.saturating_duration_since(Instant::now());
        socket.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        let length = socket.recv(&mut buffer).context("waiting for OPTIONS")?;
        let text = String::from_utf8_lossy(&buffer[..length]);
        let call_id = text.lines().find(|line| line.starts_with("Call-ID:"));
        questions.extend(call_id.map(str::to_owned));
    }
    Ok(())
}

/// The first datagram that does not begin as it may.
fn overheard(socket: &UdpSocket, may_begin: Option<&str>) -> Result<Option<String>> {
    socket.set_nonblocking(true)?;
    let mut buffer = [0; 2048];
    loop {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let text = String::from_utf8_lossy(&buffer[..length]);
                if !may_begin.is_some_and(|start| text.starts_with(start)) {
                    let first = text.lines().next().unwrap_or_default();
                    return Ok(Some(format!("somebody was dialled: {first}")));
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error).context("listening for silence"),
        }
    }
}
