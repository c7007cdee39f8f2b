//! What the configuration makes of a file, and what it says of a wrong one.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use intertrunk_policy::Isolation;
use intertrunk_proto::Fallback;
use intertrunk_proto::trunk::{Balance, HistoryForm, SourceMatch, TrunkKind};

use super::*;

mod load;
mod security;
mod trunks;

const LAN: &str = "[[listen]]\nname = \"lan\"\naddress = \"127.0.0.1:5060\"\n";
const MAIN: &str = "[policy.main]\nmodule = \"builtin:standard\"\n";

fn read(text: &str) -> Result<Built, Faults> {
    parse(Path::new("t.toml"), text, &mut Interner::default())
}

/// The one fault of a file that is right without `line`, as text.
fn fault_of(text: &str) -> String {
    let faults = read(text).unwrap_err().faults;
    assert_eq!(faults.len(), 1, "{faults:#?}");
    faults[0].to_string()
}

fn with_trunk(trunk: &str) -> String {
    format!("{LAN}{MAIN}[[trunk]]\nname = \"a\"\npeers = [\"sip:127.0.0.2\"]\n{trunk}")
}

#[test]
fn a_trunk_says_which_headers_it_gets() {
    let keys = "history = \"diversion\"\npass_headers = [\"X-Account\"]\n\
                identity = { trusted = false }\n";
    let built = read(&with_trunk(keys)).unwrap();
    let trunk = &built.snapshot.trunks[0];
    assert_eq!(trunk.identity.history, HistoryForm::Diversion);
    assert!(!trunk.identity.trusted && trunk.identity.forward_history);
    let names = trunk.pass_headers.as_deref();
    assert_eq!(names, Some(&["X-Account".to_owned()][..]));
    let fault = fault_of(&with_trunk("pass_headers = [\"X Account\"]\n"));
    assert!(fault.contains("\"X Account\" is no header name"), "{fault}");
    let fault = fault_of(&with_trunk("history = \"none\"\n"));
    assert!(fault.contains("trunk[0].history"), "{fault}");
}

#[test]
fn what_is_left_out_has_a_default() {
    let built = read(&with_trunk("")).unwrap();
    let trunk = &built.snapshot.trunks[0];
    assert_eq!(trunk.kind, TrunkKind::Pbx);
    assert_eq!(trunk.balance, Balance::Priority);
    assert_eq!(trunk.no_progress, Duration::from_secs(10));
    assert_eq!(trunk.failover_codes, [408, 500, 502, 503, 504]);
    assert_eq!(
        (trunk.calls_max, trunk.calls_in_max, trunk.calls_out_max),
        (None, None, None)
    );
    assert!(trunk.identity.trusted);
    let extensions = trunk.extensions;
    assert_eq!(extensions.session_timer_s, None);
    assert_eq!((extensions.min_se_s, extensions.prack), (90, true));
    assert_eq!(trunk.identity.history, HistoryForm::AsIs);
    assert_eq!(trunk.pass_headers, None);
    let policy = &built.snapshot.policies[0];
    assert_eq!(policy.deadline, Duration::from_millis(20));
    assert_eq!(policy.fallback, Fallback::Reject(503));
    assert_eq!(policy.trunks, ["*"]);
    let options = &built.policies[0].options;
    assert_eq!(
        (options.memory_bytes, options.isolation),
        (32 << 20, Isolation::Warm)
    );
    assert_eq!(built.policies[0].id, trunk.policy);
    assert!(built.shards >= 1 && built.admin.is_none() && built.cdr.is_none());
    assert_eq!(built.warnings, []);
    assert_eq!(&*built.snapshot.listeners[0].advertise, "127.0.0.1:5060");
}

#[test]
fn a_trunk_is_its_peers_with_and_without_port() {
    let built = read(&with_trunk("")).unwrap();
    let network = "127.0.0.2".parse().unwrap();
    let exact = SourceMatch {
        network,
        prefix: 32,
        port: Some(5060),
    };
    assert_eq!(
        built.snapshot.trunks[0].sources,
        [
            exact,
            SourceMatch {
                port: None,
                ..exact
            }
        ]
    );
}

