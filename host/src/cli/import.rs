//! `intertrunk import skype DIR`: a configuration from what Skype for Business or Teams exported.
//!
//! `source` reads the files with `xml`, `kind` tells what their objects are, `plan` resolves scopes
//! and makes trunks and a dial plan of them, with `dotnet` for expressions; `cases` makes questions
//! that show it, `write` the files, `report` everything that a person has to know.

mod cases;
mod dotnet;
mod kind;
mod mistakes;
mod plan;
mod report;
mod sample;
mod source;
mod value;
mod write;
mod xml;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};

use super::{exit, say, say_json};
use plan::{Kind, Plan, Wishes};
use report::{About, Level, Report};
use write::Host;

pub const EXAMPLES: &str = "\
Examples:
  intertrunk import skype export/ -o imported/
  intertrunk import skype export/ -o imported/ --kind gw1.example.com=pstn --listen 192.0.2.5:5068
  intertrunk check -c imported/intertrunk.toml";

#[derive(Subcommand)]
pub enum ImportCommand {
    /// Make a configuration of what Get-Cs… cmdlets of Skype for Business or Teams exported
    #[command(after_help = EXAMPLES)]
    Skype(SkypeArgs),
}

#[derive(Args)]
pub struct SkypeArgs {
    /// Folder with the files of Export-Clixml, ConvertTo-Xml or ConvertTo-Json
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Folder to write into; it must not exist yet or be empty
    #[arg(short, long, value_name = "OUT_DIR", default_value = "imported")]
    out: PathBuf,
    /// What a trunk leads to; may be given several times
    #[arg(long = "kind", value_name = "TRUNK=pstn|pbx", value_parser = kind_of)]
    kinds: Vec<(String, Kind)>,
    /// Address and port of ours for SIP over TCP
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5068")]
    listen: std::net::SocketAddr,
    /// PEM files for TLS: our certificate, its key, and the CA of the peers
    #[arg(long, value_name = "CERT,KEY,CA", value_parser = tls_of)]
    tls: Option<[String; 3]>,
    /// Print the report for programs
    #[arg(long)]
    json: bool,
}

fn kind_of(text: &str) -> Result<(String, Kind), String> {
    let wrong = "write TRUNK=pstn or TRUNK=pbx";
    let (trunk, kind) = text.rsplit_once('=').ok_or(wrong)?;
    let kind = match kind {
        "pstn" => Kind::Pstn,
        "pbx" => Kind::Pbx,
        _ => return Err(wrong.to_owned()),
    };
    Ok((trunk.to_owned(), kind))
}

fn tls_of(text: &str) -> Result<[String; 3], String> {
    let files: Vec<String> = text.split(',').map(str::to_owned).collect();
    files.try_into().map_err(|_| "write CERT,KEY,CA".to_owned())
}

pub fn run(command: ImportCommand) -> anyhow::Result<ExitCode> {
    let ImportCommand::Skype(args) = command;
    refuse_full(&args.out)?;
    let export = source::read(&args.dir)?;
    let mut report = Report {
        files: export.files.clone(),
        ..Report::default()
    };
    for (file, what, count) in &export.unknown {
        let about = About {
            file: file.clone(),
            object: format!("{count} objects"),
            property: "",
        };
        report.add(
            Level::Question,
            &about,
            &format!("not known here: {what}"),
            "see what they are for",
        );
    }
    if export.items.is_empty() {
        bail!(
            "{} holds nothing of Skype for Business or Teams; export Get-CsTrunkConfiguration, \
             Get-CsVoiceRoute and the like with Export-Clixml",
            args.dir.display()
        );
    }
    let wishes = Wishes {
        kinds: args.kinds.clone(),
    };
    let plan = Plan::of(&export, &wishes, &mut report);
    if plan.trunks.is_empty() {
        bail!(
            "no trunk is named in {}; export Get-CsTrunk or Get-CsVoiceRoute",
            args.dir.display()
        );
    }
    ask_about_host(&plan, &args, &mut report);
    let mut files = files(&plan, &export, &args, &mut report)?;
    report.counts.objects = export.items.len();
    report.counts.trunks = plan.trunks.len();
    report.counts.routes = plan
        .routes
        .iter()
        .filter(|it| it.left_out.is_none())
        .count();
    report.counts.rules = plan.rules().count();
    report.findings.sort_by_key(|finding| finding.level);
    report.written = files
        .keys()
        .cloned()
        .chain(["import-report.md".to_owned()])
        .collect();
    files.insert("import-report.md".to_owned(), report.to_markdown());
    write_all(&args.out, &files)?;
    if args.json {
        say_json(&report);
    } else {
        say(&report.summary());
    }
    Ok(exit(true))
}

