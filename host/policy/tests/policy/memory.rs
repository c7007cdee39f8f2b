//! What a policy remembers of one call in the next: nothing that it could rely on.

use std::path::Path;
use std::time::{Duration, Instant};

use intertrunk_policy::{Options, Runner, Slot, shuffle};

use crate::guests::{ENGINE, EXTENSIONS, HOSTILE, ask, live, options, tag};

/// How often the instance that decides now has decided.
fn asked(runner: &mut Runner, slot: &Slot) -> u32 {
    let answer = ask(runner, slot, None, "sane");
    tag(&answer, "asked").parse().unwrap()
}

/// B10: a warm instance makes room for a fresh one after a number of calls that nobody can rely on,
/// not before, and no call fails or waits for it.
#[test]
fn warm_instances_retire() {
    let options = Options {
        retire_after: 3..=5,
        ..options()
    };
    let slot = live(&HOSTILE, "", options);
    let mut runner = Runner::seeded(&ENGINE, 7);
    let give_up = Instant::now() + Duration::from_secs(30);
    let (mut before, mut lives) = (0, Vec::new());
    while lives.len() < 20 {
        let now = asked(&mut runner, &slot);
        if now == 1 && before > 0 {
            lives.push(before);
        }
        before = now;
        assert!(Instant::now() < give_up, "instances live on: {lives:?}");
    }
    // A spare that is made late lets one live longer, and nothing makes it shorter.
    assert!(lives.iter().all(|calls| *calls >= 3), "{lives:?}");
    assert_eq!(slot.status().faults.len(), 0);
}

/// B10: cases in random orders find a policy that counts its calls, and name it; one that does not is
/// left in peace. A seed gives the same orders.
#[test]
fn what_is_carried_from_call_to_call_is_found() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shuffled.toml");
    let case = |n: u32, to: &str| {
        format!(
            "[[case]]\nname = 'case {n}'\nfrom = 'gw-a'\nto = '{to}'\nexpect = {{ connect = ['pbx-a'] }}\n"
        )
    };
    std::fs::write(
        &file,
        [case(1, "sane"), case(2, "sane"), case(3, "back")].concat(),
    )
    .unwrap();
    let suites = intertrunk_cases::load(&file).unwrap();
    let run = |wasm: &[u8], seed| shuffle::run(&ENGINE, wasm, "", &suites, seed, 10).unwrap();
    let found = run(&HOSTILE, 1);
    let names: Vec<_> = found.leaks.iter().map(|leak| &*leak.name).collect();
    assert_eq!(names, ["case 1", "case 2"], "{found}");
    let text = found.to_string();
    assert!(text.contains("shuffled.toml:1"), "{text}");
    assert!(text.contains("of seed 1: 2 cases depend"), "{text}");
    assert_eq!(run(&HOSTILE, 1), found);
    assert_ne!(run(&HOSTILE, 2), found);
    assert!(run(&EXTENSIONS, 1).passed());
}
