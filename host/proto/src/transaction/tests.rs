//! The four machines against the tables of RFC 3261 §17 and RFC 6026, timer by timer.

use std::time::Duration;

use super::client_invite::ClientInvite;
use super::client_plain::ClientPlain;
use super::clocks::Clocks;
use super::server_invite::ServerInvite;
use super::server_plain::ServerPlain;
use super::{ClientInput, ClientStep, ServerInput, ServerStep};
use crate::snapshot::Timers;
use crate::time::Instant;

const START: Instant = Instant::from_micros(0);

fn at(ms: u64) -> Instant {
    START + Duration::from_millis(ms)
}

fn timers() -> Clocks {
    Clocks::of(&Timers::default(), false)
}

/// When a machine that hears nothing resends, in milliseconds, and when it gives up.
fn alone<M>(
    mut machine: M,
    deadline: fn(&M) -> Option<Instant>,
    mut clock: impl FnMut(&mut M, Instant) -> (bool, bool),
) -> (Vec<u64>, Option<u64>) {
    let mut resent = Vec::new();
    while let Some(now) = deadline(&machine) {
        let ms = now.as_micros() / 1000;
        let (resends, over) = clock(&mut machine, now);
        if resends {
            resent.push(ms);
        }
        if over {
            return (resent, Some(ms));
        }
    }
    (resent, None)
}