#[test]
fn trunks_on_one_address_are_told_apart_by_port() {
    let text = with_trunk("[[trunk]]\nname = \"b\"\npeers = [\"sip:127.0.0.2:5070\"]\n");
    let built = read(&text).unwrap();
    let ports = |i: usize| {
        let sources = built.snapshot.trunks[i].sources.iter();
        sources.map(|source| source.port).collect::<Vec<_>>()
    };
    assert_eq!(ports(0), [Some(5060)]);
    assert_eq!(ports(1), [Some(5070)]);
}

#[test]
fn two_trunks_with_one_source_are_refused() {
    let text = with_trunk("[[trunk]]\nname = \"b\"\npeers = [\"sip:127.0.0.2:5060\"]\n");
    let fault = fault_of(&text);
    assert!(
        fault.starts_with("t.toml:11:10: trunk[1].peers[0]: "),
        "{fault}"
    );
    assert!(
        fault.contains("127.0.0.2:5060 is a source of \"a\" too"),
        "{fault}"
    );
}

#[test]
fn the_same_source_on_two_listeners_is_two_sources() {
    let other = "[[listen]]\nname = \"wan\"\naddress = \"127.0.0.1:5061\"\n";
    let text = with_trunk("listen = \"lan\"\n[[trunk]]\nname = \"b\"\n")
        + "peers = [\"sip:127.0.0.2\"]\nlisten = \"wan\"\n"
        + other;
    assert_eq!(read(&text).unwrap().snapshot.trunks[1].sources.len(), 2);
}

#[test]
fn ids_and_live_state_survive_a_reload() {
    let mut interner = Interner::default();
    let before = parse(Path::new("t.toml"), &with_trunk(""), &mut interner).unwrap();
    let text = format!(
        "[[trunk]]\nname = \"z\"\npeers = [\"sip:127.0.0.9\"]\n{}",
        with_trunk("")
    );
    let after = parse(Path::new("t.toml"), &text, &mut interner).unwrap();
    let (old, new) = (
        &before.snapshot.trunks[0],
        after.snapshot.trunk_named("a").unwrap(),
    );
    assert_eq!(old.id, new.id);
    assert!(Arc::ptr_eq(&old.state, &new.state));
    assert_eq!(before.policies[0].id, after.policies[0].id);
}

#[test]
fn fallbacks_lead_somewhere() {
    let text = with_trunk("") + "[policy.last]\nmodule = \"builtin:standard\"\n";
    let text = text.replace(MAIN, &format!("{MAIN}fallback = {{ policy = \"last\" }}\n"));
    let text = text.replace("peers", "policy = \"main\"\npeers");
    let built = read(&text).unwrap();
    assert_eq!(
        built.snapshot.policies[0].fallback,
        Fallback::Policy(built.policies[1].id)
    );

    let circle = text + "fallback = { policy = \"main\" }\n";
    let faults = read(&circle).unwrap_err().to_string();
    assert!(faults.contains("policy.main.fallback: leads back to itself: main -> last -> main"));
    assert!(faults.contains("policy.last.fallback: leads back to itself: last -> main -> last"));
}

#[test]
fn a_fallback_is_one_thing() {
    let route = with_trunk("").replace(MAIN, &format!("{MAIN}fallback = {{ route = [\"a\"] }}\n"));
    let built = read(&route).unwrap();
    let trunk = built.snapshot.trunks[0].id;
    assert_eq!(
        built.snapshot.policies[0].fallback,
        Fallback::Route(vec![trunk])
    );
    for (wrong, says) in [
        ("{}", "has 0 keys but wants one"),
        (
            "{ reject = 503, route = [\"a\"] }",
            "has 2 keys but wants one",
        ),
        ("{ reject = 200 }", "200 is out of range"),
        ("{ route = [\"b\"] }", "no trunk \"b\"; did you mean \"a\"?"),
        ("503", "is of type integer"),
    ] {
        let text = with_trunk("").replace(MAIN, &format!("{MAIN}fallback = {wrong}\n"));
        let fault = fault_of(&text);
        assert!(fault.contains(says), "{wrong}: {fault}");
    }
}

