//! The result as files: `intertrunk.toml`, `dialplan.toml` and the cases.

use std::fmt::Write as _;

use super::cases::Case;
use super::dotnet::Pattern;
use super::plan::{Block, Code, Kind, Line, Plan, Route, Rule, Scope, Trunk};

/// What only whoever imports can say of the host.
#[derive(Clone, Debug)]
pub struct Host {
    /// Our address and port.
    pub listen: String,
    /// Certificate, private key and CA for TLS, if there are any.
    pub tls: Option<[String; 3]>,
}

/// A text in TOML: as it is where that is possible, since patterns are full of backslashes.
fn text(text: &str) -> String {
    if text.contains('\'') || text.chars().any(char::is_control) {
        toml_edit::Value::from(text).to_string().trim().to_owned()
    } else if text.contains(['\\', '"']) {
        format!("'{text}'")
    } else {
        format!("\"{text}\"")
    }
}

fn list(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|it| text(it)).collect();
    format!("[{}]", texts.join(", "))
}

/// A name, or a list of them.
fn one_or_many(texts: &[String]) -> String {
    match texts {
        [one] => text(one),
        many => list(many),
    }
}

/// One line of a comment; nothing of the export may end it.
fn comment(line: &str) -> String {
    let line: String = line
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    format!("# {}\n", line.trim())
}

macro_rules! put {
    ($out:expr, $($arg:tt)*) => {
        { let _infallible = writeln!($out, $($arg)*); }
    };
}

/// `intertrunk.toml`.
pub fn configuration(plan: &Plan, host: &Host) -> String {
    let mut out =
        comment("Imported from Skype for Business. import-report.md has what is to be looked at.");
    out += "[node]\nname = \"imported\"\n\n[[listen]]\nname = \"tcp\"\n";
    put!(out, "address = {}", text(&host.listen));
    out += "transport = \"tcp\"\n\n";
    if plan.trunks.iter().any(|trunk| trunk.tls) {
        listener_for_tls(&mut out, host);
    }
    for trunk in &plan.trunks {
        one_trunk(&mut out, trunk, host);
    }
    out += "[policy.main]\nmodule = \"builtin:standard\"\nconfig = \"dialplan.toml\"\ncases = \"cases/\"\n\
            fallback = { reject = 503 }\n\n\
            [admin]\nlisten = \"127.0.0.1:8060\"\n\n[journal]\ndir = \"journal\"\n\n[cdr]\ndir = \"cdr\"\n";
    out
}

fn listener_for_tls(out: &mut String, host: &Host) {
    let (address, _port) = host.listen.rsplit_once(':').unwrap_or((&host.listen, ""));
    let (mark, [cert, key, ca]) = match &host.tls {
        Some(files) => ("", files.clone()),
        None => {
            *out += &comment(
                "Certificates are not in the export. Import again with --tls CERT,KEY,CA, or",
            );
            *out +=
                &comment("take the marks away here and write the peers of the trunks as they say.");
            (
                "# ",
                ["edge.pem", "edge.key", "peers.pem"].map(str::to_owned),
            )
        }
    };
    for line in [
        "[[listen]]".to_owned(),
        "name = \"tls\"".to_owned(),
        format!("address = {}", text(&format!("{address}:5067"))),
        "transport = \"tls\"".to_owned(),
        format!(
            "tls = {{ cert = {}, key = {}, client_ca = {} }}",
            text(&cert),
            text(&key),
            text(&ca)
        ),
    ] {
        put!(out, "{mark}{line}");
    }
    *out += "\n";
}

fn one_trunk(out: &mut String, trunk: &Trunk, host: &Host) {
    if !trunk.comment.is_empty() {
        *out += &comment(&trunk.comment);
    }
    *out += "[[trunk]]\n";
    put!(out, "name = {}", text(&trunk.name));
    put!(out, "kind = \"{}\"", kind(trunk.kind));
    if let Some(site) = &trunk.site {
        put!(out, "site = {}", text(site));
    }
    if !trunk.tags.is_empty() {
        put!(out, "tags = {}", list(&trunk.tags));
    }
    let address = match trunk.host.contains(':') {
        true => format!("[{}]", trunk.host),
        false => trunk.host.clone(),
    };
    let peer = |transport| {
        text(&format!(
            "sip:{address}:{};transport={transport}",
            trunk.port
        ))
    };
    match (trunk.tls, &host.tls) {
        (true, Some(_)) => put!(out, "listen = \"tls\"\npeers = [{}]", peer("tls")),
        (true, None) => {
            put!(out, "# listen = \"tls\"\n# peers = [{}]", peer("tls"));
            put!(out, "listen = \"tcp\"\npeers = [{}]", peer("tcp"));
        }
        (false, _) => put!(out, "listen = \"tcp\"\npeers = [{}]", peer("tcp")),
    }
    *out += "policy = \"main\"\n";
    for (key, value) in &trunk.keys {
        put!(out, "{key} = {value}");
    }
    *out += "media = \"direct\"\n\n";
}

