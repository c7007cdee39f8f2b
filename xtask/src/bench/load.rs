//! Calls from SIPp to SIPp through the router.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::router::ADDRESS;
use crate::interop::sipp::{Sipp, Tally};

const CALLER: &str = "127.0.0.11:16070";
const CALLEE: &str = "127.0.0.21:16080";
/// Between two looks at a running load, and two probes of the post-dial delay.
const LOOKS_EVERY: Duration = Duration::from_millis(100);
/// For the callee's last look-out for a BYE that comes again, and for calls that fail slowly.
const LINGERS_FOR: Duration = Duration::from_secs(15);

/// SIPp's own sockets hold what comes in a few dozen milliseconds, and fail a call for each datagram that is
/// dropped while SIPp stands still.
const ROOM: [&str; 2] = ["-buff_size", "2097152"];

/// What kind of load.
pub struct Load<'a> {
    /// Where scenarios are and statistics go.
    pub dir: &'a Path,
    /// The called side's scenario.
    pub callee: &'static str,
    /// New calls a second.
    pub rate: u32,
    /// From ACK to BYE.
    pub talks_for: Duration,
}

/// A load under way.
pub struct Running {
    caller: Sipp,
    callee: Sipp,
    deadline: Instant,
}

/// What both sides agree on.
pub struct Outcome {
    /// Good on both sides.
    pub good: u32,
    /// Failed on the side where more did.
    pub failed: u32,
    /// Messages that SIPp had to send again, both sides.
    pub retransmissions: u32,
    /// What SIPp has to say of failures.
    pub errors: String,
}

impl Load<'_> {
    /// Starts both sides for `calls`.
    pub fn start(&self, calls: u32) -> Result<Running> {
        let budget = Duration::from_secs(u64::from(calls / self.rate))
            + self.talks_for
            + Duration::from_secs(30);
        let deadline = Instant::now() + budget;
        let callee = Sipp::start(self.dir, self.callee, CALLEE, calls, budget, &ROOM)?;
        callee.wait_until_bound(deadline)?;
        let rate = self.rate.to_string();
        let pause = self.talks_for.as_millis().to_string();
        let more = [
            "-inf",
            "numbers.csv",
            "-cid_str",
            "caller-%u-%p@%s",
            "-r",
            &rate,
            "-d",
            &pause,
            // More than are ever up: SIPp must never hold back.
            "-l",
            "20000",
            ROOM[0],
            ROOM[1],
            ADDRESS,
        ];
        let caller = Sipp::start(self.dir, "caller.xml", CALLER, calls, budget, &more)?;
        Ok(Running {
            caller,
            callee,
            deadline,
        })
    }
}

impl Running {
    /// Calls up as the caller counts them; 0 as long as it has not counted.
    pub fn calls_up(&self) -> u32 {
        self.caller.calls_up().unwrap_or(0)
    }

    /// Waits until all calls are over; meanwhile does something ten times a second.
    pub fn wait(mut self, mut meanwhile: impl FnMut() -> Result<()>) -> Result<Outcome> {
        let mut next = Instant::now();
        while !self.caller.has_ended()? {
            ensure!(Instant::now() < self.deadline, "calls do not end");
            meanwhile()?;
            next += LOOKS_EVERY;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        let deadline = Instant::now() + LINGERS_FOR;
        let caller = self.caller.finish(deadline)?;
        let callee = self.callee.finish(deadline)?;
        Ok(Outcome::of(&caller, &callee))
    }
}

impl Outcome {
    fn of(caller: &Tally, callee: &Tally) -> Outcome {
        Outcome {
            good: caller.good.min(callee.good),
            failed: caller.failed.max(callee.failed),
            retransmissions: caller.retransmissions + callee.retransmissions,
            errors: format!("{caller}\n{callee}"),
        }
    }
}
