//! Kamailio, a stateful proxy that stays in the path, as a trunk: SIPp plays the telephones behind
//! it, and the PBX on the host's other side. It asks for passwords and is asked for one, is a registrar,
//! and is stopped and started while calls go on.

use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::process::{self, Process};
use super::records::{Expected, Records};
use super::service::{self, Service};
use super::sipp::Sipp;
use super::{Group, HOST, Listed, Outcome, World, certs};

/// Kamailio on one side.
pub const GROUP: Group = Group {
    name: "kamailio",
    list: || PASSES.iter().map(Pass::listed).collect(),
    run,
};

const LOG: &str = "kamailio.log";
/// What it says there when the host answers its OPTIONS well, and when it does not.
const TAKES_CALLS: &str = "the host takes calls";
const TAKES_NONE: &str = "the host takes no calls";
const PROXY: &str = "127.0.0.41:15100";
/// Who is called behind the proxy, and who calls from there.
const CALLED: &str = "127.0.0.42:15080";
const CALLING: &str = "127.0.0.43:15080";
/// The PBX, which calls and is called.
const PBX: &str = "127.0.0.44:15080";

const STARTS_WITHIN: Duration = Duration::from_secs(10);
const ENDS_WITHIN: Duration = Duration::from_secs(5);
const TAKES_AT_MOST: Duration = Duration::from_secs(20);
const LINGERS_FOR: Duration = Duration::from_secs(5);
const CALLS: u32 = 10;

/// What the host counts of messages whose source is no trunk's.
const DROPPED: &str = "intertrunk_datagrams_dropped_total{cause=\"unknown-source\"}";

/// Which way calls go.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    ToProxy,
    FromProxy,
    /// From the proxy with the certificate of another: to nobody.
    Stranger,
    /// From the proxy, past the host.
    PastUs,
}

