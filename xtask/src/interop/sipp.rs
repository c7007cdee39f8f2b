//! SIPp as one party of a phase: started bounded in calls and time, judged by its exit code and by
//! its own statistics.

use std::fmt;
use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::HOST;
use super::process::{self, Process};

/// A party that places calls.
pub struct Caller {
    pub scenario: &'static str,
    pub numbers: &'static str,
    pub address: &'static str,
}

/// A party that takes calls.
pub struct Callee {
    pub scenario: &'static str,
    pub address: &'static str,
}

/// Makes sure that SIPp is there; installs it where that is possible without asking.
pub fn ensure() -> Result<()> {
    if Command::new("sipp").arg("-v").output().is_ok() {
        return Ok(());
    }
    process::install("sip-tester").context("sipp is missing, https://github.com/SIPp/sipp")
}

impl Caller {
    /// Starts to place `calls` through the host.
    pub fn start(&self, dir: &Path, calls: u32, per_second: u32, budget: Duration) -> Result<Sipp> {
        let per_second = per_second.to_string();
        let numbers = [
            "-inf",
            self.numbers,
            "-cid_str",
            "caller-%u-%p@%s",
            "-r",
            &per_second,
            HOST,
        ];
        Sipp::start(dir, self.scenario, self.address, calls, budget, &numbers)
    }
}

impl Callee {
    /// Starts to take `calls`.
    pub fn start(&self, dir: &Path, calls: u32, budget: Duration) -> Result<Sipp> {
        Sipp::start(dir, self.scenario, self.address, calls, budget, &[])
    }
}

/// A running SIPp.
pub struct Sipp {
    name: String,
    address: SocketAddr,
    process: Process,
    statistics: PathBuf,
    errors: PathBuf,
    log: PathBuf,
}

impl Sipp {
    /// Starts it with `scenario` for `calls` and at most `budget`; `more` comes last.
    pub fn start(
        dir: &Path,
        scenario: &str,
        address: &str,
        calls: u32,
        budget: Duration,
        more: &[&str],
    ) -> Result<Sipp> {
        let address: SocketAddr = address.parse().context("addresses here are literals")?;
        let name = format!("{}-{}", scenario.trim_end_matches(".xml"), address.ip());
        let file = |ending: &str| dir.join(format!("{name}-{calls}{ending}"));
        let (statistics, errors, log) = (file(".csv"), file(".errors"), file(".log"));
        // An earlier run's would be read if this one wrote none.
        let _ = fs::remove_file(&statistics);
        let screen = File::create(file(".screen"))?;
        let mut command = Command::new("sipp");
        command
            .args(["-sf", scenario, "-i", &address.ip().to_string()])
            .args(["-p", &address.port().to_string(), "-m", &calls.to_string()])
            .args([
                "-nostdin",
                "-trace_err",
                "-trace_stat",
                "-fd",
                "1",
                "-recv_timeout",
                "10000",
            ])
            .args([
                "-timeout",
                &format!("{}s", budget.as_secs()),
                "-timeout_error",
            ])
            .arg("-error_file")
            .arg(&errors)
            .arg("-stf")
            .arg(&statistics)
            .arg("-trace_logs")
            .arg("-log_file")
            .arg(&log)
            .args(more)
            .current_dir(dir)
            .stdout(screen.try_clone()?)
            .stderr(screen);
        let process = Process::start(format!("sipp {name}"), &mut command)?;
        Ok(Sipp {
            name,
            address,
            process,
            statistics,
            errors,
            log,
        })
    }

