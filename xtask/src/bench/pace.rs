//! Post-dial delays of calls that begin at their time, however long the ones before them take: a
//! call that is held up must not hold back those that would have been held up with it.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::probe::{Probe, Request, answer};
use super::report::quantile;
use super::router::ADDRESS;

/// After the last call, for what is still under way; a call that takes longer is lost.
const LINGERS_FOR: Duration = Duration::from_secs(2);
/// How soon a party notices that all is over.
const LOOKS_EVERY: Duration = Duration::from_millis(100);

/// What became of the calls.
#[derive(Default)]
pub struct Paced {
    /// From INVITE to 180.
    delays: Vec<Duration>,
    /// Never rang.
    pub lost: usize,
}

impl Paced {
    /// Adds what became of others.
    pub fn extend(&mut self, other: Paced) {
        self.delays.extend(other.delays);
        self.lost += other.lost;
    }

    /// Microseconds that so many of a hundred do not exceed.
    pub fn percentile(&self, percent: usize) -> i64 {
        let mut sorted = self.delays.clone();
        sorted.sort_unstable();
        quantile(&sorted, percent).map_or(0, |it| i64::try_from(it.as_micros()).unwrap_or(i64::MAX))
    }
}

impl Probe {
    /// Places `calls`, so many a second.
    pub fn pace(&mut self, calls: u32, per_second: u32) -> Result<Paced> {
        let first = self.placed + 1;
        self.placed += calls;
        let sent: Vec<OnceLock<Instant>> = (0..calls).map(|_| OnceLock::new()).collect();
        let over = AtomicBool::new(false);
        let (caller, callee) = (&self.caller, &self.callee);
        let delays = thread::scope(|scope| {
            let callee = scope.spawn(|| decline(callee, &over));
            let heard = scope.spawn(|| hear(caller, first, &sent, &over));
            let placed = place(caller, first, &sent, Duration::from_secs(1) / per_second);
            thread::sleep(LINGERS_FOR);
            over.store(true, Ordering::Relaxed);
            let panicked = |_| anyhow!("a party of the probe panicked");
            callee.join().map_err(panicked)??;
            let delays = heard.join().map_err(panicked)??;
            placed.map(|()| delays)
        })?;
        Ok(Paced {
            lost: sent.len() - delays.len(),
            delays,
        })
    }
}

fn place(
    caller: &UdpSocket,
    first: u32,
    sent: &[OnceLock<Instant>],
    every: Duration,
) -> Result<()> {
    let start = Instant::now();
    for ((number, sent), n) in (first..).zip(sent).zip(0..) {
        let invite = Request::new(number).invite();
        thread::sleep((start + every * n).saturating_duration_since(Instant::now()));
        let _is_the_first = sent.set(Instant::now());
        caller.send_to(invite.as_bytes(), ADDRESS)?;
    }
    Ok(())
}

/// The called side: rings and declines at once.
fn decline(callee: &UdpSocket, over: &AtomicBool) -> Result<()> {
    until(over, callee, |invite, router| {
        if invite.starts_with("INVITE ") {
            for status in ["180 Ringing", "486 Busy Here"] {
                callee.send_to(answer(invite, status).as_bytes(), router)?;
            }
        }
        Ok(())
    })
}

/// The calling side: notes when a call rang, once, and acknowledges its end.
fn hear(
    caller: &UdpSocket,
    first: u32,
    sent: &[OnceLock<Instant>],
    over: &AtomicBool,
) -> Result<Vec<Duration>> {
    let mut delays = vec![None; sent.len()];
    until(over, caller, |text, _| {
        let number = Request::number_in(text).filter(|number| *number >= first);
        let index = number.map(|number| (number - first) as usize);
        let call = index.and_then(|index| Some((delays.get_mut(index)?, sent[index].get()?)));
        let (Some(number), Some((delay, sent))) = (number, call) else {
            return Ok(());
        };
        let code = text.strip_prefix("SIP/2.0 ").and_then(|it| it.get(..3));
        match code {
            Some("180") => _ = delay.get_or_insert_with(|| sent.elapsed()),
            Some(code) if code >= "300" => {
                let ack = Request::new(number).ack(text);
                caller.send_to(ack.as_bytes(), ADDRESS)?;
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(delays.into_iter().flatten().collect())
}

/// Reads datagrams until all is over.
fn until(
    over: &AtomicBool,
    socket: &UdpSocket,
    mut heed: impl FnMut(&str, SocketAddr) -> Result<()>,
) -> Result<()> {
    let mut buffer = [0; 4096];
    socket.set_read_timeout(Some(LOOKS_EVERY))?;
    while !over.load(Ordering::Relaxed) {
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => heed(&String::from_utf8_lossy(&buffer[..length]), from)?,
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionRefused
                ) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}