pub(super) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Pbx => "pbx",
        Kind::Pstn => "pstn",
    }
}

/// `dialplan.toml`.
pub fn dial_plan(plan: &Plan) -> String {
    let mut out =
        comment("Imported from Skype for Business. import-report.md has what is to be looked at.");
    put!(out, "usages = {}\n", list(&plan.usages));
    let (global, own): (Vec<&Scope>, Vec<&Scope>) =
        plan.scopes.iter().partition(|it| it.trunks.is_empty());
    out += "[global]\n";
    for scope in &global {
        keys_of(&mut out, scope);
    }
    if global.is_empty() {
        out += "usages = []\n";
    }
    for site in &plan.sites {
        put!(
            out,
            "\n[[site]]\nname = {}\nlocation_routing = {}",
            text(&site.name),
            site.location_routing
        );
        if !site.routing_usages.is_empty() {
            put!(out, "routing_usages = {}", list(&site.routing_usages));
        }
    }
    for scope in own {
        put!(
            out,
            "\n{}[[trunk]]\nname = {}",
            comment(&scope.comment),
            one_or_many(&scope.trunks)
        );
        keys_of(&mut out, scope);
    }
    restricted_by_trunk(&mut out, plan);
    for emergency in &plan.emergencies {
        put!(
            out,
            "\n{}[[emergency]]\nnumber = {}",
            comment(&emergency.comment),
            text(&emergency.number)
        );
        if !emergency.masks.is_empty() {
            put!(out, "masks = {}", list(&emergency.masks));
        }
        if !emergency.from.is_empty() {
            put!(out, "from = {}", list(&emergency.from));
        }
        if !emergency.site.is_empty() {
            put!(out, "site = {}", list(&emergency.site));
        }
        put!(out, "usages = [{}]", text(&emergency.usage));
    }
    for block in &plan.normalize {
        numbers(&mut out, "normalize", block);
    }
    blocked(&mut out, plan);
    for range in &plan.unassigned {
        put!(
            out,
            "\n{}[[unassigned]]\nname = {}\nstart = {}\nend = {}\npriority = {}\nreject = {{ code = 404, cause = 1 }}",
            comment(&format!("{} answered there", range.comment)),
            text(&range.name),
            text(&range.start),
            text(&range.end),
            range.priority
        );
    }
    for route in &plan.routes {
        one_route(&mut out, route);
    }
    if !plan.routes.iter().any(|route| route.left_out.is_none()) {
        out += "\n# No route could be carried over. A dial plan has at least one.\n\
                [[route]]\nname = \"nothing\"\nreject = 404\n";
    }
    for block in &plan.translate {
        numbers(&mut out, "translate", block);
    }
    out
}

fn keys_of(out: &mut String, scope: &Scope) {
    put!(out, "usages = {}", list(&scope.usages));
    let codes: Vec<String> = scope.codes.iter().map(code).collect();
    match &codes[..] {
        [] if scope.trunks.is_empty() => {}
        codes => put!(out, "codes = [{}]", codes.join(", ")),
    }
    if scope.restricted && !scope.trunks.is_empty() {
        *out += "location_restricted = true\n";
    }
}

fn code(code: &Code) -> String {
    let from = code
        .from
        .map_or("\"any\"".to_owned(), |from| from.to_string());
    let cause = code
        .cause
        .map(|cause| format!(", cause = {cause}"))
        .unwrap_or_default();
    format!("{{ from = {from}{cause}, to = {} }}", code.to)
}

/// Trunks that are kept to their site by a setting of all trunks, or of their own: whether one is
/// is a matter of the trunk only.
fn restricted_by_trunk(out: &mut String, plan: &Plan) {
    let said = |name: &String| plan.scopes.iter().any(|scope| scope.trunks.contains(name));
    let restricted = plan
        .trunks
        .iter()
        .filter(|trunk| trunk.restricted && !said(&trunk.name));
    let names: Vec<String> = restricted.map(|trunk| trunk.name.clone()).collect();
    if !names.is_empty() {
        put!(
            out,
            "\n[[trunk]]\nname = {}\nlocation_restricted = true",
            one_or_many(&names)
        );
    }
}

fn blocked(out: &mut String, plan: &Plan) {
    let exempt: Vec<String> = plan
        .exempt
        .iter()
        .map(|it| format!("(?:{})", it.expr))
        .collect();
    for block in &plan.blocked {
        let keys = pattern_keys(&block.pattern).join(", ");
        put!(
            out,
            "\n[[block]]\nname = {}\ncaller = {{ {keys} }}",
            text(&block.name)
        );
        if !exempt.is_empty() {
            put!(out, "exempt = {{ match = {} }}", text(&exempt.join("|")));
        }
    }
}

