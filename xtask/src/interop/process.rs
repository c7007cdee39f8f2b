//! Child processes that cannot outlive the run: each is ended by its own id.

use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// A child that is killed when dropped.
pub struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// Starts it; `name` is for messages.
    pub fn start(name: impl Into<String>, command: &mut Command) -> Result<Process> {
        let name = name.into();
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Process { name, child })
    }

    /// The id that the kernel gave it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .with_context(|| format!("waiting for {}", self.name))
    }

    /// Asks it to stop, as an operator would.
    pub fn terminate(&self) -> Result<()> {
        complete(Command::new("kill").args(["-TERM", &self.child.id().to_string()]))
    }

    /// Waits for its end; `None` if that does not come in time.
    pub fn wait(&mut self, deadline: Instant) -> Result<Option<ExitStatus>> {
        loop {
            let status = self.ended()?;
            if status.is_some() || Instant::now() >= deadline {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail harmlessly when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command that must succeed.
pub fn complete(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}

/// Installs a Debian package where that is possible without asking.
pub fn install(package: &str) -> Result<()> {
    let root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|id| id.stdout.starts_with(b"0\n"));
    ensure!(
        root && Path::new("/usr/bin/apt-get").exists(),
        "install it: `apt-get install {package}` on Debian and Ubuntu"
    );
    complete(
        Command::new("apt-get")
            .args(["install", "-y", "--no-install-recommends", package])
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}
