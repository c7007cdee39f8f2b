//! The shape of the file: which keys there are, of which type, within which bounds.
//!
//! Says nothing about whether names lead anywhere: that is `build`. A value that is absent here was
//! left out or was wrong; in the second case it has been reported.

use std::net::SocketAddr;
use std::time::Duration;

use intertrunk_policy::Isolation;
use intertrunk_proto::trunk::{
    Balance, Extensions, HealthRules, HistoryForm, IdentityRules, Oversize, Redirects,
    TransferRules, Trunk, TrunkKind,
};
use intertrunk_sip::Method;

use super::auth::{self, DoorEntry, LoginEntry};
use super::capacity::{self, Capacity};
use super::dns::{self, DnsEntry};
use super::emergency::{self, EmergencyEntry};
use super::health;
use super::listen::{self, ListenEntry};
use super::outside::{self, SourceEntry};
use super::overload::{self, LimitsEntry, OverloadEntry};
use super::read::{At, Place, Section, Source};
use super::register::{self, RegisterEntry};
use super::security::{self, SecurityEntry};
use super::value::{self, Match, PeerUri};

/// The whole file.
pub struct File {
    pub node: Option<String>,
    pub shards: Option<u16>,
    pub listens: Vec<ListenEntry>,
    pub trunks: Vec<TrunkEntry>,
    pub policies: Vec<PolicyEntry>,
    pub tables: Vec<TableEntry>,
    pub signing_keys: Vec<At<String>>,
    pub sources: Vec<SourceEntry>,
    pub admin: Option<AdminEntry>,
    pub cdr_dir: Option<String>,
    pub audit_file: Option<String>,
    pub state_dir: Option<String>,
    pub cache: Option<CacheEntry>,
    pub journal: Option<JournalEntry>,
    pub dns: DnsEntry,
    pub emergency: EmergencyEntry,
    pub overload: OverloadEntry,
    pub limits: LimitsEntry,
    pub security: SecurityEntry,
}

/// `[[trunk]]`
pub struct TrunkEntry {
    pub place: Place,
    pub name: Option<At<String>>,
    pub kind: TrunkKind,
    pub site: Option<String>,
    pub tags: Vec<String>,
    pub listens: Vec<At<String>>,
    pub peers: Vec<At<PeerEntry>>,
    pub sources: Option<Vec<At<Match>>>,
    pub oversize: Oversize,
    pub policies: Vec<At<String>>,
    pub capacity: Capacity,
    pub health: HealthRules,
    pub balance: Balance,
    pub no_progress: Duration,
    pub failover_codes: Vec<u16>,
    pub identity: IdentityRules,
    pub transfers: TransferRules,
    pub redirects: Redirects,
    pub pass_headers: Option<Vec<String>>,
    pub methods: Option<Vec<Method>>,
    pub extensions: Extensions,
    pub pstn_to: Vec<At<String>>,
    pub door: Option<DoorEntry>,
    pub login: Option<LoginEntry>,
    pub register: Option<RegisterEntry>,
}

/// One of a trunk's `peers`.
pub struct PeerEntry {
    pub uri: PeerUri,
    pub priority: u16,
    pub weight: u16,
}

/// `[policy.name]`
pub struct PolicyEntry {
    pub name: At<String>,
    pub module: Option<At<String>>,
    pub config: Option<At<String>>,
    pub cases: Option<At<String>>,
    pub deadline: Option<Duration>,
    pub memory: Option<usize>,
    pub isolation: Isolation,
    /// None: if there are keys.
    pub require_signature: Option<At<bool>>,
    pub fallback: At<FallbackEntry>,
    pub tables: Vec<At<String>>,
    pub sources: Vec<At<String>>,
    pub trunks: Option<Vec<At<String>>>,
}

/// `fallback = { … }`
pub enum FallbackEntry {
    Reject(u16),
    Route(Vec<At<String>>),
    Policy(At<String>),
}

/// `[table.name]`
pub struct TableEntry {
    pub name: At<String>,
    pub source: Option<At<String>>,
    pub key: Option<At<String>>,
    pub by_prefix: bool,
}

/// `[journal]`
pub struct JournalEntry {
    pub dir: String,
    pub file_bytes: usize,
    pub files: usize,
}

/// `[cache]`
pub struct CacheEntry {
    pub dir: String,
    pub max_bytes: usize,
}

/// `[admin]`
pub struct AdminEntry {
    pub listen: Option<At<SocketAddr>>,
    pub token_file: Option<At<String>>,
    pub trunks: Option<At<String>>,
}

const FINAL_CODES: std::ops::RangeInclusive<i64> = 400..=699;