#[test]
fn extensions_are_read() {
    let of = |text: &str| read(&with_trunk(text)).unwrap().snapshot.trunks[0].extensions;
    let read = of("session_timer = \"30m\"\nmin_se = \"2m\"\nprack = false\n");
    assert_eq!(read.session_timer_s, Some(1_800));
    assert_eq!((read.min_se_s, read.prack), (120, false));
    assert_eq!(of("session_timer = \"off\"\n").session_timer_s, None);
    for (wrong, says) in [
        ("session_timer = \"60s\"\n", "out of range"),
        (
            "min_se = \"3m\"\nsession_timer = \"2m\"\n",
            "from 3m to 1day",
        ),
        ("session_timer = \"on\"\n", "is no duration"),
    ] {
        let fault = fault_of(&with_trunk(wrong));
        assert!(fault.contains(says), "{wrong}: {fault}");
    }
}

#[test]
fn what_cannot_work_yet_is_said() {
    let text = with_trunk("media = \"relay\"\n[hep]\ncollector = \"127.0.0.1:9060\"\n")
        + "[journal]\ndir = \"j\"\n";
    let built = read(&text).unwrap();
    let keys: Vec<&str> = built
        .warnings
        .iter()
        .map(|warning| warning.key.as_str())
        .collect();
    assert_eq!(keys, ["trunk[0].media", "hep"]);
    let text = built.warnings[0].to_string();
    assert!(
        text.starts_with("t.toml:9:9: warning: trunk[0].media: has no effect"),
        "{text}"
    );
}

#[test]
fn media_and_balance_as_usual_are_no_news() {
    let built = read(&with_trunk(
        "media = \"direct\"\nbalance = \"round-robin\"\n",
    ))
    .unwrap();
    assert_eq!(built.warnings, []);
    assert_eq!(built.snapshot.trunks[0].balance, Balance::RoundRobin);
}

#[test]
fn a_wildcard_listener_says_how_peers_reach_it() {
    let text = with_trunk("").replace("127.0.0.1:5060", "0.0.0.0:5060");
    let fault = fault_of(&text);
    assert!(
        fault.contains("t.toml:3:11: listen[0].advertise: missing"),
        "{fault}"
    );
    let text = text.replace("[policy", "advertise = \"sip.example.com:5060\"\n[policy");
    assert_eq!(
        &*read(&text).unwrap().snapshot.listeners[0].advertise,
        "sip.example.com:5060"
    );
    let wrong = text.replace("sip.example.com:5060", "bob@sip.example.com");
    assert!(fault_of(&wrong).contains("is no host with a port"));
}

#[test]
fn listeners_do_not_share_an_address() {
    let text = format!("{LAN}{}", with_trunk("listen = \"lan\"\n")).replacen("lan", "wan", 1);
    assert!(fault_of(&text).contains("a second listener on 127.0.0.1:5060"));
}

#[test]
fn a_wrong_value_is_not_missing_too() {
    let wan = "[[listen]]\nname = \"wan\"\naddress = \"127.0.0.1:5061\"\n";
    let fault = fault_of(&(with_trunk("listen = 5\n") + wan));
    assert!(
        fault.contains("trunk[0].listen: is of type integer"),
        "{fault}"
    );
}

#[test]
fn names_are_used_once() {
    let again = "[[trunk]]\nname = \"a\"\npeers = [\"sip:127.0.0.3\"]\n";
    assert!(
        fault_of(&with_trunk(again)).contains("t.toml:10:8: trunk[1].name: a second trunk \"a\"")
    );
}

#[test]
fn an_admin_address_that_all_can_reach_wants_a_token() {
    let built = read(&(with_trunk("") + "[admin]\nlisten = \"0.0.0.0:8060\"\n")).unwrap();
    assert!(built.warnings[0].to_string().contains("add token_file"));
    let built = read(&(with_trunk("") + "[admin]\nlisten = \"127.0.0.1:8060\"\n")).unwrap();
    assert_eq!(built.warnings, []);
}

#[test]
fn text_that_is_not_toml_is_said_with_its_line() {
    let fault = fault_of("[node]\nname = edge\n");
    assert!(fault.starts_with("t.toml:2:8: not TOML: "), "{fault}");
    assert!(fault_of("[node]\nname = \"a\"\nname = \"b\"\n").starts_with("t.toml:3:"));
}

#[test]
fn an_empty_file_says_what_it_needs() {
    let faults = read("").unwrap_err().to_string();
    assert!(
        faults.contains("no trunk; add at least one [[trunk]]"),
        "{faults}"
    );
    assert!(
        faults.contains("listen: missing; add a [[listen]]"),
        "{faults}"
    );
}