fn pattern_keys(pattern: &Pattern) -> Vec<String> {
    let mut keys = vec![format!("match = {}", text(&pattern.expr))];
    if !pattern.except.is_empty() {
        keys.push(format!("except = {}", one_or_many(&pattern.except)));
    }
    keys
}

fn one_route(out: &mut String, route: &Route) {
    *out += "\n";
    if !route.comment.is_empty() {
        *out += &comment(&route.comment);
    }
    if let Some(why) = &route.left_out {
        let mark = ["TO", "DO"].concat();
        *out += &comment(&format!(
            "{mark}: route {:?} of {:?} is left out: {why}",
            route.name, route.usages
        ));
        return;
    }
    put!(out, "[[route]]\nname = {}", text(&route.name));
    if !route.usages.is_empty() {
        put!(out, "usages = {}", list(&route.usages));
    }
    if let Some(pattern) = &route.pattern {
        for key in pattern_keys(pattern) {
            put!(out, "{key}");
        }
    }
    if let Some(domain) = &route.domain {
        put!(out, "domain = {}", text(domain));
    }
    if route.phone_only {
        *out += "phone_only = true\n";
    }
    if route.priority != 0 {
        put!(out, "priority = {}", route.priority);
    }
    put!(out, "to = {}", one_or_many(&route.trunks));
    if route.trunks.len() > 1 {
        *out += "order = \"round-robin\"\n";
    }
    if let Some(number) = &route.caller_id {
        put!(out, "caller_id = {}", text(number));
    }
}

fn numbers(out: &mut String, table: &str, block: &Block) {
    let plain = block.called.is_empty() && block.calling.is_empty();
    let is_nothing = plain && !block.strip_plus && block.external_prefix.is_none();
    if is_nothing && block.trunks.is_empty() {
        return;
    }
    put!(out, "\n{}[[{table}]]", comment(&block.comment));
    if !block.trunks.is_empty() {
        put!(
            out,
            "trunk = {}\ninherit = false",
            one_or_many(&block.trunks)
        );
    }
    if let Some(prefix) = &block.external_prefix {
        put!(out, "external_prefix = {}", text(prefix));
    }
    lines(out, "called", &block.called);
    lines(out, "calling", &block.calling);
    if block.strip_plus {
        *out += "strip_plus = true\n";
    }
}

fn lines(out: &mut String, key: &str, lines: &[Line]) {
    if lines.is_empty() {
        return;
    }
    put!(out, "{key} = [");
    for line in lines {
        match line {
            Line::Rule(Rule { name, pattern, to }) => put!(
                out,
                "    {{ name = {}, match = {}, to = {} }},",
                text(name),
                text(&pattern.expr),
                text(to)
            ),
            Line::LeftOut(why) => {
                let mark = ["TO", "DO"].concat();
                *out += "    ";
                *out += &comment(&format!("{mark}: left out: {why}"));
            }
        }
    }
    *out += "]\n";
}

/// One file of cases.
pub fn cases(plan: &Plan, about: &str, cases: &[Case]) -> String {
    let mut out = comment(about);
    out += "config = \"../dialplan.toml\"\n";
    for trunk in &plan.trunks {
        put!(
            out,
            "\n[[trunk]]\nname = {}\nkind = \"{}\"",
            text(&trunk.name),
            kind(trunk.kind)
        );
        if let Some(site) = &trunk.site {
            put!(out, "site = {}", text(site));
        }
    }
    for case in cases {
        put!(
            out,
            "\n[[case]]\nname = {}\nfrom = {}",
            text(&case.name),
            text(&case.from)
        );
        put!(out, "to = {}", text(&case.to));
        if let Some(caller) = &case.caller {
            put!(out, "caller = {}", text(caller));
        }
        if !case.down.is_empty() {
            put!(out, "down = {}", list(&case.down));
        }
        if let Some(route) = &case.route {
            let usage = case
                .usage
                .as_ref()
                .map(|it| format!(", usage = {}", text(it)));
            put!(
                out,
                "tags = {{ route = {}{} }}",
                text(route),
                usage.unwrap_or_default()
            );
        }
        let Some(trunk) = &case.trunk else {
            put!(out, "expect = {{ reject = 404 }}");
            continue;
        };
        let mut keys = vec![
            format!("trunk = {}", text(trunk)),
            format!("callee = {}", text(&case.callee)),
        ];
        if let Some(shown) = &case.shown {
            keys.push(format!("caller = {}", text(shown)));
        }
        put!(out, "expect = {{ connect = [{{ {} }}] }}", keys.join(", "));
    }
    out
}
