//! `intertrunk ctl …`: the admin API as a command.
//!
//! Holds no knowledge of its own about calls or trunks: it sends one request and prints what came,
//! as a table for people, untouched with `--json`.

mod print;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use intertrunk_policy::{CanaryRules, Sticky};
use serde_json::Value;

use super::{exit, module_bytes, say, say_json};
use print::{Column, to_text};

pub const EXAMPLES: &str = "\
Examples:
  intertrunk ctl status
  intertrunk ctl calls --json
  intertrunk ctl why 00000000deadbeef              why did this call go there?
  intertrunk ctl trunk drain gw-a                  finish its calls, take no new ones
  intertrunk ctl policy stage new.wasm && intertrunk ctl policy promote main
  intertrunk ctl policy stage builtin:standard     the same module, the edited dial plan
  intertrunk ctl reload --dry-run                  what would the edited files change?
  intertrunk ctl policy canary main 5 && intertrunk ctl policy diff main
  intertrunk ctl --url http://192.0.2.5:8060 --token-file token drain

Exit codes: 0 done, 1 the service said no, 2 the service was not reached.";

#[derive(Args)]
pub struct CtlArgs {
    /// Where the admin API listens
    #[arg(
        long,
        value_name = "URL",
        env = "INTERTRUNK_URL",
        default_value = "http://127.0.0.1:8060"
    )]
    url: String,
    /// File with the bearer token, if the service wants one
    #[arg(long, value_name = "FILE", env = "INTERTRUNK_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Print what came for programs
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: CtlCommand,
}

#[derive(Subcommand)]
enum CtlCommand {
    /// State of the node
    Status,
    /// All trunks and what is up on them
    Trunks,
    /// One trunk: switch it, set it or remove it
    #[command(subcommand)]
    Trunk(TrunkCommand),
    /// Calls that are up
    Calls,
    /// One call with its ladder and its decision
    Call {
        /// The call's id, as in logs and records
        id: String,
    },
    /// Why a call went where it went
    Why {
        /// The call's id, as in logs and records
        id: String,
    },
    /// Life of a policy's generations
    #[command(subcommand)]
    Policy(GenerationCommand),
    /// Sources that are not listened to for a while, because they misbehaved
    Blocked,
    /// Listen to a source again
    Unblock {
        /// Its address
        source: std::net::IpAddr,
    },
    /// Finish the calls that are up, refuse new ones
    Drain,
    /// Take new calls again
    Resume,
    /// Read the configuration again, all or nothing
    Reload {
        /// Check it and show what would change, without changing anything
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Subcommand)]
enum TrunkCommand {
    /// Take calls as its health allows
    Enable {
        /// Name of the trunk
        name: String,
    },
    /// Finish the calls that are up, take no new ones, in neither direction
    Drain {
        /// Name of the trunk
        name: String,
    },
    /// The same, and do not ask how it is
    Disable {
        /// Name of the trunk
        name: String,
    },
    /// Create it, or put it in place of the one of its name; kept in the file `admin.trunks`
    Set {
        /// Name of the trunk
        name: String,
        /// File with its keys as JSON: {"peers": ["sip:192.0.2.1"], "policy": "main"}
        keys: PathBuf,
    },
    /// Remove it; calls that are up on it go on
    Remove {
        /// Name of the trunk
        name: String,
    },
}

#[derive(Subcommand)]
enum GenerationCommand {
    /// All policies with their generations
    List,
    /// Load a module beside the live one, with the policy's settings as their file has them now,
    /// and run its cases
    Stage {
        /// Component, core module with its component type inside, or `builtin:standard`
        wasm: String,
        /// Policy to stage it for; the only one unless given
        #[arg(long)]
        name: Option<String>,
    },
    /// Let the staged generation decide beside the live one, unheard
    Shadow {
        /// Name of the policy
        name: String,
    },
    /// Let the staged generation decide for a share of the new calls; withdrawn by itself when it
    /// fails, or when its calls fare worse than the others
    Canary {
        /// Name of the policy
        name: String,
        /// Share of the new calls
        #[arg(value_parser = clap::value_parser!(u8).range(1..=100))]
        percent: u8,
        /// Whose calls make up the share
        #[arg(long, value_enum, default_value_t = StickyArg::Caller)]
        sticky: StickyArg,
        /// Failed decisions that are borne
        #[arg(long, value_name = "COUNT")]
        max_faults: Option<u64>,
        /// Ended calls of each side before their outcomes are compared
        #[arg(long, value_name = "COUNT")]
        min_calls: Option<u64>,
    },
    /// What the staged generation decides differently, in the shadow or as the canary
    Diff {
        /// Name of the policy
        name: String,
    },
    /// Make the staged generation live
    Promote {
        /// Name of the policy
        name: String,
        /// Only if this is the staged module's hash
        #[arg(long, value_name = "HEX")]
        sha256: Option<String>,
    },
    /// One step back: end a canary or a shadow, else make the generation before the live one live
    Rollback {
        /// Name of the policy
        name: String,
    },
}