#[test]
fn columns_count_characters() {
    let fault = fault_of(&with_trunk("tags = [\"ä\", 1]\n"));
    assert!(
        fault.starts_with("t.toml:9:14: trunk[0].tags[1]: is of type integer"),
        "{fault}"
    );
}

mod files {
    use super::*;

    /// A folder that is removed when the test ends.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path =
                std::env::temp_dir().join(format!("intertrunk-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.0.join(name), text).unwrap();
        }

        fn read(&self, text: &str) -> Result<Built, Faults> {
            parse(&self.0.join("t.toml"), text, &mut Interner::default())
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _left_behind = std::fs::remove_dir_all(&self.0);
        }
    }

    fn table(extra: &str) -> String {
        with_trunk("") + "[table.lcr]\nsource = \"lcr.csv\"\n" + extra
    }

    #[test]
    fn tables_are_loaded() {
        let folder = Folder::new("table");
        folder.write(
            "lcr.csv",
            "carrier,prefix,price\ngw-a, +1 ,0.01\ngw-b,+1425,0.02\n",
        );
        let built = folder.read(&table("key = \"prefix\"\n")).unwrap();
        let lcr = built.tables.named("lcr").unwrap();
        let best = lcr.prefixes("+14255550100").next().unwrap();
        assert_eq!(
            (best.key.as_str(), best.columns.join(" ")),
            ("+1425", "gw-b 0.02".to_owned())
        );
        assert_eq!(lcr.exact("+1").unwrap().columns, ["gw-a", "0.01"]);
        let built = folder.read(&table("match = \"exact\"\n")).unwrap();
        let lcr = built.tables.named("lcr").unwrap();
        assert!(lcr.exact("gw-a").is_some());
        assert_eq!(lcr.prefixes("gw-a-1").count(), 0);
    }

    #[test]
    fn a_wrong_table_is_said_with_its_line() {
        let folder = Folder::new("wrong-table");
        folder.write("lcr.csv", "prefix,price\n+1,0.01\n+44\n+1,0.02\n");
        let faults = folder.read(&table("")).unwrap_err().to_string();
        assert!(faults.contains("lcr.csv:3:1: table.lcr.source: has 1 cells but the header has 2"));
        assert!(faults.contains("lcr.csv:4:1: table.lcr.source: key \"+1\" is on line 2 already"));
        let faults = folder
            .read(&table("key = \"prefx\"\n"))
            .unwrap_err()
            .to_string();
        assert!(
            faults.contains("table.lcr.key: no column \"prefx\"; the columns are: prefix, price")
        );
    }

    #[test]
    fn cases_and_settings_are_read_beside_the_file() {
        let folder = Folder::new("cases");
        folder.write("dialplan.toml", "x = 1\n");
        folder.write(
            "cases.toml",
            "[[case]]\nname = \"a\"\nfrom = \"a\"\nto = \"1\"\nexpect = { reject = 404 }\n",
        );
        let main = format!("{MAIN}config = \"dialplan.toml\"\ncases = \"cases.toml\"\n");
        let built = folder.read(&with_trunk("").replace(MAIN, &main)).unwrap();
        assert_eq!(&*built.policies[0].config, "x = 1\n");
        assert_eq!(built.policies[0].suites[0].cases.len(), 1);
        folder.write("cases.toml", "[[case]]\nnme = \"a\"\n");
        let faults = folder
            .read(&with_trunk("").replace(MAIN, &main))
            .unwrap_err()
            .to_string();
        assert!(
            faults.contains("cases.toml:2:1: policy.main.cases: "),
            "{faults}"
        );
    }

    #[test]
    fn a_token_is_read_and_trimmed() {
        let folder = Folder::new("token");
        folder.write("token", "secret\n");
        let admin = "[admin]\nlisten = \"0.0.0.0:8060\"\ntoken_file = \"token\"\n";
        let built = folder.read(&(with_trunk("") + admin)).unwrap();
        assert_eq!(built.admin.unwrap().token.as_deref(), Some("secret"));
        assert_eq!(built.warnings, []);
        folder.write("token", "\n");
        let faults = folder
            .read(&(with_trunk("") + admin))
            .unwrap_err()
            .to_string();
        assert!(
            faults.contains("admin.token_file: the file is empty"),
            "{faults}"
        );
    }
}
