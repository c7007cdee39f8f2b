//! What the file says of names, limits and overload.

use super::*;

fn with(section: &str) -> String {
    format!("{}[node]\nshards = 2\n{section}", with_trunk(""))
}

#[test]
fn a_name_is_a_question_and_its_trunk_follows_it() {
    let named = with_trunk("").replace("sip:127.0.0.2", "sip:GW.example.com");
    let mut interner = Interner::default();
    let built = parse(Path::new("t.toml"), &named, &mut interner).unwrap();
    let trunk = &built.snapshot.trunks[0];
    assert!(trunk.follows_peers && trunk.sources.is_empty());
    assert_eq!(trunk.peers[0].targets.first(), None, "nobody has asked yet");
    let [asked] = &built.named()[..] else {
        panic!("one question")
    };
    assert_eq!(
        (&*asked.question.host, asked.question.port),
        ("gw.example.com", None)
    );
    assert!(asked.question.ipv4 && Arc::ptr_eq(&asked.targets, &trunk.peers[0].targets));

    let again = parse(Path::new("t.toml"), &named, &mut interner).unwrap();
    let kept = &again.snapshot.trunks[0].peers[0].targets;
    assert!(
        Arc::ptr_eq(kept, &asked.targets),
        "a reload keeps what is known"
    );
    let matched = with_trunk("match = [\"192.0.2.1\"]\n").replace("sip:127.0.0.2", "sip:gw");
    assert!(!read(&matched).unwrap().snapshot.trunks[0].follows_peers);
    assert!(read(&with_trunk("")).unwrap().named().is_empty());
}

#[test]
fn name_servers_and_times_are_read() {
    let text = with("[dns]\nservers = [\"192.0.2.53\", \"127.0.0.1:5353\"]\nrest = \"5s\"\n");
    let built = read(&text).unwrap();
    let servers: Vec<String> = built.dns.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["192.0.2.53:53", "127.0.0.1:5353"]);
    assert_eq!(built.snapshot.timers.target_rest, Duration::from_secs(5));
    assert_eq!(built.dns.ttl_min, Duration::from_secs(5));
    let fault = fault_of(&with("[dns]\nservers = [\"ns.example.com\"]\n"));
    assert!(fault.contains("dns.servers[0]: "), "{fault}");
    let fault = fault_of(&with("[dns]\nttl_max = \"1s\"\n"));
    assert!(fault.contains("dns.ttl_max: is below `ttl_min`"), "{fault}");
}

#[test]
fn shards_share_what_the_node_may_have() {
    let text = with("[limits]\ncalls = 101\n[overload]\ncalls_per_second = 11\n");
    let snapshot = read(&text).unwrap().snapshot;
    assert_eq!(snapshot.limits.calls_max, 51);
    assert_eq!(snapshot.overload.calls_per_second, Some(6));
    assert_eq!(snapshot.overload.burst, 6);
    let usual = read(&with("")).unwrap().snapshot;
    assert_eq!(usual.overload, intertrunk_proto::Overload::default());
    assert_eq!(usual.limits, intertrunk_proto::Limits::default());
    let fault = fault_of(&with("[overload]\nretry_after_min = \"1m\"\n"));
    assert!(fault.contains("is below `retry_after_min`"), "{fault}");
}

#[test]
fn a_budget_of_memory_makes_the_limits() {
    let built = read(&with("[limits]\nmemory = \"1GiB\"\n")).unwrap();
    let memory = built.memory();
    assert!(
        (1_000 << 20..=1 << 30).contains(&memory.total),
        "{memory:?}"
    );
    assert!(built.snapshot.limits.calls_max > 5_000);
    let fits = read(&with("[limits]\nmemory = \"1GiB\"\ncalls = 100\n")).unwrap();
    assert_eq!(fits.snapshot.limits.calls_max, 50);
    let fault = fault_of(&with("[limits]\nmemory = \"1GiB\"\ncalls = 200000\n"));
    assert!(
        fault.contains("limits.memory: is contradicted: these limits"),
        "{fault}"
    );
    let fault = fault_of(&with("[limits]\nmemory = \"100MiB\"\n"));
    assert!(fault.contains("leaves nothing for calls"), "{fault}");
}

/// S10: a meter is a source of its own kind, with keys of its own.
#[test]
fn meters_are_read_and_take_memory() {
    let source = |keys: &str| with_trunk("") + "[source.hour]\nkind = \"meter\"\n" + keys;
    let built = read(&source("window = \"10m\"\nkeys_max = 5\n")).unwrap();
    let rules = intertrunk_proto::meter::MeterRules {
        window: Duration::from_secs(600),
        keys_max: 5,
    };
    assert_eq!(built.sources[0].kind, crate::outside::Kind::Meter(rules));
    assert_eq!(built.snapshot.meters, ["hour"]);
    let without = read(&with_trunk("")).unwrap().memory();
    let memory = built.memory();
    assert!(without.meters == 0 && memory.meters > 0);
    assert_eq!(memory.total, without.total + memory.meters);
    for (keys, fault) in [
        ("window = \"2d\"\n", "t.toml:11:10: source.hour.window: "),
        ("keys_max = 0\n", "t.toml:11:12: source.hour.keys_max: "),
        (
            "cache = \"1m\"\n",
            "t.toml:11:1: source.hour.cache: unknown key",
        ),
    ] {
        let told = read(&source(keys)).unwrap_err().to_string();
        assert!(told.contains(fault) && told.contains("; "), "{told}");
    }
}