#[test]
fn timers_a_and_b_of_an_invite() {
    let t = timers();
    let (resent, gave_up) = alone(
        ClientInvite::start(START, &t),
        ClientInvite::deadline,
        |m, now| {
            let step = m.handle(ClientInput::Clock, now, &t);
            (step.resend, step.timed_out && step.terminated)
        },
    );
    assert_eq!(resent, [500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    assert_eq!(gave_up, Some(32_000));
}

#[test]
fn timers_e_and_f_of_other_requests() {
    let t = timers();
    let (resent, gave_up) = alone(
        ClientPlain::start(START, &t),
        ClientPlain::deadline,
        |m, now| {
            let step = m.handle(ClientInput::Clock, now, &t);
            (step.resend, step.timed_out && step.terminated)
        },
    );
    let expected = [
        500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
    ];
    assert_eq!(resent, expected);
    assert_eq!(gave_up, Some(32_000));
}

#[test]
fn timer_e_is_t2_once_somebody_is_there() {
    let t = timers();
    let mut machine = ClientPlain::start(START, &t);
    assert!(machine.handle(ClientInput::Provisional, at(100), &t).tell);
    let (resent, gave_up) = alone(machine, ClientPlain::deadline, |m, now| {
        let step = m.handle(ClientInput::Clock, now, &t);
        (step.resend, step.terminated)
    });
    let expected = [500, 4_500, 8_500, 12_500, 16_500, 20_500, 24_500, 28_500];
    assert_eq!(resent, expected, "it runs on, and is T2 when it fires");
    assert_eq!(gave_up, Some(32_000));
}

#[test]
fn timers_g_and_h_of_a_refused_invite() {
    let t = timers();
    let mut machine = ServerInvite::Proceeding;
    assert!(machine.handle(ServerInput::Failure, START, &t).send);
    let (resent, over) = alone(machine, ServerInvite::deadline, |m, now| {
        let step = m.handle(ServerInput::Clock, now, &t);
        (step.resend, step.terminated)
    });
    let expected = [
        500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
    ];
    assert_eq!(resent, expected);
    assert_eq!(over, Some(32_000));
}

/// After `inputs`, one a millisecond, what the last one did and when the machine ends by itself.
fn client_invite(inputs: &[ClientInput]) -> (ClientStep, Option<u64>) {
    let t = timers();
    let mut machine = ClientInvite::start(START, &t);
    let mut last = ClientStep::default();
    for (input, ms) in inputs.iter().zip(1..) {
        last = machine.handle(*input, at(ms), &t);
    }
    let end = alone(machine, ClientInvite::deadline, |m, now| {
        (false, m.handle(ClientInput::Clock, now, &t).terminated)
    });
    (last, end.1)
}

#[test]
fn invite_client_in_each_state() {
    use ClientInput::{Failure, Provisional, Success};
    let none = ClientStep::default();
    let tell = ClientStep { tell: true, ..none };
    let ack = ClientStep { ack: true, ..none };
    let tell_and_ack = ClientStep {
        tell: true,
        ack: true,
        ..none
    };
    // A provisional answer stops A and B: from then on only the owner gives up.
    assert_eq!(client_invite(&[Provisional]), (tell, None));
    assert_eq!(client_invite(&[Provisional, Provisional]), (tell, None));
    // 2xx: Accepted for 64·T1, each further 2xx is the owner's, all else is nobody's.
    assert_eq!(client_invite(&[Success]), (tell, Some(32_001)));
    assert_eq!(client_invite(&[Provisional, Success]), (tell, Some(32_002)));
    assert_eq!(client_invite(&[Success, Success]), (tell, Some(32_001)));
    assert_eq!(client_invite(&[Success, Provisional]), (none, Some(32_001)));
    assert_eq!(client_invite(&[Success, Failure]), (none, Some(32_001)));
    // 3xx to 6xx: acknowledged each time, told once, Completed for D.
    assert_eq!(client_invite(&[Failure]), (tell_and_ack, Some(32_001)));
    assert_eq!(
        client_invite(&[Provisional, Failure]),
        (tell_and_ack, Some(32_002))
    );
    assert_eq!(client_invite(&[Failure, Failure]), (ack, Some(32_001)));
    assert_eq!(client_invite(&[Failure, Success]), (none, Some(32_001)));
    assert_eq!(client_invite(&[Failure, Provisional]), (none, Some(32_001)));
}

fn client_plain(inputs: &[ClientInput]) -> (ClientStep, Option<u64>) {
    let t = timers();
    let mut machine = ClientPlain::start(START, &t);
    let mut last = ClientStep::default();
    for (input, ms) in inputs.iter().zip(1..) {
        last = machine.handle(*input, at(ms), &t);
    }
    let end = alone(machine, ClientPlain::deadline, |m, now| {
        (false, m.handle(ClientInput::Clock, now, &t).terminated)
    });
    (last, end.1)
}

#[test]
fn other_client_in_each_state() {
    use ClientInput::{Failure, Provisional, Success};
    let none = ClientStep::default();
    let tell = ClientStep { tell: true, ..none };
    // 1xx: told each time; F goes on.
    assert_eq!(client_plain(&[Provisional]), (tell, Some(32_000)));
    assert_eq!(
        client_plain(&[Provisional, Provisional]),
        (tell, Some(32_000))
    );
    for last in [Success, Failure] {
        assert_eq!(client_plain(&[last]), (tell, Some(5_001)), "K is T4");
        assert_eq!(client_plain(&[Provisional, last]), (tell, Some(5_002)));
        for again in [Provisional, Success, Failure] {
            assert_eq!(
                client_plain(&[last, again]),
                (none, Some(5_001)),
                "told once"
            );
        }
    }
}

fn server_invite(inputs: &[ServerInput]) -> (ServerStep, Option<u64>) {
    let t = timers();
    let mut machine = ServerInvite::Proceeding;
    let mut last = ServerStep::default();
    for (input, ms) in inputs.iter().zip(1..) {
        last = machine.handle(*input, at(ms), &t);
    }
    let end = alone(machine, ServerInvite::deadline, |m, now| {
        (false, m.handle(ServerInput::Clock, now, &t).terminated)
    });
    (last, end.1)
}

#[test]
fn invite_server_in_each_state() {
    use ServerInput::{Ack, Again, Failure, Provisional, Success};
    let none = ServerStep::default();
    let send = ServerStep { send: true, ..none };
    let resend = ServerStep {
        resend: true,
        ..none
    };
    assert_eq!(server_invite(&[Again]), (resend, None));
    assert_eq!(server_invite(&[Provisional]), (send, None));
    assert_eq!(server_invite(&[Provisional, Provisional]), (send, None));
    assert_eq!(server_invite(&[Provisional, Success]).0, send);
    assert_eq!(server_invite(&[Provisional, Failure]).0, send);
    assert_eq!(server_invite(&[Provisional, Again]), (resend, None));
    assert_eq!(server_invite(&[Ack]), (none, None));
    // 2xx: sent, then absorbed for L; the owner resends it, and sends no other final answer.
    assert_eq!(server_invite(&[Success]), (send, Some(32_001)));
    for after in [Again, Ack, Provisional, Success, Failure] {
        assert_eq!(server_invite(&[Success, after]), (none, Some(32_001)));
    }
    // 3xx to 6xx: repeated for copies of the INVITE, ended by ACK after I.
    assert_eq!(server_invite(&[Failure, Again]), (resend, Some(32_001)));
    assert_eq!(server_invite(&[Failure, Ack]), (none, Some(5_002)));
    for after in [Again, Ack, Provisional, Success, Failure] {
        assert_eq!(server_invite(&[Failure, Ack, after]), (none, Some(5_002)));
    }
    for after in [Provisional, Success, Failure] {
        assert_eq!(server_invite(&[Failure, after]).0, none, "one final answer");
    }
}

fn server_plain(inputs: &[ServerInput]) -> (ServerStep, Option<u64>) {
    let t = timers();
    let mut machine = ServerPlain::Trying;
    let mut last = ServerStep::default();
    for (input, ms) in inputs.iter().zip(1..) {
        last = machine.handle(*input, at(ms), &t);
    }
    let end = alone(machine, ServerPlain::deadline, |m, now| {
        (false, m.handle(ServerInput::Clock, now, &t).terminated)
    });
    (last, end.1)
}

#[test]
fn other_server_in_each_state() {
    use ServerInput::{Ack, Again, Failure, Provisional, Success};
    let none = ServerStep::default();
    let send = ServerStep { send: true, ..none };
    let resend = ServerStep {
        resend: true,
        ..none
    };
    assert_eq!(
        server_plain(&[Again]),
        (none, None),
        "nothing was answered yet"
    );
    assert_eq!(server_plain(&[Ack]), (none, None));
    assert_eq!(server_plain(&[Provisional, Ack]), (none, None));
    assert_eq!(server_plain(&[Provisional]), (send, None));
    assert_eq!(server_plain(&[Provisional, Provisional]), (send, None));
    assert_eq!(server_plain(&[Provisional, Again]), (resend, None));
    for last in [Success, Failure] {
        assert_eq!(server_plain(&[last]), (send, Some(32_001)), "J is 64·T1");
        assert_eq!(server_plain(&[Provisional, last]), (send, Some(32_002)));
        assert_eq!(server_plain(&[last, Again]), (resend, Some(32_001)));
        for after in [Ack, Provisional, Success, Failure] {
            assert_eq!(server_plain(&[last, after]), (none, Some(32_001)));
        }
    }
}

/// Every state of the four machines but Terminated, entered at [`START`].
fn clients() -> (Vec<ClientInvite>, Vec<ClientPlain>) {
    use ClientInput::{Failure, Provisional, Success};
    let t = timers();
    let after = [None, Some(Provisional), Some(Success), Some(Failure)];
    let invites = after.map(|input| {
        let mut m = ClientInvite::start(START, &t);
        input.map(|i| m.handle(i, START, &t));
        m
    });
    let plains = after.map(|input| {
        let mut m = ClientPlain::start(START, &t);
        input.map(|i| m.handle(i, START, &t));
        m
    });
    (invites.into(), plains.into())
}

fn servers() -> (Vec<ServerInvite>, Vec<ServerPlain>) {
    use ServerInput::{Ack, Failure, Provisional, Success};
    let t = timers();
    let paths: [&[ServerInput]; 5] = [&[], &[Provisional], &[Success], &[Failure], &[Failure, Ack]];
    let invites = paths.each_ref().map(|path| {
        let mut m = ServerInvite::Proceeding;
        for input in *path {
            m.handle(*input, START, &t);
        }
        m
    });
    let plains = paths.each_ref().map(|path| {
        let mut m = ServerPlain::Trying;
        for input in *path {
            m.handle(*input, START, &t);
        }
        m
    });
    (invites.into(), plains.into())
}

/// An entry of the queue may come up before the deadline that it was made for has moved.
#[test]
fn a_clock_that_is_early_does_nothing() {
    let t = timers();
    let (invites, plains) = clients();
    for mut m in invites {
        let before = m;
        let step = m.handle(ClientInput::Clock, at(499), &t);
        assert_eq!((step, m), (ClientStep::default(), before));
    }
    for mut m in plains {
        let before = m;
        let step = m.handle(ClientInput::Clock, at(499), &t);
        assert_eq!((step, m), (ClientStep::default(), before));
    }
    let (invites, plains) = servers();
    for mut m in invites {
        let before = m;
        let step = m.handle(ServerInput::Clock, at(499), &t);
        assert_eq!((step, m), (ServerStep::default(), before));
    }
    for mut m in plains {
        let before = m;
        let step = m.handle(ServerInput::Clock, at(499), &t);
        assert_eq!((step, m), (ServerStep::default(), before));
    }
}

/// A clock that is an hour late ends what has a deadline, without one more retransmission, and
/// from then on nothing happens.
#[test]
fn a_clock_that_is_late_ends_it_and_the_end_is_final() {
    use ClientInput as C;
    use ServerInput as S;
    let t = timers();
    let late = at(3_600_000);
    let (invites, plains) = clients();
    for mut m in invites.into_iter().filter(|m| m.deadline().is_some()) {
        let calling = matches!(m, ClientInvite::Calling { .. });
        let step = m.handle(C::Clock, late, &t);
        assert!(step.terminated && !step.resend && step.timed_out == calling);
        for input in [C::Provisional, C::Success, C::Failure, C::Clock] {
            assert_eq!(m.handle(input, late, &t), ClientStep::default());
        }
        assert_eq!((m, m.deadline()), (ClientInvite::Terminated, None));
    }
    for mut m in plains {
        let waits = !matches!(m, ClientPlain::Completed { .. });
        let step = m.handle(C::Clock, late, &t);
        assert!(step.terminated && !step.resend && step.timed_out == waits);
        for input in [C::Provisional, C::Success, C::Failure, C::Clock] {
            assert_eq!(m.handle(input, late, &t), ClientStep::default());
        }
        assert_eq!((m, m.deadline()), (ClientPlain::Terminated, None));
    }
    let all = [
        S::Again,
        S::Ack,
        S::Provisional,
        S::Success,
        S::Failure,
        S::Clock,
    ];
    let (invites, plains) = servers();
    for mut m in invites.into_iter().filter(|m| m.deadline().is_some()) {
        let step = m.handle(S::Clock, late, &t);
        assert!(step.terminated && !step.resend);
        assert!(
            all.iter()
                .all(|i| m.handle(*i, late, &t) == ServerStep::default())
        );
        assert_eq!((m, m.deadline()), (ServerInvite::Terminated, None));
    }
    for mut m in plains.into_iter().filter(|m| m.deadline().is_some()) {
        assert!(m.handle(S::Clock, late, &t).terminated);
        assert!(
            all.iter()
                .all(|i| m.handle(*i, late, &t) == ServerStep::default())
        );
        assert_eq!((m, m.deadline()), (ServerPlain::Terminated, None));
    }
}
