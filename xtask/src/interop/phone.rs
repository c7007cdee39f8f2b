//! One baresip: an ordinary telephone without a registrar, headless, that sends back what it hears.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::control::Control;
use super::process::{self, Process};

/// Makes sure that baresip is there; installs it where that is possible without asking.
pub fn ensure_installed() -> Result<()> {
    if Path::new("/usr/bin/baresip").exists() {
        return Ok(());
    }
    process::install("baresip-core").context("baresip is missing, https://github.com/baresip")
}

/// Who it is and how it reaches the host.
pub struct Line {
    /// Its own number, the only one that it answers to.
    pub number: &'static str,
    /// Its address; SIP is on port 15090, and on 15091 with TLS.
    pub ip: &'static str,
    /// Where it sends all its calls: a SIP URI.
    pub outbound: &'static str,
    /// Parameters of its own URI, such as `;transport=tls`.
    pub params: &'static str,
    /// More lines of its configuration.
    pub config: String,
}

/// A running telephone.
pub struct Phone {
    // Hung up before the process goes.
    control: Control,
    log: PathBuf,
    _process: Process,
}

impl Phone {
    /// Starts it, with its files in `dir`.
    pub fn start(dir: &Path, line: &Line) -> Result<Phone> {
        let Line {
            number,
            ip,
            outbound,
            params,
            config,
        } = line;
        let home = dir.join(format!("phone-{ip}"));
        fs::create_dir_all(&home)?;
        fs::write(
            home.join("accounts"),
            format!(
                "<sip:{number}@{ip}:15090{params}>;regint=0;answermode=manual;\
                 outbound=\"{outbound}\"\n"
            ),
        )?;
        fs::write(home.join("config"), settings(ip) + config)?;
        let log = home.join("log");
        let file = File::create(&log)?;
        // Unbuffered, because the log is read while it runs.
        let mut command = Command::new("stdbuf");
        command
            .args(["-oL", "baresip", "-4", "-s", "-f"])
            .arg(&home)
            .stdin(std::process::Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let process = Process::start(format!("baresip {ip}"), &mut command)?;
        let control = Control::connect(&format!("{ip}:15095"))
            .with_context(|| format!("see {}", log.display()))?;
        Ok(Phone {
            control,
            log,
            _process: process,
        })
    }

    /// Gives a command of its menu.
    pub fn does(&mut self, command: &str, params: &str) -> Result<String> {
        self.control.command(command, params)
    }

    /// Waits for an event such as `CALL_RINGING`.
    pub fn sees(&mut self, event: &str) -> Result<Value> {
        self.control
            .expect(event)
            .with_context(|| format!("see {}", self.log.display()))
    }

    /// Waits for the end of its call, which must say why with these words.
    pub fn sees_the_end(&mut self, why: &str) -> Result<()> {
        let closed = self.sees("CALL_CLOSED")?;
        let param = closed["param"].as_str().unwrap_or_default();
        ensure!(param.contains(why), "closed by {param:?}, not {why:?}");
        Ok(())
    }

    /// Waits until its call is up and sound arrives.
    pub fn talks(&mut self) -> Result<()> {
        self.sees("CALL_ESTABLISHED")?;
        self.sees("CALL_RTPESTAB")?;
        Ok(())
    }

    /// Forgets the events of the calls before.
    pub fn forget(&mut self) -> Result<()> {
        self.control.forget()
    }

    /// The dialog of the call that it placed last, as Replaces in a URI names it (RFC 3891): its
    /// Call-ID, the tag of the other side, the tag of its own.
    pub fn latest_dialog(&self) -> Result<String> {
        let trace = self.trace()?;
        let answer = trace.rsplit("\nSIP/2.0 200 ").find(|text| {
            let cseq = text.lines().find(|line| line.starts_with("CSeq: "));
            cseq.is_some_and(|line| line.trim_end().ends_with("INVITE"))
        });
        let answer = answer.context("no INVITE of it was answered")?;
        let after = |start: &str, mark: &str| {
            let line = answer.lines().find(|line| line.starts_with(start));
            let (_, value) = line.and_then(|line| line.split_once(mark))?;
            Some(value.trim_end().to_owned())
        };
        let parts = (
            after("Call-ID: ", ": "),
            after("To: ", ";tag="),
            after("From: ", ";tag="),
        );
        let (Some(call_id), Some(to), Some(from)) = parts else {
            bail!("an answer without a dialog: {answer}");
        };
        Ok(format!("{call_id}%3Bto-tag%3D{to}%3Bfrom-tag%3D{from}"))
    }

    /// All messages that it has sent and received so far.
    pub fn trace(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }
}

fn settings(ip: &str) -> String {
    format!(
        "poll_method epoll\n\
         sip_listen {ip}:15090\n\
         net_interface {ip}\n\
         call_local_timeout 20\n\
         call_max_calls 4\n\
         audio_player aubridge,line\n\
         audio_source aubridge,line\n\
         audio_alert aubridge,bell\n\
         ringback_disabled yes\n\
         rtp_ports 20000-20100\n\
         module_path /usr/lib/baresip/modules\n\
         module g711.so\n\
         module aubridge.so\n\
         module_tmp account.so\n\
         module_app menu.so\n\
         module_app ctrl_tcp.so\n\
         ctrl_tcp_listen {ip}:15095\n"
    )
}