/// Some calls in one direction.
struct Pass {
    name: &'static str,
    rules: &'static str,
    /// What happens before.
    first: fn(&mut Stage<'_>) -> Result<()>,
    way: Way,
    /// Where the proxy takes the calls of its telephones.
    at: &'static str,
    /// The proxy's trunk.
    proxy: &'static str,
    /// A trunk that is passed over before it; empty for none.
    passed_over: &'static str,
    /// How the called numbers begin, and of no other pass.
    dialled: &'static str,
    caller: &'static str,
    /// Empty where nobody is called.
    callee: &'static str,
    final_code: u64,
    ended_by: &'static str,
}

impl Pass {
    fn listed(&self) -> Listed {
        Listed {
            name: self.name,
            rules: self.rules,
            peers: match self.way {
                Way::ToProxy => "SIPp, Kamailio, SIPp",
                Way::FromProxy | Way::PastUs => "SIPp via Kamailio, SIPp",
                Way::Stranger => "SIPp via Kamailio",
            },
        }
    }
}

impl Pass {
    /// Calls to the proxy that are answered, and that their caller ends.
    const TO_PROXY: Pass = Pass {
        name: "",
        rules: "",
        first: |_| Ok(()),
        way: Way::ToProxy,
        at: PROXY,
        proxy: "proxy",
        passed_over: "",
        dialled: "",
        caller: "kamailio-caller.xml",
        callee: "kamailio-ua.xml",
        final_code: 200,
        ended_by: "caller",
    };
    /// Calls from the proxy that are answered, and that their called side ends.
    const FROM_PROXY: Pass = Pass {
        way: Way::FromProxy,
        caller: "kamailio-ua-calls.xml",
        callee: "kamailio-gateway.xml",
        ended_by: "callee",
        ..Pass::TO_PROXY
    };
    /// Calls to the proxy that their caller gives up while it rings.
    const CANCELLED: Pass = Pass {
        caller: "kamailio-caller-cancels.xml",
        callee: "kamailio-ua-cancelled.xml",
        final_code: 487,
        ..Pass::TO_PROXY
    };
    /// Calls from the proxy where it asks whether the host is well.
    const ASKS: Pass = Pass {
        at: "127.0.0.48:15100",
        proxy: "proxy-asks",
        ..Pass::FROM_PROXY
    };
}

const PASSES: &[Pass] = &[
    Pass {
        name: "proxy-calls-to",
        dialled: "+1555701",
        ..Pass::TO_PROXY
    },
    Pass {
        name: "proxy-busy",
        rules: "K5",
        dialled: "+1555702",
        caller: "kamailio-caller-busy.xml",
        callee: "kamailio-ua-busy.xml",
        final_code: 486,
        ended_by: "callee",
        ..Pass::TO_PROXY
    },
    Pass {
        name: "proxy-cancel",
        dialled: "+1555703",
        ..Pass::CANCELLED
    },
    Pass {
        name: "proxy-calls-from",
        dialled: "+1555704",
        ..Pass::FROM_PROXY
    },
    Pass {
        name: "proxy-tcp-calls-to",
        proxy: "proxy-tcp",
        dialled: "+1555711",
        ..Pass::TO_PROXY
    },
    Pass {
        name: "proxy-tcp-cancel",
        proxy: "proxy-tcp",
        dialled: "+1555712",
        ..Pass::CANCELLED
    },
    Pass {
        name: "proxy-tcp-calls-from",
        proxy: "proxy-tcp",
        dialled: "+1555713",
        ..Pass::FROM_PROXY
    },
    Pass {
        name: "proxy-tls-calls-to",
        proxy: "proxy-tls",
        dialled: "+1555721",
        ..Pass::TO_PROXY
    },
    Pass {
        name: "proxy-tls-cancel",
        proxy: "proxy-tls",
        dialled: "+1555722",
        ..Pass::CANCELLED
    },
    Pass {
        name: "proxy-tls-calls-from",
        proxy: "proxy-tls",
        dialled: "+1555723",
        ..Pass::FROM_PROXY
    },
    Pass {
        name: "proxy-tls-other-name",
        way: Way::Stranger,
        proxy: "proxy-tls",
        dialled: "+1555731",
        caller: "kamailio-ua-stranger.xml",
        callee: "",
        ..Pass::FROM_PROXY
    },
    Pass {
        name: "proxy-asks-password",
        rules: "T11",
        proxy: "proxy-asks-password",
        dialled: "+1555741",
        ..Pass::TO_PROXY
    },
    Pass {
        name: "proxy-shows-password",
        rules: "T11, S14",
        at: "127.0.0.45:15100",
        proxy: "proxy-asks-password",
        dialled: "+1555742",
        ..Pass::FROM_PROXY
    },
    Pass {
        name: "proxy-registrar",
        rules: "T11",
        first: |_| until_trunk("registrar", "/registration/state", "registered"),
        at: "127.0.0.46:15100",
        proxy: "registrar",
        dialled: "+1555751",
        ..Pass::FROM_PROXY
    },
    Pass {
        name: "proxy-sees-drain",
        rules: "T12",
        first: |stage| {
            stage.until_logged(0, TAKES_CALLS)?;
            let before = stage.logged()?.len();
            service::order("POST", "/v1/trunks/proxy-asks/drain")?;
            stage.until_logged(before, TAKES_NONE)
        },
        way: Way::PastUs,
        dialled: "+1555761",
        caller: "plain-caller.xml",
        callee: "kamailio-ua.xml",
        ..Pass::ASKS
    },
    Pass {
        name: "proxy-sees-its-end",
        rules: "T12, F2",
        first: |stage| {
            let before = stage.logged()?.len();
            service::order("POST", "/v1/trunks/proxy-asks/enable")?;
            stage.until_logged(before, TAKES_CALLS)
        },
        dialled: "+1555762",
        ..Pass::ASKS
    },
    Pass {
        name: "proxy-well",
        rules: "F1",
        first: |_| until_trunk("proxy-asked", "/health", "up"),
        proxy: "proxy-asked",
        dialled: "+1555771",
        ..Pass::TO_PROXY
    },
    Pass {
        name: "proxy-stopped",
        rules: "F1, F2, F3",
        first: |stage| {
            stage.proxy = None;
            until_trunk("proxy-asks", "/health", "down")?;
            until_trunk("proxy-asked", "/health", "down")
        },
        proxy: "phones",
        passed_over: "proxy-asked",
        dialled: "+1555772",
        caller: "trunk-caller.xml",
        callee: "plain-callee.xml",
        ..Pass::TO_PROXY
    },
    Pass {
        name: "proxy-started",
        rules: "F1, F2, F3",
        first: |stage| {
            stage.proxy = Some(Proxy::start(stage.dir)?);
            until_trunk("proxy-asks", "/health", "up")?;
            until_trunk("proxy-asked", "/health", "up")
        },
        proxy: "proxy-asked",
        dialled: "+1555773",
        ..Pass::TO_PROXY
    },
];

/// Makes sure that Kamailio is there; installs it where that is possible without asking.
fn ensure_installed() -> Result<()> {
    if !Path::new("/usr/sbin/kamailio").exists() {
        process::install("kamailio").context("kamailio is missing, https://www.kamailio.org")?;
    }
    // TLS is a package of its own; where its module lies depends on the architecture.
    let has_tls = |root: &str| {
        let modules = |dir: PathBuf| dir.join("kamailio/modules/tls.so").exists();
        let mut dirs = fs::read_dir(root).into_iter().flatten().flatten();
        modules(root.into()) || dirs.any(|dir| modules(dir.path()))
    };
    if ["/usr/lib", "/usr/lib64"].into_iter().any(has_tls) {
        return Ok(());
    }
    process::install("kamailio-tls-modules").context("Kamailio's module tls is missing")
}

fn run(world: &World) -> Result<Vec<Outcome>> {
    let dir = &world.dir;
    ensure_installed()?;
    certs::make(
        dir,
        &[
            ("host", &["127.0.0.1", "127.0.0.2"]),
            ("kamailio", &["proxy.interop.example", "127.0.0.41"]),
            ("stranger", &["stranger.interop.example", "127.0.0.41"]),
        ],
    )?;
    let mut stage = Stage {
        dir,
        proxy: Some(Proxy::start(dir)?),
    };
    let service = Service::start(&world.intertrunk, dir, "kamailio.toml")?;
    let passes = PASSES.iter().filter(|pass| world.wants(pass.name));
    let passes: Vec<&Pass> = passes.collect();
    let mut outcomes = Vec::new();
    for pass in &passes {
        eprintln!("{CALLS} calls: {}", pass.name);
        let before = service.counter(DROPPED)?;
        let mut outcome = play(pass, &mut stage)?;
        let dropped = service.counter(DROPPED)? - before;
        let expected = if pass.way == Way::Stranger { CALLS } else { 0 };
        if dropped != u64::from(expected) {
            let fault = format!("{dropped} messages of unknown sources, not {expected}");
            outcome.faults.push(fault);
        }
        outcomes.push(outcome);
    }
    let records = Records::at_the_end_of(service, dir, &mut outcomes)?;
    for (outcome, pass) in outcomes.iter_mut().zip(passes) {
        let (ingress, trunk) = match pass.way {
            Way::ToProxy => ("pbx", pass.proxy),
            Way::FromProxy | Way::Stranger | Way::PastUs => (pass.proxy, "pbx"),
        };
        let calls = match pass.way {
            Way::ToProxy | Way::FromProxy => CALLS,
            Way::Stranger | Way::PastUs => 0,
        };
        let passed_over = Some((pass.passed_over.to_owned(), 503));
        let passed_over = passed_over.filter(|(trunk, _)| !trunk.is_empty());
        let expected = Expected {
            dialled: pass.dialled.to_owned(),
            sent: pass.dialled.to_owned(),
            kept: usize::from(passed_over.is_some()),
            attempts: passed_over
                .into_iter()
                .chain([(trunk.to_owned(), pass.final_code)])
                .collect(),
            ingress: Some(ingress),
            final_code: pass.final_code,
            ended_by: pass.ended_by,
        };
        records.compare(&expected, calls, &mut outcome.faults);
    }
    Ok(outcomes)
}

/// What passes happen on.
struct Stage<'d> {
    dir: &'d Path,
    /// Absent while it is stopped.
    proxy: Option<Proxy>,
}

