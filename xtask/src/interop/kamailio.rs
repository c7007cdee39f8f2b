//! Kamailio, a stateful proxy that stays in the path, as a trunk: SIPp plays the telephones behind
//! it, and the PBX on the host's other side.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::process::{self, Process};
use super::records::{Expected, Records};
use super::service::Service;
use super::sipp::Sipp;
use super::{Group, HOST, Listed, Outcome, World, certs};

/// Kamailio on one side.
pub const GROUP: Group = Group {
    name: "kamailio",
    list: || PASSES.iter().map(Pass::listed).collect(),
    run,
};

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
}

/// Some calls in one direction.
struct Pass {
    name: &'static str,
    rules: &'static str,
    way: Way,
    /// The proxy's trunk.
    proxy: &'static str,
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
                Way::FromProxy => "SIPp via Kamailio, SIPp",
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
        way: Way::ToProxy,
        proxy: "proxy",
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
    let _proxy = Proxy::start(dir)?;
    let service = Service::start(&world.intertrunk, dir, "kamailio.toml")?;
    let passes = PASSES.iter().filter(|pass| world.wants(pass.name));
    let passes: Vec<&Pass> = passes.collect();
    let mut outcomes = Vec::new();
    for pass in &passes {
        eprintln!("{CALLS} calls: {}", pass.name);
        let before = service.counter(DROPPED)?;
        let mut outcome = play(pass, dir)?;
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
            Way::FromProxy | Way::Stranger => (pass.proxy, "pbx"),
        };
        let calls = if pass.way == Way::Stranger { 0 } else { CALLS };
        let expected = Expected {
            dialled: pass.dialled.to_owned(),
            sent: pass.dialled.to_owned(),
            attempts: vec![(trunk.to_owned(), pass.final_code)],
            kept: 0,
            ingress: Some(ingress),
            final_code: pass.final_code,
            ended_by: pass.ended_by,
        };
        records.compare(&expected, calls, &mut outcome.faults);
    }
    Ok(outcomes)
}

/// A running Kamailio. It has children, which it ends when it is asked to end; killed, it would
/// leave them behind.
struct Proxy(Process);

impl Drop for Proxy {
    fn drop(&mut self) {
        // What does not end in time is killed when the process itself is dropped.
        let _ = self.0.terminate();
        let _ = self.0.wait(Instant::now() + ENDS_WITHIN);
    }
}

impl Proxy {
    /// Starts it in the foreground and waits until its sockets are bound.
    fn start(dir: &Path) -> Result<Proxy> {
        let log = File::create(dir.join("kamailio.log"))?;
        let mut command = Command::new("/usr/sbin/kamailio");
        command
            .args(["-f", "kamailio.cfg", "-DD", "-E", "-m", "32", "-M", "4"])
            .args(["-w", ".", "-Y", "."])
            .current_dir(dir)
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
                "kamailio did not start on {PROXY}; see {}/kamailio.log",
                dir.display()
            );
            thread::sleep(Duration::from_millis(20));
        }
        Ok(proxy)
    }
}

fn play(pass: &Pass, dir: &Path) -> Result<Outcome> {
    let began = Instant::now();
    let deadline = began + TAKES_AT_MOST;
    let (from, next, to) = match pass.way {
        Way::ToProxy => (PBX, HOST, CALLED),
        Way::FromProxy | Way::Stranger => (CALLING, PROXY, PBX),
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