/// Whose calls make up a share.
#[derive(Clone, Copy, ValueEnum)]
enum StickyArg {
    /// Those of some calling numbers
    Caller,
    /// Those of some ingress trunks
    Trunk,
    /// Those to some called numbers
    Number,
}

impl From<StickyArg> for Sticky {
    fn from(sticky: StickyArg) -> Sticky {
        match sticky {
            StickyArg::Caller => Sticky::Caller,
            StickyArg::Trunk => Sticky::Trunk,
            StickyArg::Number => Sticky::Number,
        }
    }
}

pub fn run(args: &CtlArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(args)?;
    let (reply, columns) = match &args.command {
        CtlCommand::Status => (client.get("/v1/status")?, NO_TABLE),
        CtlCommand::Trunks => (client.get("/v1/trunks")?, print::TRUNKS),
        CtlCommand::Calls => (client.get("/v1/calls")?, print::CALLS),
        CtlCommand::Call { id } => (client.get(&format!("/v1/calls/{}", part(id)?))?, NO_TABLE),
        CtlCommand::Why { id } => (
            client.get(&format!("/v1/calls/{}/why", part(id)?))?,
            NO_TABLE,
        ),
        CtlCommand::Blocked => (client.get("/v1/blocked")?, print::BLOCKED),
        CtlCommand::Unblock { source } => {
            (client.delete(&format!("/v1/blocked/{source}"))?, NO_TABLE)
        }
        CtlCommand::Drain => (client.post("/v1/drain", &[])?, NO_TABLE),
        CtlCommand::Resume => (client.post("/v1/resume", &[])?, NO_TABLE),
        CtlCommand::Reload { dry_run: true } => (client.get("/v1/review")?, NO_TABLE),
        CtlCommand::Reload { dry_run: false } => (client.post("/v1/reload", &[])?, NO_TABLE),
        CtlCommand::Trunk(command) => (client.trunk(command)?, NO_TABLE),
        CtlCommand::Policy(command) => client.policy(command)?,
    };
    match reply.body["error"].as_str() {
        _ if args.json => say_json(&reply.body),
        Some(error) if !reply.good => eprintln!("intertrunk: {error}"),
        _ if reply.body["changes"].is_array() => say(&print::review(&reply.body)),
        _ => say(&to_text(&reply.body, columns)),
    }
    Ok(exit(reply.good))
}

const NO_TABLE: &[Column] = &[];

/// What the service answered.
struct Reply {
    good: bool,
    body: Value,
}

struct Client {
    agent: ureq::Agent,
    url: String,
    token: Option<String>,
}

impl Client {
    fn new(args: &CtlArgs) -> anyhow::Result<Client> {
        let token = args.token_file.as_ref().map(|path| {
            let text = std::fs::read_to_string(path);
            text.with_context(|| format!("{} cannot be read", path.display()))
        });
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // Staging compiles a module and runs its cases before it answers.
            .timeout_global(Some(Duration::from_secs(60)))
            .build();
        Ok(Client {
            agent: config.into(),
            url: args.url.trim_end_matches('/').to_owned(),
            token: token
                .transpose()?
                .map(|text| format!("Bearer {}", text.trim())),
        })
    }

