//! A router under measurement: started on core 0, asked for its cost, stopped with all it started.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::probe::Probe;
use super::proc;
use crate::interop::process::{self, Process};

/// Where each router listens.
pub const ADDRESS: &str = "127.0.0.1:16060";
const STARTS_WITHIN: Duration = Duration::from_secs(30);
const STOPS_WITHIN: Duration = Duration::from_secs(10);
/// Where Debian has it; seldom in the PATH of somebody who is not root.
const KAMAILIO: &str = "/usr/sbin/kamailio";

/// Somebody to be measured.
pub struct Subject {
    /// As the table names it.
    pub name: &'static str,
    /// What the called side checks, as a scenario.
    pub callee: &'static str,
    program: PathBuf,
    arguments: &'static [&'static str],
}

impl Subject {
    /// This host, with these arguments.
    pub fn intertrunk(program: PathBuf, arguments: &'static [&'static str]) -> Subject {
        Subject {
            name: "Intertrunk, Wasm policy",
            callee: "behind-b2bua.xml",
            program,
            arguments,
        }
    }
}

/// The one that others are compared with.
pub const REFERENCE: &str = "Kamailio, KEMI Lua";

/// All who take turns.
pub fn subjects(intertrunk: PathBuf) -> [Subject; 4] {
    let kamailio = |name, arguments| Subject {
        name,
        callee: "behind-proxy.xml",
        program: KAMAILIO.into(),
        arguments,
    };
    [
        Subject::intertrunk(intertrunk, &["run", "-c", "intertrunk.toml"]),
        kamailio(
            REFERENCE,
            &["-DD", "-E", "-m", "512", "-f", "kamailio-lua.cfg"],
        ),
        kamailio(
            "Kamailio, native script",
            &["-DD", "-E", "-m", "512", "-f", "kamailio.cfg"],
        ),
        // Debian's default allocator checks itself at each call, which costs half of its time.
        kamailio(
            "Kamailio, KEMI Lua, -x fm",
            &[
                "-DD",
                "-E",
                "-m",
                "512",
                "-x",
                "fm",
                "-f",
                "kamailio-lua.cfg",
            ],
        ),
    ]
}

/// Makes sure that Kamailio and its Lua are there.
pub fn ensure_kamailio() -> Result<()> {
    if !Path::new(KAMAILIO).exists() {
        process::install("kamailio").context("kamailio is missing")?;
    }
    let check = |config: &str| {
        Command::new(KAMAILIO)
            .args(["-c", "-f", config])
            .current_dir(crate::cargo::root().join("tests/bench"))
            .output()
            .is_ok_and(|output| output.status.success())
    };
    if !check("kamailio-lua.cfg") {
        process::install("kamailio-lua-modules").context("kamailio's KEMI Lua is missing")?;
        ensure!(
            check("kamailio-lua.cfg"),
            "{KAMAILIO} does not take tests/bench/kamailio-lua.cfg"
        );
    }
    Ok(())
}

/// A running router.
pub struct Router {
    process: Process,
}

impl Router {
    /// Starts it in `dir` and waits until a call gets through.
    pub fn start(subject: &Subject, dir: &Path, probe: &mut Probe) -> Result<Router> {
        Router::start_with(subject, &[], dir, probe)
    }

    /// The same, whose allocator keeps nothing that is free: memory that grows is in use.
    pub fn start_lean(subject: &Subject, dir: &Path, probe: &mut Probe) -> Result<Router> {
        let lean = [("MIMALLOC_PURGE_DELAY", "0"), ("MIMALLOC_ALLOW_THP", "0")];
        Router::start_with(subject, &lean, dir, probe)
    }

    fn start_with(
        subject: &Subject,
        environment: &[(&str, &str)],
        dir: &Path,
        probe: &mut Probe,
    ) -> Result<Router> {
        let log = File::create(dir.join("router.log"))?;
        let mut command = Command::new("taskset");
        command
            .args(["-c", "0"])
            .arg(&subject.program)
            .args(subject.arguments);
        if subject.program == Path::new(KAMAILIO) {
            // It would go to `/` otherwise.
            command.arg("-w").arg(dir);
        }
        command
            .current_dir(dir)
            .envs(environment.iter().copied())
            .stdout(log.try_clone()?)
            .stderr(log);
        let process = Process::start(subject.name, &mut command)?;
        let mut router = Router { process };
        let deadline = Instant::now() + STARTS_WITHIN;
        while probe.call()?.is_none() {
            if let Some(status) = router.process.ended()? {
                bail!("ended with {status}; see {}/router.log", dir.display());
            }
            ensure!(
                Instant::now() < deadline,
                "no call gets through within {STARTS_WITHIN:?}"
            );
        }
        Ok(router)
    }

    /// Processor time of all its processes so far.
    pub fn cpu(&self) -> Result<Duration> {
        proc::cpu(self.process.id())
    }

    /// Proportional set size of all its processes, in bytes.
    pub fn memory(&self) -> Result<u64> {
        proc::memory(self.process.id())
    }

    /// Ends it as an operator would.
    pub fn stop(mut self) -> Result<()> {
        self.process.terminate()?;
        let status = self.process.wait(Instant::now() + STOPS_WITHIN)?;
        status.with_context(|| format!("not stopped within {STOPS_WITHIN:?}"))?;
        Ok(())
    }
}

impl Drop for Router {
    /// After an error; Kamailio's workers would outlive a parent that was killed alone.
    fn drop(&mut self) {
        let running = |process: &mut Process| matches!(process.ended(), Ok(None));
        if !running(&mut self.process) {
            return;
        }
        let _ = self.process.terminate();
        let _ = self.process.wait(Instant::now() + STOPS_WITHIN);
        if running(&mut self.process) {
            // As long as the parent is not reaped, these ids are nobody else's.
            for id in proc::tree(self.process.id()).unwrap_or_default() {
                let _ = process::complete(Command::new("kill").args(["-KILL", &id.to_string()]));
            }
        }
    }
}
