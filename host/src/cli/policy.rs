//! `intertrunk policy …`: the workshop of a policy's author.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Subcommand, ValueEnum};
use intertrunk_cases::CaseReport;
use intertrunk_policy::module::Inspection;
use intertrunk_policy::replay::{Otherwise, Replay};
use intertrunk_policy::shuffle::{self, Shuffled};
use intertrunk_policy::{Engine, Isolation, build, cases, module};
use serde::Serialize;

use super::{configuration, exit, module_bytes, read_text, replay, say, say_json, scaffold, sign};

#[derive(Subcommand)]
pub enum PolicyCommand {
    /// Make a policy project that builds, with a case file
    #[command(after_help = "Examples:\n  intertrunk policy new my-policy\n  \
        intertrunk policy new my-policy --sdk ../intertrunk/guest-sdk")]
    New {
        /// Folder to make; its name is the policy's
        dir: PathBuf,
        /// Language to write the policy in
        #[arg(long, value_enum, default_value_t = Language::Rust)]
        lang: Language,
        /// Use the SDK in this folder instead of the released one
        #[arg(long, value_name = "PATH")]
        sdk: Option<PathBuf>,
    },
    /// Build a policy project into one .wasm component; needs nothing but cargo
    #[command(after_help = "Example:\n  intertrunk policy build my-policy -o my-policy.wasm")]
    Build {
        /// Folder of the project
        dir: PathBuf,
        /// Where to write the component
        #[arg(short, long, value_name = "OUT.WASM")]
        out: Option<PathBuf>,
    },
    /// Show what a module is, what it wants and what it may
    #[command(after_help = "Example:\n  intertrunk policy inspect my-policy.wasm --json")]
    Inspect {
        /// Component, core module with its component type inside, or `builtin:standard`
        wasm: PathBuf,
        /// Say whether this public key signed it; may be given several times
        #[arg(long = "key", value_name = "PUB")]
        keys: Vec<PathBuf>,
        /// Print the result for programs
        #[arg(long)]
        json: bool,
    },
    /// Run stored cases in the production engine
    #[command(
        after_help = "Examples:\n  intertrunk policy test my-policy.wasm --cases my-policy/cases\n  \
        intertrunk policy test my-policy.wasm --cases my-policy/cases --shuffle\n\n\
        Exit codes: 0 all passed, 1 a case differs or depends on the calls before, 2 the module or a file is unusable."
    )]
    Test {
        /// Component, core module with its component type inside, or `builtin:standard`
        wasm: PathBuf,
        /// Case file, or folder of case files
        #[arg(long, value_name = "DIR")]
        cases: PathBuf,
        /// Configuration of the policy, in place of the one that the case files name
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Decide them in random orders as well, to find what is carried from call to call
        #[arg(long)]
        shuffle: bool,
        /// How many orders
        #[arg(long, value_name = "COUNT", default_value_t = 20, requires = "shuffle")]
        rounds: u32,
        /// Try the orders of an earlier run again
        #[arg(long, value_name = "NUMBER", requires = "shuffle")]
        seed: Option<u64>,
        /// Print the result for programs
        #[arg(long)]
        json: bool,
    },
    /// Make a pair of keys: NAME.key signs, NAME.pub verifies
    #[command(
        after_help = "Example:\n  intertrunk policy keygen ops\n\nThe same with openssl:\n  \
        openssl genpkey -algorithm ed25519 -out ops.key\n  \
        openssl pkey -in ops.key -pubout -out ops.pub"
    )]
    Keygen {
        /// Path of the files without their endings
        name: PathBuf,
    },
    /// Sign a module, in place of the signature that it may have
    #[command(after_help = "Example:\n  intertrunk policy sign --key ops.key my-policy.wasm")]
    Sign {
        /// Private key: Ed25519, PKCS#8 in PEM
        #[arg(long, value_name = "KEY")]
        key: PathBuf,
        /// Component, or core module with its component type inside
        wasm: PathBuf,
        /// Where to write the signed module; over the unsigned one unless given
        #[arg(short, long, value_name = "OUT.WASM")]
        out: Option<PathBuf>,
    },
    /// Say whether a module is what somebody signed
    #[command(
        after_help = "Example:\n  intertrunk policy verify --key ops.pub my-policy.wasm\n\n\
        Exit codes: 0 it is, 1 it is not, 2 a file is unusable."
    )]
    Verify {
        /// Public key: Ed25519 in PEM; with several, one of them must have signed
        #[arg(long = "key", value_name = "PUB", required = true)]
        keys: Vec<PathBuf>,
        /// Component, or core module with its component type inside
        wasm: PathBuf,
    },
    /// Decide recorded decisions again with another module, and show what would differ
    #[command(
        after_help = "Examples:\n  intertrunk policy replay --journal journal/ --against new.wasm\n  \
        intertrunk policy replay --journal monday.itj --against new.wasm --config dialplan.toml\n  \
        intertrunk policy replay --journal journal/ --against builtin:standard --down gw-a\n\n\
        Exit codes: 0 nothing differs, 1 something does, or calls would not have come, 2 the module or a file is unusable."
    )]
    Replay {
        /// Files of recorded decisions, or folders of them
        #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
        journal: Vec<PathBuf>,
        /// Component, core module with its component type inside, or `builtin:standard`
        #[arg(long, value_name = "WASM")]
        against: PathBuf,
        /// Configuration of the module, in place of the recorded one
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Ask the tables of this configuration, in place of what they answered then
        #[arg(long, value_name = "FILE")]
        tables: Option<PathBuf>,
        /// Suppose that this trunk is down: no call goes there, and none comes from there; may be given
        /// several times
        #[arg(long, value_name = "TRUNK")]
        down: Vec<String>,
        /// Only the decisions of this policy
        #[arg(long, value_name = "NAME")]
        policy: Option<String>,
        /// Use a fresh instance for each decision
        #[arg(long)]
        fresh: bool,
        /// Print the result for programs
        #[arg(long)]
        json: bool,
    },
}

