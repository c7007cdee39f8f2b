//! Flows in which a request within an answered call shows that the other side has no such call any
//! more, or is not there (RFC 3261 §12.2.1.2, RFC 5057).

use sim::{Errand, Manner, Renegotiation, ms};

use super::{call, check, gw_a, world};

/// A caller that does `errand` in a call to a gw-a that answers its requests so.
fn flow(name: &str, renegotiation: Renegotiation, errand: Errand) {
    let mut w = world();
    gw_a(
        &mut w,
        Manner {
            renegotiation,
            ..Manner::default()
        },
    );
    call(
        &mut w,
        &Errand {
            hang_up: Some(ms(60_000)),
            ..errand
        },
    );
    check(name, &mut w);
}

fn reinvites() -> Errand {
    Errand {
        reinvite: Some(ms(300)),
        ..Errand::to("1")
    }
}

#[test]
fn reinvite_answered_481() {
    flow(
        "reinvite_answered_481",
        Renegotiation::Refuses(481),
        reinvites(),
    );
}

/// Any other refusal leaves the call as it was.
#[test]
fn update_refused() {
    let errand = Errand {
        update: Some(ms(300)),
        ..Errand::to("1")
    };
    flow("update_refused", Renegotiation::Refuses(488), errand);
}

#[test]
fn info_answered_481() {
    let errand = Errand {
        info: Some(ms(300)),
        ..Errand::to("1")
    };
    flow("info_answered_481", Renegotiation::Refuses(481), errand);
}

#[test]
fn reinvite_answered_408() {
    flow(
        "reinvite_answered_408",
        Renegotiation::Refuses(408),
        reinvites(),
    );
}

/// Not even 100: after 64·T1 both sides hear that the call is over.
#[test]
fn reinvite_that_nobody_answers() {
    flow(
        "reinvite_that_nobody_answers",
        Renegotiation::Silent,
        reinvites(),
    );
}