fn refuse_full(out: &Path) -> anyhow::Result<()> {
    if out.is_file()
        || out
            .read_dir()
            .is_ok_and(|mut entries| entries.next().is_some())
    {
        bail!(
            "{} is there already; name a folder with -o that is not",
            out.display()
        );
    }
    Ok(())
}

fn ask_about_host(plan: &Plan, args: &SkypeArgs, report: &mut Report) {
    if args.listen.ip().is_loopback() {
        let about = About::everything("our address");
        let why = format!("it is not in the export; {} is assumed", args.listen);
        report.add(
            Level::Question,
            &about,
            &why,
            "import again with --listen ADDRESS:PORT",
        );
    }
    let encrypted: Vec<_> = plan.trunks.iter().filter(|trunk| trunk.tls).collect();
    if args.tls.is_none() {
        for trunk in encrypted {
            let about = About::everything(&format!("trunk {:?}", trunk.name)).property("peers");
            let why = "it speaks TLS there, and certificates are not in the export, so it has TCP";
            report.add(
                Level::Question,
                &about,
                why,
                "import again with --tls CERT,KEY,CA",
            );
        }
    }
}

/// Name and text of each file but the report.
fn files(
    plan: &Plan,
    export: &source::Export,
    args: &SkypeArgs,
    report: &mut Report,
) -> anyhow::Result<BTreeMap<String, String>> {
    // The result lies elsewhere than where the command is run.
    let absolute = |files: [String; 3]| -> anyhow::Result<[String; 3]> {
        let mut paths = Vec::with_capacity(3);
        for file in files {
            let path = std::path::absolute(&file).with_context(|| file.clone())?;
            paths.push(path.display().to_string());
        }
        Ok(paths.try_into().expect("three are three"))
    };
    let host = Host {
        listen: args.listen.to_string(),
        tls: args.tls.clone().map(absolute).transpose()?,
    };
    let mut files = BTreeMap::from([
        (
            "intertrunk.toml".to_owned(),
            write::configuration(plan, &host),
        ),
        ("dialplan.toml".to_owned(), write::dial_plan(plan)),
    ]);
    let suites = [
        (
            "routes",
            "Each route reaches each of its trunks when the others are down.",
            cases::of_routes(plan, report),
        ),
        (
            "numbers",
            "Each number rule in a call between trunks.",
            cases::of_rules(plan, report),
        ),
        (
            "tests",
            "The cases of CsVoiceTestConfiguration, from a trunk in place of a user.",
            cases::of_tests(plan, export, report),
        ),
    ];
    for (name, about, cases) in suites {
        if !cases.is_empty() {
            report.counts.cases += cases.len();
            files.insert(
                format!("cases/{name}.toml"),
                write::cases(plan, about, &cases),
            );
        }
    }
    if report.counts.cases == 0 {
        // `cases` names a folder with at least one file.
        if let Some(text) = files.get_mut("intertrunk.toml") {
            *text = text.replace("cases = \"cases/\"\n", "# cases = \"cases/\"\n");
        }
    }
    Ok(files)
}

fn write_all(out: &Path, files: &BTreeMap<String, String>) -> anyhow::Result<()> {
    for (name, text) in files {
        let path = out.join(name);
        let folder = path.parent().unwrap_or(out);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, text))
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}