impl Stage<'_> {
    /// What Kamailio has said so far.
    fn logged(&self) -> Result<String> {
        Ok(fs::read_to_string(self.dir.join(LOG))?)
    }

    /// Waits until Kamailio has said this, behind so many bytes of its log.
    fn until_logged(&self, before: usize, text: &str) -> Result<()> {
        let deadline = Instant::now() + TAKES_AT_MOST;
        while !self.logged()?[before..].contains(text) {
            ensure!(Instant::now() < deadline, "kamailio never said: {text}");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// Waits until the host says this of a trunk.
fn until_trunk(name: &str, what: &str, is: &str) -> Result<()> {
    let deadline = Instant::now() + TAKES_AT_MOST;
    service::wait_until("/v1/trunks", deadline, |said| {
        let mut trunks = said.as_array().into_iter().flatten();
        trunks.any(|trunk| trunk["name"] == name && trunk.pointer(what) == Some(&is.into()))
    })
    .with_context(|| format!("{what} of {name} is never {is}"))
}

/// A running Kamailio. It has children, which it ends when it is asked to end; killed, it would
/// leave them behind.
struct Proxy(Process);

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.terminate();
        if let Ok(None) = self.0.wait(Instant::now() + ENDS_WITHIN) {
            let group = format!("-{}", self.0.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        }
    }
}

impl Proxy {
    /// Starts it in the foreground and waits until its sockets are bound.
    fn start(dir: &Path) -> Result<Proxy> {
        // One log for all of them.
        let log = dir.join(LOG);
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = Command::new("/usr/sbin/kamailio");
        command
            .args(["-f", "kamailio.cfg", "-DD", "-E", "-m", "32", "-M", "4"])
            .args(["-w", ".", "-Y", "."])
            .current_dir(dir)
            .process_group(0)
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut proxy = Proxy(Process::start("kamailio", &mut command)?);
        let deadline = Instant::now() + STARTS_WITHIN;
        // 127.0.0.41:15100 for UDP and :15101 for TLS, as the kernel writes them.
        while !(fs::read_to_string("/proc/net/udp")?.contains(" 2900007F:3AFC ")
            && fs::read_to_string("/proc/net/tcp")?.contains(" 2900007F:3AFD 00000000:0000 "))
        {
            ensure!(
                proxy.0.ended()?.is_none() && Instant::now() < deadline,
                "kamailio did not start on {PROXY}; see {}/{LOG}",
                dir.display()
            );
            thread::sleep(Duration::from_millis(20));
        }
        Ok(proxy)
    }
}

fn play(pass: &Pass, stage: &mut Stage<'_>) -> Result<Outcome> {
    let began = Instant::now();
    (pass.first)(stage)?;
    let dir = stage.dir;
    let deadline = began + TAKES_AT_MOST;
    let (from, next, to) = match pass.way {
        Way::ToProxy => (PBX, HOST, CALLED),
        Way::FromProxy | Way::Stranger | Way::PastUs => (CALLING, pass.at, PBX),
    };
    let mut running = Vec::new();
    if !pass.callee.is_empty() {
        let callee = Sipp::start(dir, pass.callee, to, CALLS, TAKES_AT_MOST, &[])?;
        callee.wait_until_bound(deadline)?;
        running.push(callee);
    }
    let more = [
        "-s",
        pass.dialled,
        "-r",
        "20",
        "-cid_str",
        "caller-%u-%p@%s",
        next,
    ];
    let mut caller = Sipp::start(dir, pass.caller, from, CALLS, TAKES_AT_MOST, &more)?;
    while !caller.has_ended()? && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    running.push(caller);
    let mut faults = Vec::new();
    for sipp in running {
        let tally = sipp.finish(Instant::now() + LINGERS_FOR)?;
        if !tally.is_good(CALLS) {
            faults.push(tally.to_string());
        }
    }
    Ok(Outcome {
        listed: pass.listed(),
        calls: CALLS,
        took: began.elapsed(),
        faults,
    })
}
