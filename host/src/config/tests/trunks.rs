//! What the file says of the health and the limits of trunks, and of calls for help.

use intertrunk_proto::trunk::{Breaker, HealthRules, Options, Quality, Rate, Rates, Soak, Trunk};

use super::*;

fn trunk(keys: &str) -> Trunk {
    let built = read(&with_trunk(keys)).unwrap();
    assert_eq!(built.warnings, []);
    Trunk::clone(&built.snapshot.trunks[0])
}

fn seconds(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// F15, F16, F17: limits, rates with their bursts, and the reserve.
#[test]
fn limits_and_rates_are_read() {
    let t = trunk("max_calls = 10\nreserve_emergency = 2\nmax_cps = 5\nmax_cps_out = 3\n");
    assert_eq!((t.calls_max, t.reserve_emergency), (Some(10), 2));
    let rate = |per_second, burst| Some(Rate { per_second, burst });
    let rates = Rates {
        both: rate(5, 5),
        incoming: None,
        outgoing: rate(3, 3),
    };
    assert_eq!(t.rates, rates);
    let t = trunk("max_cps_in = 5\nburst = 20\n");
    assert_eq!((t.rates.incoming, t.rates.both), (rate(5, 20), None));
    for (wrong, says) in [
        ("max_cps = 0\n", "out of range"),
        ("max_calls = 2\nreserve_emergency = 2\n", "none of 2 places"),
    ] {
        let fault = fault_of(&with_trunk(wrong));
        assert!(fault.contains(says), "{wrong}: {fault}");
    }
    for idle in ["burst = 3\n", "reserve_emergency = 3\n", "soak = {}\n"] {
        let warnings = read(&with_trunk(idle)).unwrap().warnings;
        assert!(
            warnings[0].to_string().contains("no effect without"),
            "{idle}"
        );
    }
}

/// T8: peers are strings or tables, and share calls as the balance says.
#[test]
fn peers_may_have_weights() {
    let text = with_trunk("balance = \"weighted\"\n").replace(
        "[\"sip:127.0.0.2\"]",
        "[\"sip:127.0.0.2\", { uri = \"sip:127.0.0.3\", weight = 3 }, { uri = \"sip:127.0.0.4\", priority = 1 }]",
    );
    let built = read(&text).unwrap();
    let t = &built.snapshot.trunks[0];
    assert_eq!(t.balance, Balance::Weighted);
    let peers = t
        .peers
        .iter()
        .map(|p| (&*p.host_port, p.priority, p.weight));
    let expected = [
        ("127.0.0.2", 0, 1),
        ("127.0.0.3", 0, 3),
        ("127.0.0.4", 1, 1),
    ];
    assert_eq!(peers.collect::<Vec<_>>(), expected);
    assert_eq!(
        trunk("balance = \"least-calls\"\n").balance,
        Balance::LeastCalls
    );
    for (wrong, says) in [
        ("{ weight = 3 }", "peers[0].uri: missing"),
        (
            "{ uri = \"sip:a\", weight = 0 }",
            "peers[0].weight: 0 is out of range",
        ),
        ("{ uri = \"sip:a\", weigth = 1 }", "did you mean `weight`?"),
        ("7", "write a string or a table"),
    ] {
        let text = with_trunk("").replace("\"sip:127.0.0.2\"", wrong);
        let faults = read(&text).unwrap_err().to_string();
        assert!(faults.contains(says), "{wrong}: {faults}");
    }
}

/// F1, F2, F3, F4, F12, F13, F14: rules of health and their defaults.
#[test]
fn rules_of_health_are_read() {
    assert_eq!(trunk("").health, HealthRules::default());
    let t = trunk("options = {}\nbreaker = {}\nquality = { asr = 40 }\nsoak = {}\n");
    let expected = HealthRules {
        options: Some(Options::default()),
        breaker: Some(Breaker {
            failures: 5,
            retry: seconds(30),
        }),
        quality: Some(Quality {
            window: seconds(300),
            calls_min: 20,
            asr_min: Some(40),
            ner_min: None,
            pdd_max: None,
            acd_min: None,
        }),
        soak: Some(Soak {
            share: 10,
            good: 20,
            time: seconds(60),
        }),
    };
    assert_eq!(t.health, expected);
    let keys =
        "options = { interval = \"off\", expect = \"2m\", down_codes = [503], up_after = 1 }\n";
    let options = trunk(keys).health.options.unwrap();
    assert_eq!(
        (options.interval, options.expect),
        (None, Some(seconds(120)))
    );
    assert_eq!((options.down_codes, options.up_after), (vec![503], 1));
    let options = trunk("options = { interval = \"10s\" }\n").health.options;
    assert_eq!(
        options.unwrap().down_interval,
        seconds(10),
        "as often as when it is up"
    );
    for (wrong, says) in [
        ("options = { interval = \"off\" }\n", "asks nobody"),
        (
            "options = { interval = \"2s\", timeout = \"3s\" }\n",
            "is longer than the time to the next question",
        ),
        (
            "options = { intervall = \"2s\" }\n",
            "did you mean `interval`?",
        ),
        ("quality = {}\n", "has no bound"),
        ("quality = { asr = 101 }\n", "out of range"),
        ("soak = { share = 0 }\nbreaker = {}\n", "out of range"),
    ] {
        let fault = fault_of(&with_trunk(wrong));
        assert!(fault.contains(says), "{wrong}: {fault}");
    }
}

/// F17, C11: numbers for help and their route.
#[test]
fn calls_for_help_are_known() {
    let with = |section: &str| format!("{}[emergency]\n{section}", with_trunk(""));
    let built = read(&with("numbers = [\"911\", \"+112\"]\nroute = [\"a\"]\n")).unwrap();
    let emergency = &built.snapshot.emergency;
    assert_eq!(emergency.numbers, ["911", "+112"]);
    assert_eq!(emergency.route, [built.snapshot.trunks[0].id]);
    let fault = fault_of(&with("numbers = [\"nine\"]\n"));
    assert!(fault.contains("\"nine\" is no number"), "{fault}");
    let fault = fault_of(&with("route = [\"b\"]\n"));
    assert!(fault.contains("no trunk \"b\""), "{fault}");
}
