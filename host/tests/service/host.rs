//! The binary at work: started in a folder of its own, watched by its log, asked by its admin API.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

use serde_json::Value;

use crate::phone::{PATIENCE, Phone};

/// Numbers of the public network begin with 9 for the PBX; extensions are the last four digits.
pub const DIALPLAN: &str = r#"
[[normalize]]
trunk = "pbx-a"
called = [{ match = '^9(\d{10})$', to = '+1$1' }]

[[route]]
name = "refused"
prefix = "+1900"
reject = 403

[[route]]
name = "extensions"
from = "gw-a"
prefix = "+1425555"
to = "pbx-a"

[[route]]
name = "public"
from = "pbx-a"
prefix = "+1"
to = "gw-a"
"#;

/// What its configuration says of the policy, for tests that give it another. The deadline is one that
/// a test machine, however busy, does not exceed.
pub const STANDARD: &str =
    "module = \"builtin:standard\"\nconfig = \"dialplan.toml\"\ndeadline = \"5s\"\n";

/// A host with a PBX and a gateway.
pub struct Host {
    child: Child,
    pub folder: PathBuf,
    /// Its first listener.
    pub sip: SocketAddr,
    /// All of them, in order.
    pub listeners: Vec<SocketAddr>,
    pub admin: SocketAddr,
    pub pbx: Phone,
    pub gw: Phone,
    log: Receiver<Value>,
}

/// What the admin API answered.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: Value,
    pub text: String,
}

impl Host {
    /// Starts one with this many shards. `more` is added to its configuration.
    pub fn start(name: &str, shards: u16, more: &str) -> Host {
        Host::edited(name, |text| {
            text.replace("shards = 1", &format!("shards = {shards}")) + more
        })
    }

    /// Starts one whose configuration was edited. It finds modules and a token in its folder.
    pub fn edited(name: &str, edit: impl Fn(String) -> String) -> Host {
        Host::with(name, Phone::new(), Phone::new(), edit)
    }

    /// Starts one between these two telephones.
    pub fn with(name: &str, pbx: Phone, gw: Phone, edit: impl Fn(String) -> String) -> Host {
        // Another run of these tests may be under way.
        let folder = folder_of(name);
        std::fs::create_dir_all(&folder).unwrap();
        let mut text = edit(configuration(pbx.address(), gw.address()));
        if !text.contains("[overload]") {
            // A busy test machine lets messages wait, and its calls are not to be shed for that.
            text.push_str("\n[overload]\nlag = \"1m\"\n");
        }
        std::fs::write(folder.join("intertrunk.toml"), &text).unwrap();
        std::fs::write(folder.join("dialplan.toml"), DIALPLAN).unwrap();
        std::fs::write(folder.join("token"), "open sesame\n").unwrap();
        std::fs::write(folder.join("extensions.wasm"), EXTENSIONS).unwrap();
        std::fs::write(folder.join("hostile.wasm"), HOSTILE).unwrap();
        let mut child = command(&folder).spawn().unwrap();
        let log = follow(&mut child);
        let unset = "127.0.0.1:0".parse().unwrap();
        let mut host = Host {
            child,
            folder,
            sip: unset,
            listeners: vec![unset; text.matches("[[listen]]").count()],
            admin: unset,
            pbx,
            gw,
            log,
        };
        host.is_up();
        host
    }

    /// Learns its addresses from its log; what came before it was ready for calls.
    fn is_up(&mut self) -> Vec<Value> {
        let address = |line: &Value| line["address"].as_str().unwrap().parse().unwrap();
        self.admin = address(&self.logs("admin API listens"));
        let mut seen = Vec::new();
        for listener in 0..self.listeners.len() {
            self.listeners[listener] = address(&self.logs_after("listening", &mut seen));
        }
        self.sip = self.listeners[0];
        self.logs_after("ready for calls", &mut seen);
        seen
    }

    /// Kills it and starts it again, in the same folder; the messages of its warnings.
    pub fn restarted(&mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = command(&self.folder).spawn().unwrap();
        self.log = follow(&mut self.child);
        let seen = self.is_up().into_iter();
        let warnings = seen.filter(|line| line["level"] == "WARN");
        warnings.map(|line| line.to_string()).collect()
    }

    /// Waits for a log line with this message.
    #[track_caller]
    pub fn logs(&self, message: &str) -> Value {
        self.logs_after(message, &mut Vec::new())
    }