#[derive(ValueEnum, Clone, Copy)]
pub enum Language {
    /// Rust, with the crate intertrunk-sdk.
    Rust,
}

pub fn run(command: PolicyCommand) -> anyhow::Result<ExitCode> {
    match command {
        PolicyCommand::New {
            dir,
            lang: Language::Rust,
            sdk,
        } => new(&dir, sdk.as_deref()),
        PolicyCommand::Build { dir, out } => {
            let built = build::build(&dir, out.as_deref())?;
            say(&format!("{}\n{}\n", built.path.display(), built.sha256));
            Ok(ExitCode::SUCCESS)
        }
        PolicyCommand::Inspect { wasm, keys, json } => inspect(&wasm, &keys, json),
        PolicyCommand::Keygen { name } => sign::keygen(&name),
        PolicyCommand::Sign { key, wasm, out } => sign::sign(&key, &wasm, out.as_deref()),
        PolicyCommand::Verify { keys, wasm } => sign::verify(&keys, &wasm),
        PolicyCommand::Test {
            wasm,
            cases,
            config,
            shuffle,
            rounds,
            seed,
            json,
        } => {
            let orders = shuffle.then(|| Orders {
                seed: seed.unwrap_or_else(any_seed),
                rounds,
            });
            test(&wasm, &cases, config.as_deref(), orders, json)
        }
        PolicyCommand::Replay {
            journal,
            against,
            config,
            tables,
            down,
            policy,
            fresh,
            json,
        } => {
            let isolation = if fresh {
                Isolation::Call
            } else {
                Isolation::Warm
            };
            let settings = config.map(|path| read_text(&path)).transpose()?;
            let engine = Engine::new()?;
            let tables = tables.map(|path| configuration(&path)).transpose()?;
            let otherwise = Otherwise {
                settings,
                tables: tables.map(|built| built.tables as _),
                down: down.into(),
            };
            let replay = Replay::new(
                &engine,
                &module_bytes(&against)?,
                otherwise,
                policy,
                isolation,
            )
            .with_context(|| format!("{} cannot be used", against.display()))?;
            replay::run(replay, &journal, json)
        }
    }
}

fn new(dir: &Path, sdk: Option<&Path>) -> anyhow::Result<ExitCode> {
    scaffold::write(dir, sdk)?;
    let dir = dir.display();
    say(&format!(
        "{dir} is ready. Next:\n  \
         cargo test --manifest-path {dir}/Cargo.toml\n  \
         intertrunk policy build {dir} -o {dir}/policy.wasm\n  \
         intertrunk policy test {dir}/policy.wasm --cases {dir}/cases\n"
    ));
    Ok(ExitCode::SUCCESS)
}

/// What `inspect` says of a module, and of the keys that it was asked about.
#[derive(Serialize)]
struct Inspected {
    #[serde(flatten)]
    module: Inspection,
    keys: Vec<sign::Verified>,
}

fn inspect(wasm: &Path, keys: &[PathBuf], json: bool) -> anyhow::Result<ExitCode> {
    let bytes = module_bytes(wasm)?;
    let inspected = Inspected {
        module: module::inspect(&Engine::new()?, &bytes)?,
        keys: sign::verified(keys, &bytes)?,
    };
    if json {
        say_json(&inspected);
        return Ok(ExitCode::SUCCESS);
    }
    let keys = inspected.keys.iter().map(|it| format!("{it}\n"));
    say(&format!(
        "{}\n{}",
        inspected.module,
        keys.collect::<String>()
    ));
    Ok(ExitCode::SUCCESS)
}

/// Random orders of cases.
struct Orders {
    seed: u64,
    rounds: u32,
}

/// One that is easily typed again.
fn any_seed() -> u64 {
    RandomState::new().build_hasher().finish() % 1_000_000
}

/// What came of cases, in the order of their files and in others.
#[derive(Serialize)]
struct Tested {
    cases: Vec<CaseReport>,
    shuffled: Shuffled,
}

fn test(
    wasm: &Path,
    cases: &Path,
    config: Option<&Path>,
    orders: Option<Orders>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let bytes = module_bytes(wasm)?;
    let mut suites = intertrunk_cases::load(cases)?;
    if let Some(path) = config {
        let text = read_text(path)?;
        for suite in &mut suites {
            suite.config = Some(text.clone());
        }
    }
    let (engine, cannot) = (Engine::new()?, || {
        format!("{} cannot be tested", wasm.display())
    });
    let cases = cases::run(&engine, &bytes, "", &suites).with_context(cannot)?;
    let shuffled = orders
        .map(|it| shuffle::run(&engine, &bytes, "", &suites, it.seed, it.rounds))
        .transpose()
        .with_context(cannot)?;
    let differing = cases.iter().filter(|report| !report.passed()).count();
    let passed = differing == 0 && shuffled.as_ref().is_none_or(Shuffled::passed);
    if !json {
        let lines = cases.iter().map(|report| format!("{report}\n"));
        let (lines, all) = (lines.collect::<String>(), cases.len());
        let leaks = shuffled.map_or_else(String::new, |it| format!("{it}\n"));
        say(&format!(
            "{lines}{} passed, {differing} differ\n{leaks}",
            all - differing
        ));
    } else if let Some(shuffled) = shuffled {
        say_json(&Tested { cases, shuffled });
    } else {
        say_json(&cases);
    }
    Ok(exit(passed))
}