/// Reads the file; `None` if it is not TOML.
pub fn read(source: &Source<'_>) -> Option<File> {
    let document = source.document()?;
    let root = Section::root(source, &document);
    let node = root.section("node");
    let file = File {
        node: node
            .as_ref()
            .and_then(|n| n.parsed("name", value::name))
            .map(|at| at.value),
        shards: node
            .as_ref()
            .and_then(|n| n.number("shards", 1..=1024))
            .map(|at| at.value),
        listens: root
            .sections("listen")
            .into_iter()
            .map(listen::read)
            .collect(),
        trunks: root.sections("trunk").into_iter().map(trunk).collect(),
        policies: named(source, &root, "policy", policy),
        tables: named(source, &root, "table", table),
        signing_keys: root.section("signing").map(signing).unwrap_or_default(),
        sources: named(source, &root, "source", outside::read),
        admin: root.section("admin").map(admin),
        audit_file: root.section("audit").and_then(audit),
        cdr_dir: root
            .section("cdr")
            .and_then(|s| dir(s, "write dir = \"cdr\"")),
        state_dir: root
            .section("state")
            .and_then(|s| dir(s, "write dir = \"/var/lib/intertrunk\"")),
        cache: root.section("cache").and_then(cache),
        journal: root.section("journal").and_then(journal),
        dns: root
            .section("dns")
            .map_or_else(DnsEntry::default, |s| dns::read(s, source)),
        emergency: root
            .section("emergency")
            .map_or_else(EmergencyEntry::default, emergency::read),
        overload: root
            .section("overload")
            .map_or_else(OverloadEntry::default, |s| overload::read(s, source)),
        limits: root
            .section("limits")
            .map_or_else(LimitsEntry::default, overload::limits),
        security: root
            .section("security")
            .map_or_else(SecurityEntry::default, security::read),
    };
    node.into_iter().for_each(Section::finish);
    if let Some(section) = root.section("hep") {
        section.no_effect(section.place());
        section.parsed("collector", value::text);
        section.finish();
    }
    root.finish();
    Some(file)
}

