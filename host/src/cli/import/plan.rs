//! What an export becomes: trunks of the host, and a dial plan of the standard policy.
//!
//! Scopes are resolved as Skype for Business does it: of the trunk configurations and dial plans of a
//! trunk the most specific one holds, whole.

mod numbers;
mod parameters;
mod routes;
mod special;
mod trunks;

use super::dotnet::Pattern;
use super::report::Report;
use super::source::Export;

/// What the caller of the import says beyond the export.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Kinds of trunks by name.
    pub kinds: Vec<(String, Kind)>,
}

/// What a trunk leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Pbx,
    Pstn,
}

/// All that is written.
#[derive(Debug, Default)]
pub struct Plan {
    pub trunks: Vec<Trunk>,
    pub usages: Vec<String>,
    /// Settings of scopes; the one without trunks is of all that no other names.
    pub scopes: Vec<Scope>,
    pub sites: Vec<Site>,
    pub normalize: Vec<Block>,
    pub translate: Vec<Block>,
    pub routes: Vec<Route>,
    pub unassigned: Vec<Unassigned>,
    pub blocked: Vec<Blocked>,
    pub exempt: Vec<Pattern>,
    pub emergencies: Vec<Emergency>,
}

/// A trunk of the host.
#[derive(Debug)]
pub struct Trunk {
    pub name: String,
    /// The gateway's name there, in small letters.
    pub gateway: String,
    /// Site of the topology, in small letters; not the network site.
    pub topology_site: Option<String>,
    pub host: String,
    pub port: u16,
    pub tls: bool,
    pub kind: Kind,
    /// Network site.
    pub site: Option<String>,
    pub restricted: bool,
    pub tags: Vec<String>,
    /// Further keys and their values in TOML.
    pub keys: Vec<(&'static str, String)>,
    pub comment: String,
}

/// Settings of `[global]` or of some trunks.
#[derive(Debug, Default)]
pub struct Scope {
    pub comment: String,
    /// None: all trunks.
    pub trunks: Vec<String>,
    pub usages: Vec<String>,
    pub codes: Vec<Code>,
    pub restricted: bool,
}

/// Another code for the caller.
#[derive(Debug)]
pub struct Code {
    /// Any code, if there is none.
    pub from: Option<u16>,
    pub cause: Option<u16>,
    pub to: u16,
}

/// A network site.
#[derive(Debug)]
pub struct Site {
    pub name: String,
    pub location_routing: bool,
    pub routing_usages: Vec<String>,
}

/// Number rules of some trunks.
#[derive(Debug, Default)]
pub struct Block {
    pub comment: String,
    /// None: all trunks.
    pub trunks: Vec<String>,
    pub called: Vec<Line>,
    pub calling: Vec<Line>,
    pub strip_plus: bool,
    pub external_prefix: Option<String>,
}

/// An entry of a list of rules.
#[derive(Debug)]
pub enum Line {
    Rule(Rule),
    /// A rule that is not carried over, as a comment.
    LeftOut(String),
}

/// A number rule.
#[derive(Debug)]
pub struct Rule {
    pub name: String,
    pub pattern: Pattern,
    /// In Rust's syntax.
    pub to: String,
}

/// A route.
#[derive(Debug)]
pub struct Route {
    pub name: String,
    pub comment: String,
    /// No number at all for a route by domain.
    pub pattern: Option<Pattern>,
    pub domain: Option<String>,
    pub phone_only: bool,
    pub usages: Vec<String>,
    pub trunks: Vec<String>,
    pub priority: i64,
    pub caller_id: Option<String>,
    /// Why it is written as a comment only.
    pub left_out: Option<String>,
}

/// A range of numbers that nobody has.
#[derive(Debug)]
pub struct Unassigned {
    pub name: String,
    pub start: String,
    pub end: String,
    pub priority: i64,
    pub comment: String,
}

/// Callers that are refused.
#[derive(Debug)]
pub struct Blocked {
    pub name: String,
    pub pattern: Pattern,
}

/// An emergency number.
#[derive(Debug)]
pub struct Emergency {
    pub number: String,
    pub masks: Vec<String>,
    pub from: Vec<String>,
    pub site: Vec<String>,
    pub usage: String,
    pub comment: String,
}

impl Plan {
    /// What becomes of an export.
    pub fn of(export: &Export, wishes: &Wishes, report: &mut Report) -> Plan {
        let mut plan = Plan::default();
        trunks::gateways(&mut plan, export, report);
        routes::usages(&mut plan, export);
        routes::voice(&mut plan, export, report);
        routes::by_domain(&mut plan, export, report);
        trunks::configure(&mut plan, export, report);
        trunks::infer_kinds(&mut plan, wishes, report);
        numbers::dial_plans(&mut plan, export, report);
        special::sites(&mut plan, export, report);
        special::unassigned(&mut plan, export, report);
        special::blocked(&mut plan, export, report);
        special::emergencies(&mut plan, export, report);
        routes::judge(&plan, export, report);
        plan
    }

    /// The trunk of a gateway.
    pub fn trunk_of(&self, gateway: &str) -> Option<&Trunk> {
        let gateway = gateway_of(gateway);
        self.trunks.iter().find(|trunk| trunk.gateway == gateway)
    }

    pub fn trunk(&self, name: &str) -> Option<&Trunk> {
        self.trunks.iter().find(|trunk| trunk.name == name)
    }

    /// The usages of a trunk's calls.
    pub fn usages_of(&self, trunk: &str) -> &[String] {
        let own = |scope: &&Scope| scope.trunks.iter().any(|name| name == trunk);
        let all = |scope: &&Scope| scope.trunks.is_empty();
        let scopes = &self.scopes;
        let scope = scopes.iter().find(own).or(scopes.iter().find(all));
        scope.map_or(&[], |scope| &scope.usages)
    }

    /// Number rules, for counting.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        let blocks = self.normalize.iter().chain(&self.translate);
        let lines = blocks.flat_map(|block| block.called.iter().chain(&block.calling));
        lines.filter_map(|line| match line {
            Line::Rule(rule) => Some(rule),
            Line::LeftOut(_) => None,
        })
    }
}

/// Where an object holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reach {
    Global,
    /// A site of the topology, in small letters.
    Site(String),
    /// A gateway, in small letters.
    Gateway(String),
    /// Users, registrars: nothing that a trunk has.
    Other(String),
}

impl Reach {
    /// `Global`, `Site:Redmond`, `Service:PstnGateway:gw.example.com`; a rule's name may follow `/`.
    pub fn of(identity: &str) -> Reach {
        let (scope, _rule) = identity.split_once('/').unwrap_or((identity, ""));
        let lower = scope.trim().to_ascii_lowercase();
        let lower = lower.strip_prefix("service:").unwrap_or(&lower);
        if lower == "global" {
            Reach::Global
        } else if let Some(site) = lower.strip_prefix("site:") {
            Reach::Site(site.to_owned())
        } else if let Some(gateway) = lower.strip_prefix("pstngateway:") {
            Reach::Gateway(gateway.to_owned())
        } else {
            Reach::Other(scope.to_owned())
        }
    }
}

/// The name of a gateway without its prefixes, in small letters.
pub fn gateway_of(identity: &str) -> String {
    match Reach::of(identity) {
        Reach::Gateway(gateway) => gateway,
        _ => identity.trim().to_ascii_lowercase(),
    }
}