    /// The same; puts the lines before it into `seen`.
    #[track_caller]
    fn logs_after(&self, message: &str, seen: &mut Vec<Value>) -> Value {
        let give_up = Instant::now() + PATIENCE * 6;
        loop {
            let left = give_up.saturating_duration_since(Instant::now());
            let Ok(line) = self.log.recv_timeout(left) else {
                panic!("no {message:?} in the log, but: {seen:#?}")
            };
            if line["message"]
                .as_str()
                .is_some_and(|m| m.contains(message))
            {
                return line;
            }
            seen.push(line);
        }
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        Reply::of(agent().get(self.url(path)).call())
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &[u8]) -> Reply {
        post(&self.url(path), body)
    }

    #[track_caller]
    pub fn put(&self, path: &str, body: &str) -> Reply {
        Reply::of(agent().put(self.url(path)).send(body))
    }

    #[track_caller]
    pub fn delete(&self, path: &str) -> Reply {
        Reply::of(agent().delete(self.url(path)).call())
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }

    /// The counter with this name.
    pub fn counter(&self, name: &str) -> u64 {
        self.get("/v1/status").body["counters"][name]
            .as_u64()
            .unwrap()
    }

    /// Asks again until the answer is good.
    #[track_caller]
    pub fn until<T>(&self, what: &str, ask: impl Fn(&Host) -> Option<T>) -> T {
        let give_up = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = ask(self) {
                return answer;
            }
            assert!(Instant::now() < give_up, "in vain: {what}");
            std::thread::yield_now();
        }
    }

    /// Waits for the records of `n` calls, in the order in which they ended.
    #[track_caller]
    pub fn records(&self, n: usize) -> Vec<Value> {
        self.until(&format!("{n} records"), |host| {
            let files = std::fs::read_dir(host.folder.join("cdr")).unwrap();
            let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
            paths.sort();
            let read = |path| std::fs::read_to_string(path).unwrap();
            let text: String = paths.iter().map(read).collect();
            let whole = text
                .lines()
                .map_while(|line| serde_json::from_str(line).ok());
            let records: Vec<Value> = whole.collect();
            (records.len() >= n).then_some(records)
        })
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for its end.
    #[track_caller]
    pub fn ends(&mut self) -> ExitStatus {
        self.logs("stopped");
        self.child.wait().unwrap()
    }

    /// Whether the process is still there.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

/// Where a host with this name keeps its files; a test may put some there before it starts.
pub fn folder_of(name: &str) -> PathBuf {
    let unique = format!("service/{name}-{}", std::process::id());
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique)
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ = self.child.wait();
        // What a failed test left behind may tell why.
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

impl Reply {
    #[track_caller]
    fn of(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Reply {
        let mut response = response.unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Reply {
            status: response.status().as_u16(),
            body,
            text,
        }
    }

    /// Fails with everything that was said unless the status is this one.
    #[track_caller]
    pub fn is(self, status: u16) -> Reply {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }
}

#[track_caller]
pub fn post(url: &str, body: &[u8]) -> Reply {
    Reply::of(agent().post(url).send(body))
}

pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE * 6))
        .build()
        .into()
}

/// Another policy, as a core module: the PBX is called by its extension, the gateway by all else.
pub const EXTENSIONS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/policy_extensions.wasm"));
/// The standard policy as a core module, which is not the component inside the binary.
pub const STANDARD_WASM: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/intertrunk_standard.wasm"));

/// A policy that misbehaves as the called user says; it never answers a call to a number.
pub const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/policy_hostile.wasm"));

pub fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_intertrunk"));
    command
        .args([
            "run",
            "-c",
            "intertrunk.toml",
            "--log",
            "debug",
            "--log-format",
            "json",
        ])
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .stderr(Stdio::piped());
    command
}

fn follow(child: &mut Child) -> Receiver<Value> {
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let (to, log) = mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let _nobody_listens =
                to.send(serde_json::from_str(&line).unwrap_or(Value::String(line)));
        }
    });
    log
}

fn configuration(pbx: SocketAddr, gw: SocketAddr) -> String {
    format!(
        r#"
[node]
name = "edge-1"
shards = 1

[[listen]]
name = "lan"
address = "127.0.0.1:0"

[[trunk]]
name = "pbx-a"
kind = "pbx"
listen = "lan"
peers = ["sip:{pbx}"]
policy = "main"

[[trunk]]
name = "gw-a"
kind = "pstn"
listen = "lan"
peers = ["sip:{gw}"]
policy = "main"

[policy.main]
{STANDARD}
[cdr]
dir = "cdr"

[admin]
listen = "127.0.0.1:0"
"#
    )
}
