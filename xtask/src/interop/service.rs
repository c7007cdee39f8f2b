//! The host under test: `intertrunk run`, driven by its admin API and by signals.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::http;
use super::process::Process;

const ADMIN: &str = "127.0.0.1:18060";
const STARTS_WITHIN: Duration = Duration::from_secs(60);
const HANGS_UP_WITHIN: Duration = Duration::from_secs(5);
const DRAINS_WITHIN: Duration = Duration::from_secs(60);

/// Gives an order to the host that runs.
pub fn order(method: &str, path: &str) -> Result<()> {
    http::request(ADMIN, method, path, b"").map(drop)
}

/// Asks the host that runs.
pub fn ask(path: &str) -> Result<Value> {
    let body = http::request(ADMIN, "GET", path, b"")?;
    serde_json::from_str(&body).with_context(|| format!("{path} is JSON"))
}

/// Waits until this is true of what the host says there.
pub fn wait_until(path: &str, deadline: Instant, is_so: impl Fn(&Value) -> bool) -> Result<()> {
    loop {
        let said = ask(path)?;
        if is_so(&said) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{path} still says {said}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until so many calls to numbers that begin so are answered.
pub fn wait_until_up(dialled: &str, calls: u32, deadline: Instant) -> Result<()> {
    let is_up = |call: &Value| {
        let number = call["callee_in"].as_str().unwrap_or_default();
        number.starts_with(dialled) && call["answered_at"].is_string()
    };
    wait_until("/v1/calls", deadline, |said| {
        let all = said.as_array().into_iter().flatten();
        all.filter(|call| is_up(call)).count() == calls as usize
    })
}

/// A running host.
pub struct Service {
    process: Process,
}

impl Service {
    /// Starts it in `dir` with the file `config` there, and waits until it takes calls.
    pub fn start(intertrunk: &Path, dir: &Path, config: &str) -> Result<Service> {
        let log = File::create(dir.join("intertrunk.log"))?;
        let mut command = Command::new(intertrunk);
        command
            .args(["run", "-c", config])
            .current_dir(dir)
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut process = Process::start("intertrunk run", &mut command)?;
        let deadline = Instant::now() + STARTS_WITHIN;
        while let Err(why) = http::request(ADMIN, "GET", "/readyz", b"") {
            if let Some(status) = process.ended()? {
                bail!(
                    "intertrunk run ended with {status}; see {}/intertrunk.log",
                    dir.display()
                );
            }
            ensure!(
                Instant::now() < deadline,
                "not ready within {STARTS_WITHIN:?}: {why:#}"
            );
            thread::sleep(Duration::from_millis(50));
        }
        Ok(Service { process })
    }

    /// Stages a module in the policy `main` and makes it live.
    pub fn swap(&self, module: &[u8]) -> Result<()> {
        http::request(ADMIN, "POST", "/v1/policies/main/stage", module)?;
        http::request(ADMIN, "POST", "/v1/policies/main/promote", b"")?;
        Ok(())
    }

    /// The value of a counter, named as in its line of the metrics.
    pub fn counter(&self, name: &str) -> Result<u64> {
        let metrics = http::request(ADMIN, "GET", "/metrics", b"")?;
        let value = metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.with_context(|| format!("no metric {name}"))?;
        value.parse().with_context(|| format!("{name} is {value}"))
    }

    /// Waits until no call is up any more: each side has hung up already.
    pub fn wait_until_idle(&self) -> Result<()> {
        let deadline = Instant::now() + HANGS_UP_WITHIN;
        wait_until("/v1/calls", deadline, |said| *said == json!([]))
            .context("calls are still up after the last hang-up")
    }

    /// SIGTERM; the host must finish and exit with 0.
    pub fn drain(mut self) -> Result<()> {
        self.process.terminate()?;
        let status = self.process.wait(Instant::now() + DRAINS_WITHIN)?;
        let status = status.with_context(|| format!("not drained within {DRAINS_WITHIN:?}"))?;
        ensure!(
            status.success(),
            "intertrunk run ended with {status} after SIGTERM"
        );
        Ok(())
    }
}
