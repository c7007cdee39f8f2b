//! Requests that are too large for a datagram, and what belongs to them.

use sim::{Errand, Final, Manner, World, ms};

use super::{call, check, gw_a, world};

const GW_A: &str = "127.0.0.21:5080";

/// A call whose INVITE is larger than 1,300 bytes.
fn large() -> Errand {
    Errand {
        headers: vec![("Subject".to_owned(), "x".repeat(1_300))],
        ..Errand::to("1")
    }
}

/// What was sent to gw-a over TCP, and what by datagram: the methods, one after the other.
fn ways(w: &World) -> [Vec<String>; 2] {
    let method = |line: &str| line.split(" <-- ").nth(1).map(str::to_owned);
    let first = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let sent = w.ladder.iter().filter(|line| line.contains("gw-a   <--"));
    let (tcp, udp): (Vec<_>, Vec<_>) = sent.partition(|line| line.ends_with("(TCP)"));
    [tcp, udp].map(|lines| {
        let methods = lines.into_iter().filter_map(|line| method(line));
        methods.map(|m| first(&m)).collect()
    })
}

/// K15: the INVITE goes over TCP, the small requests of its dialog do not.
#[test]
fn large_call() {
    let mut w = world();
    call(&mut w, &large());
    assert_eq!(ways(&w), [vec!["INVITE"], vec!["ACK", "BYE"]]);
    check("large_call", &mut w);
}

/// K15: CANCEL goes the way of its INVITE, and so does the ACK of the 487.
#[test]
fn large_call_given_up() {
    let mut w = world();
    gw_a(
        &mut w,
        Manner {
            last: Final::Rings,
            ..Manner::default()
        },
    );
    let errand = Errand {
        cancel: Some(ms(500)),
        ..large()
    };
    call(&mut w, &errand);
    assert_eq!(ways(&w), [vec!["INVITE", "CANCEL", "ACK"], vec![]]);
    check("large_call_given_up", &mut w);
}

/// K15: a peer that takes no connection gets datagrams, and a CANCEL by datagram too.
#[test]
fn large_call_without_a_connection() {
    let mut w = world();
    w.streams.shunned_by.push(GW_A.parse().unwrap());
    gw_a(
        &mut w,
        Manner {
            last: Final::Rings,
            ..Manner::default()
        },
    );
    let errand = Errand {
        cancel: Some(ms(500)),
        ..large()
    };
    call(&mut w, &errand);
    assert_eq!(
        ways(&w),
        [vec!["INVITE"], vec!["INVITE", "CANCEL", "ACK"]],
        "the first one reached nobody"
    );
    check("large_call_without_a_connection", &mut w);
}