    /// Waits until its socket is bound, as the kernel tells: asking SIPp itself would be a call.
    pub fn wait_until_bound(&self, deadline: Instant) -> Result<()> {
        // As the kernel writes it: each 32 bits with their lowest byte first.
        let octets = match self.address.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let words = octets.chunks(4).flat_map(|word| word.iter().rev());
        let ip: String = words.map(|byte| format!("{byte:02X}")).collect();
        let udp = format!(" {ip}:{:04X} ", self.address.port());
        // A TCP socket that listens is one without a peer.
        let tcp = format!("{udp}{}:0000 ", "0".repeat(ip.len()));
        let family = if self.address.is_ipv6() { "6" } else { "" };
        let is_bound = || -> Result<bool> {
            let sockets = |protocol| fs::read_to_string(format!("/proc/net/{protocol}{family}"));
            Ok(sockets("udp")?.contains(&udp) || sockets("tcp")?.contains(&tcp))
        };
        while !is_bound()? {
            ensure!(Instant::now() < deadline, "sipp {} did not bind", self.name);
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.process.ended()?.is_some())
    }

    /// How many calls it has up, as it wrote at most a second ago.
    pub fn calls_up(&self) -> Result<u32> {
        column(&fs::read_to_string(&self.statistics)?, "CurrentCall")
    }

    /// Waits for its end, stops it if that does not come in time, and counts.
    pub fn finish(self, deadline: Instant) -> Result<Tally> {
        let Sipp {
            name,
            mut process,
            statistics,
            errors,
            log,
            ..
        } = self;
        let status = process.wait(deadline)?;
        drop(process);
        let table = fs::read_to_string(&statistics)
            .with_context(|| format!("sipp {name} wrote no statistics"))?;
        Ok(Tally {
            exit: status.and_then(|status| status.code()),
            logged: fs::read_to_string(&log)
                .unwrap_or_default()
                .lines()
                .map(str::to_owned)
                .collect(),
            good: column(&table, "SuccessfulCall(C)")?,
            failed: column(&table, "FailedCall(C)")?,
            retransmissions: column(&table, "Retransmissions(C)")?,
            first_error: first_lines(&errors),
            name,
        })
    }
}

/// What one SIPp counted.
pub struct Tally {
    name: String,
    pub exit: Option<i32>,
    pub good: u32,
    pub failed: u32,
    pub retransmissions: u32,
    /// What its scenario has logged, line by line.
    pub logged: Vec<String>,
    first_error: String,
}

impl Tally {
    /// Whether it did all of `calls`, each as its scenario says.
    pub fn is_good(&self, calls: u32) -> bool {
        self.good == calls && self.failed == 0 && self.exit == Some(0)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally {
            name,
            good,
            failed,
            first_error,
            ..
        } = self;
        let exit = self
            .exit
            .map_or("a signal".to_owned(), |code| code.to_string());
        write!(
            f,
            "sipp {name}: {good} good, {failed} failed, exit {exit}{first_error}"
        )
    }
}

/// The value of one column in the last row of a statistics file.
fn column(table: &str, name: &str) -> Result<u32> {
    let mut lines = table.lines();
    let header = lines.next().context("statistics are empty")?;
    let last = lines.next_back().context("statistics have no row")?;
    let Some(place) = header.split(';').position(|column| column == name) else {
        bail!("statistics have no column {name}");
    };
    let value = last
        .split(';')
        .nth(place)
        .context("the last row is short")?;
    value
        .parse()
        .with_context(|| format!("{name} is {value:?}"))
}

fn first_lines(errors: &Path) -> String {
    let Ok(text) = fs::read(errors) else {
        return String::new();
    };
    let text = String::from_utf8_lossy(&text);
    text.lines()
        .skip(1)
        .take(12)
        .map(|line| format!("\n    {line}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::column;

    #[test]
    fn counts_are_read_from_the_last_row() {
        let table = "Time;FailedCall(P);FailedCall(C);\n1;0;0;\n2;1;3;\n";
        assert_eq!(column(table, "FailedCall(C)").ok(), Some(3));
        assert!(column(table, "SuccessfulCall(C)").is_err());
        assert!(column("Time;FailedCall(C);\n", "FailedCall(C)").is_err());
    }
}