fn named<T>(
    source: &Source<'_>,
    root: &Section<'_>,
    key: &'static str,
    read: fn(At<String>, Section<'_>) -> T,
) -> Vec<T> {
    let entries = root.named_sections(key).into_iter().map(|(name, section)| {
        if let Err(complaint) = value::name(&name.value) {
            source.fault(&name.place, complaint.problem, complaint.remedy);
        }
        read(name, section)
    });
    entries.collect()
}

fn trunk(s: Section<'_>) -> TrunkEntry {
    let media = s.choice("media", &[("direct", false), ("relay", true)]);
    if let Some(at) = media.filter(|at| at.value) {
        s.no_effect(&at.place);
    }
    let kinds = [
        ("pbx", TrunkKind::Pbx),
        ("pstn", TrunkKind::Pstn),
        ("sbc", TrunkKind::Sbc),
    ];
    let health = health::read(&s);
    let transfers = TransferRules {
        may_refer: s.flag("may_refer").unwrap_or(true),
        takes_refer: s.flag("takes_refer").unwrap_or(false),
    };
    let entry = TrunkEntry {
        place: s.place().clone(),
        methods: methods(&s, &health, transfers),
        name: s.required(
            "name",
            "write name = \"pbx-a\"",
            s.parsed("name", value::name),
        ),
        kind: s
            .choice("kind", &kinds)
            .map_or(TrunkKind::Pbx, |at| at.value),
        site: s.parsed("site", value::text).map(|at| at.value),
        tags: s
            .list("tags", value::text)
            .unwrap_or_default()
            .into_iter()
            .map(|t| t.value)
            .collect(),
        listens: s.one_or_more("listen", value::name).unwrap_or_default(),
        peers: peers(&s),
        sources: s.list("match", value::source_match),
        oversize: oversize(&s),
        policies: s.one_or_more("policy", value::name).unwrap_or_default(),
        capacity: capacity::read(&s),
        health,
        balance: balance(&s),
        no_progress: s
            .parsed("no_progress", value::duration(100..=180_000))
            .map_or(Trunk::NO_PROGRESS, |at| at.value),
        failover_codes: s
            .numbers("failover_codes", &(300..=699))
            .unwrap_or_else(|| Trunk::FAILOVER_CODES.to_vec()),
        identity: IdentityRules {
            history: history(&s),
            ..s.section("identity")
                .map_or_else(IdentityRules::default, identity)
        },
        transfers,
        pass_headers: s
            .list("pass_headers", value::header_name)
            .map(|names| names.into_iter().map(|at| at.value).collect()),
        extensions: extensions(&s),
        redirects: redirects(&s),
        pstn_to: s.list("allow_pstn_to", value::name).unwrap_or_default(),
        door: s.section("auth").map(auth::door),
        login: s.section("credentials").map(auth::login),
        register: s.section("register").map(register::read),
    };
    s.finish();
    entry
}

fn peers(s: &Section<'_>) -> Vec<At<PeerEntry>> {
    const REMEDY: &str = "write peers = [\"sip:192.0.2.1:5060\"]";
    let bare = |text: &str| {
        Ok(PeerEntry {
            uri: value::peer(text)?,
            priority: 0,
            weight: 1,
        })
    };
    s.not_empty("peers", REMEDY);
    let peers = s.strings_and_tables("peers", bare, peer);
    s.required("peers", REMEDY, peers).unwrap_or_default()
}

/// `{ uri = "sip:192.0.2.1", weight = 3, priority = 1 }`
fn peer(s: Section<'_>) -> Option<PeerEntry> {
    const REMEDY: &str = "write { uri = \"sip:192.0.2.1:5060\", weight = 3 }";
    let uri = s.required("uri", REMEDY, s.parsed("uri", value::peer));
    let priority = s.number("priority", 0..=65_535).map_or(0, |at| at.value);
    let weight = s.number("weight", 1..=65_535).map_or(1, |at| at.value);
    s.finish();
    Some(PeerEntry {
        uri: uri?.value,
        priority,
        weight,
    })
}

fn balance(s: &Section<'_>) -> Balance {
    let words = [
        ("priority", Balance::Priority),
        ("round-robin", Balance::RoundRobin),
        ("weighted", Balance::Weighted),
        ("least-calls", Balance::LeastCalls),
    ];
    s.choice("balance", &words)
        .map_or_else(Balance::default, |at| at.value)
}

fn redirects(s: &Section<'_>) -> Redirects {
    let words = ["policy", "follow", "pass", "refuse"];
    let words = words.map(|word| (word, Redirects::named(word).unwrap_or_default()));
    s.choice("redirects", &words)
        .map_or_else(Redirects::default, |at| at.value)
}

/// A list of methods must have those that other keys wait for.
fn methods(s: &Section<'_>, health: &HealthRules, transfers: TransferRules) -> Option<Vec<Method>> {
    let listed = s.list("methods", value::method)?;
    let listed: Vec<Method> = listed.into_iter().map(|at| at.value).collect();
    let asks = health.options.as_ref().and_then(|options| options.expect);
    let needs = [
        (asks.is_some(), Method::Options, "`options.expect`"),
        (transfers.takes_refer, Method::Notify, "`takes_refer`"),
    ];
    for (needed, method, by) in needs {
        if needed && !listed.contains(&method) {
            let problem = format!("has no {}, which {by} waits for", method.as_str());
            s.wrong("methods", problem, format!("add \"{}\"", method.as_str()));
        }
    }
    Some(listed)
}

fn history(s: &Section<'_>) -> HistoryForm {
    let forms = [
        ("as-is", HistoryForm::AsIs),
        ("diversion", HistoryForm::Diversion),
        ("history-info", HistoryForm::HistoryInfo),
    ];
    s.choice("history", &forms)
        .map_or_else(HistoryForm::default, |at| at.value)
}

fn oversize(s: &Section<'_>) -> Oversize {
    let words = [
        ("off", Oversize::Off),
        ("tcp-if-reachable", Oversize::TcpIfReachable),
        ("tcp", Oversize::Tcp),
    ];
    s.choice("oversize", &words)
        .map_or(Oversize::default(), |at| at.value)
}

fn identity(s: Section<'_>) -> IdentityRules {
    let usual = IdentityRules::default();
    let rules = IdentityRules {
        forward_pai: s.flag("forward_pai").unwrap_or(usual.forward_pai),
        forward_history: s.flag("forward_history").unwrap_or(usual.forward_history),
        trusted: s.flag("trusted").unwrap_or(usual.trusted),
        ..usual
    };
    s.finish();
    rules
}

fn extensions(s: &Section<'_>) -> Extensions {
    let usual = Extensions::default();
    let min_se_s = s
        .parsed("min_se", value::seconds(90..=86_400))
        .map_or(usual.min_se_s, |at| at.value);
    let off_or = |text: &str| match text {
        "off" => Ok(None),
        _ => value::seconds(min_se_s..=86_400)(text).map(Some),
    };
    Extensions {
        session_timer_s: s
            .parsed("session_timer", off_or)
            .map_or(usual.session_timer_s, |at| at.value),
        min_se_s,
        prack: s.flag("prack").unwrap_or(usual.prack),
    }
}

fn policy(name: At<String>, s: Section<'_>) -> PolicyEntry {
    const MODULE: &str = "write module = \"builtin:standard\" or the path of a .wasm file";
    let modes = [("warm", Isolation::Warm), ("call", Isolation::Call)];
    let entry = PolicyEntry {
        module: s.required("module", MODULE, s.parsed("module", value::text)),
        config: s.parsed("config", value::text),
        cases: s.parsed("cases", value::text),
        deadline: s
            .parsed("deadline", value::duration(1..=10_000))
            .map(|at| at.value),
        memory: s
            .parsed("memory", value::size(1 << 20..=1 << 30))
            .map(|at| at.value),
        isolation: s
            .choice("isolation", &modes)
            .map_or(Isolation::Warm, |at| at.value),
        require_signature: s.flag_at("require_signature"),
        fallback: s.section("fallback").and_then(fallback).unwrap_or(At {
            place: name.place.clone(),
            value: FallbackEntry::Reject(503),
        }),
        tables: s.list("tables", value::grant).unwrap_or_default(),
        sources: s.list("sources", value::grant).unwrap_or_default(),
        trunks: s.list("trunks", value::grant),
        name,
    };
    s.finish();
    entry
}

fn fallback(s: Section<'_>) -> Option<At<FallbackEntry>> {
    let ways = [
        s.number("reject", FINAL_CODES)
            .map(|at| FallbackEntry::Reject(at.value)),
        s.list("route", value::name).map(FallbackEntry::Route),
        s.parsed("policy", value::name).map(FallbackEntry::Policy),
    ];
    let place = s.place().clone();
    s.exactly_one_key("write { reject = 503 }, { route = [\"gw-a\"] } or { policy = \"other\" }");
    s.finish();
    let value = ways.into_iter().flatten().next()?;
    Some(At { place, value })
}

fn table(name: At<String>, s: Section<'_>) -> TableEntry {
    let entry = TableEntry {
        name,
        source: s.required(
            "source",
            "write source = \"lcr.csv\"",
            s.parsed("source", value::text),
        ),
        key: s.parsed("key", value::text),
        by_prefix: s
            .choice("match", &[("longest-prefix", true), ("exact", false)])
            .is_none_or(|at| at.value),
    };
    s.finish();
    entry
}

fn admin(s: Section<'_>) -> AdminEntry {
    const LISTEN: &str = "write listen = \"127.0.0.1:8060\"";
    s.without_effect(&["socket"]);
    let entry = AdminEntry {
        listen: s.required("listen", LISTEN, s.parsed("listen", value::address)),
        token_file: s.parsed("token_file", value::text),
        trunks: s.parsed("trunks", value::text),
    };
    s.finish();
    entry
}

fn signing(s: Section<'_>) -> Vec<At<String>> {
    const KEYS: &str = "write keys = [\"ops.pub\"]";
    s.not_empty("keys", KEYS);
    let keys = s.required("keys", KEYS, s.list("keys", value::text));
    s.finish();
    keys.unwrap_or_default()
}

fn cache(s: Section<'_>) -> Option<CacheEntry> {
    const REMEDY: &str = "write dir = \"/var/cache/intertrunk\"";
    let dir = s.required("dir", REMEDY, s.parsed("dir", value::text));
    let max_bytes = s.parsed("max", value::size(1 << 20..=1 << 40));
    s.finish();
    Some(CacheEntry {
        dir: dir?.value,
        max_bytes: max_bytes.map_or(64 << 20, |at| at.value),
    })
}

fn journal(s: Section<'_>) -> Option<JournalEntry> {
    const REMEDY: &str = "write dir = \"journal\"";
    let dir = s.required("dir", REMEDY, s.parsed("dir", value::text));
    let file_bytes = s.parsed("max_file", value::size(1 << 20..=1 << 40));
    let files = s.number("max_files", 1..=1_000_000);
    s.finish();
    Some(JournalEntry {
        dir: dir?.value,
        file_bytes: file_bytes.map_or(64 << 20, |at| at.value),
        files: files.map_or(16, |at| at.value),
    })
}

fn audit(s: Section<'_>) -> Option<String> {
    const REMEDY: &str = "write file = \"audit.jsonl\"";
    let file = s.required("file", REMEDY, s.parsed("file", value::text));
    s.finish();
    file.map(|at| at.value)
}

fn dir(s: Section<'_>, remedy: &str) -> Option<String> {
    let dir = s.required("dir", remedy, s.parsed("dir", value::text));
    s.finish();
    dir.map(|at| at.value)
}