    fn policy(&self, command: &GenerationCommand) -> anyhow::Result<(Reply, &'static [Column])> {
        let path = |name: &str, verb: &str| -> anyhow::Result<String> {
            Ok(format!("/v1/policies/{}/{verb}", part(name)?))
        };
        let reply = match command {
            GenerationCommand::List => {
                return Ok((self.get("/v1/policies")?, print::POLICIES));
            }
            GenerationCommand::Stage { wasm, name } => {
                let module = module_bytes(Path::new(wasm))?;
                let name = match name {
                    Some(name) => name.clone(),
                    None => self.only_policy()?,
                };
                self.post(&path(&name, "stage")?, &module)?
            }
            GenerationCommand::Shadow { name } => self.post(&path(name, "shadow")?, &[])?,
            GenerationCommand::Canary {
                name,
                percent,
                sticky,
                max_faults,
                min_calls,
            } => {
                let usual = CanaryRules::default();
                let rules = CanaryRules {
                    percent: *percent,
                    sticky: (*sticky).into(),
                    max_faults: max_faults.unwrap_or(usual.max_faults),
                    min_calls: min_calls.unwrap_or(usual.min_calls),
                    ..usual
                };
                self.post(&path(name, "canary")?, &serde_json::to_vec(&rules)?)?
            }
            GenerationCommand::Diff { name } => self.get(&path(name, "diff")?)?,
            GenerationCommand::Promote { name, sha256 } => {
                let mut path = path(name, "promote")?;
                if let Some(sha256) = sha256 {
                    path = format!("{path}?sha256={}", part(sha256)?);
                }
                self.post(&path, &[])?
            }
            GenerationCommand::Rollback { name } => self.post(&path(name, "rollback")?, &[])?,
        };
        Ok((reply, NO_TABLE))
    }

    fn trunk(&self, command: &TrunkCommand) -> anyhow::Result<Reply> {
        let path = |name: &str| anyhow::Ok(format!("/v1/trunks/{}", part(name)?));
        match command {
            TrunkCommand::Enable { name } => self.post(&(path(name)? + "/enable"), &[]),
            TrunkCommand::Drain { name } => self.post(&(path(name)? + "/drain"), &[]),
            TrunkCommand::Disable { name } => self.post(&(path(name)? + "/disable"), &[]),
            TrunkCommand::Set { name, keys } => {
                let text = std::fs::read(keys);
                let text = text.with_context(|| format!("{} cannot be read", keys.display()))?;
                self.put(&path(name)?, &text)
            }
            TrunkCommand::Remove { name } => self.delete(&path(name)?),
        }
    }

    fn only_policy(&self) -> anyhow::Result<String> {
        let reply = self.get("/v1/policies")?;
        let rows = print::rows(&reply.body);
        match rows.as_slice() {
            [only] => Ok(only["name"]
                .as_str()
                .context("the policy has no name")?
                .to_owned()),
            rows => bail!("there are {} policies; say which with --name", rows.len()),
        }
    }

    fn get(&self, path: &str) -> anyhow::Result<Reply> {
        let mut request = self.agent.get(format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.header("Authorization", token);
        }
        self.reply(request.call())
    }

    fn post(&self, path: &str, body: &[u8]) -> anyhow::Result<Reply> {
        let mut request = self.agent.post(format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.header("Authorization", token);
        }
        self.reply(request.content_type("application/wasm").send(body))
    }

    fn put(&self, path: &str, body: &[u8]) -> anyhow::Result<Reply> {
        let mut request = self.agent.put(format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.header("Authorization", token);
        }
        self.reply(request.content_type("application/json").send(body))
    }

    fn delete(&self, path: &str) -> anyhow::Result<Reply> {
        let mut request = self.agent.delete(format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.header("Authorization", token);
        }
        self.reply(request.call())
    }

    fn reply(
        &self,
        response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> anyhow::Result<Reply> {
        let unreached = || {
            format!(
                "no answer from {}; is `intertrunk run` up, with [admin] configured?",
                self.url
            )
        };
        let mut response = response.with_context(unreached)?;
        let good = response.status().is_success();
        let text = response
            .body_mut()
            .read_to_string()
            .with_context(unreached)?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Reply { good, body })
    }
}

/// A piece of a path, which ids and names of policies fit into as they are.
fn part(text: &str) -> anyhow::Result<&str> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || !text.chars().all(legal) {
        bail!("\"{text}\" is no id and no name");
    }
    Ok(text)
}
