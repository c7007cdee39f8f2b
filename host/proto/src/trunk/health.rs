//! When a trunk is well: by what its targets answer, and by how its calls end (decision 90).
//!
//! ```text
//!   every target down ─────────────────────────────▶ Down
//!   none fully up: those that came back soak ──────▶ Degraded
//!   too few answers, too slow, too short ──────────▶ Degraded
//!   else ──────────────────────────────────────────▶ Up
//! ```
//! Owns the rules and the verdict. Sends nothing: that is `b2bua::watch`.

use std::fmt;
use std::time::Duration;

use super::tally::{Ended, Sums};
use super::{Health, Registered, Trunk};
use crate::rng::Rng;
use crate::target::Target;
use crate::time::Instant;

/// By what a trunk is judged.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HealthRules {
    /// Whether its targets answer when they are asked.
    pub options: Option<Options>,
    /// Whether they fail calls.
    pub breaker: Option<Breaker>,
    /// How its calls end.
    pub quality: Option<Quality>,
    /// How a target that was down comes back.
    pub soak: Option<Soak>,
}

/// OPTIONS outside of any dialog (RFC 3261 §11).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Time between two of ours; none are sent if absent.
    pub interval: Option<Duration>,
    /// The same while the target is down.
    pub down_interval: Duration,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// So many in a row without a good answer: down.
    pub down_after: u32,
    /// So many in a row with a good answer: up.
    pub up_after: u32,
    /// Answers that are none; every other final one is good.
    pub down_codes: Vec<u16>,
    /// The peer sends OPTIONS of its own at least so often: each counts as a good answer, and their
    /// lack means down.
    pub expect: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            interval: Some(Duration::from_secs(30)),
            down_interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            down_after: 3,
            up_after: 2,
            down_codes: vec![408, 502, 503, 504],
            expect: None,
        }
    }
}

/// Calls that a target leaves without an answer, answers 503, or that cannot be sent to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Breaker {
    /// So many in a row: down.
    pub failures: u32,
    /// For at least so long; where no OPTIONS are sent, exactly so long.
    pub retry: Duration,
}

/// Bounds on how calls to a trunk end, over a window that slides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quality {
    /// How far back is looked.
    pub window: Duration,
    /// Fewer attempts than this say nothing.
    pub calls_min: u32,
    /// Least answer-seizure ratio, in hundredths.
    pub asr_min: Option<u8>,
    /// Least network effectiveness ratio, in hundredths.
    pub ner_min: Option<u8>,
    /// Longest mean post-dial delay.
    pub pdd_max: Option<Duration>,
    /// Shortest mean duration of answered calls.
    pub acd_min: Option<Duration>,
}

/// How a target that was down comes back into use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Soak {
    /// So many of a hundred calls find it as if it were up; the others try it last.
    pub share: u8,
    /// Until it has answered so many calls,
    pub good: u32,
    /// or for so long.
    pub time: Duration,
}

/// Why a trunk is not well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ailment {
    /// We have to be registered there, and are not.
    Unregistered,
    /// No target answers.
    Silent,
    /// Targets have come back, and none has proved itself yet.
    Soaking,
    /// Hundredths of calls that were answered.
    Asr(u16),
    /// Hundredths of calls that the network has brought to an end of its kind.
    Ner(u16),
    /// Mean post-dial delay in milliseconds.
    Pdd(u32),
    /// Mean duration of calls in milliseconds.
    Acd(u32),
}

impl fmt::Display for Ailment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ailment::Unregistered => f.write_str("we are not registered there"),
            Ailment::Silent => f.write_str("no target is up"),
            Ailment::Soaking => f.write_str("its targets were down and are on probation"),
            Ailment::Asr(percent) => write!(f, "{percent} % of calls answered"),
            Ailment::Ner(percent) => write!(f, "{percent} % of calls brought through"),
            Ailment::Pdd(ms) => write!(f, "{ms} ms mean post-dial delay"),
            Ailment::Acd(ms) => write!(f, "{ms} ms mean duration"),
        }
    }
}

/// The window where a trunk has no rule of quality: what policies and operators are shown.
const WINDOW: Duration = Duration::from_secs(300);

impl Trunk {
    /// Whether anything is known of its health.
    pub(crate) fn is_watched(&self) -> bool {
        let HealthRules {
            options,
            breaker,
            quality,
            soak: _,
        } = &self.health;
        options.is_some() || breaker.is_some() || quality.is_some()
    }

    /// Whether we ask its targets how they are.
    pub(crate) fn asks(&self) -> bool {
        self.health
            .options
            .as_ref()
            .is_some_and(|o| o.interval.is_some())
    }

    /// How it is by its rules, and why if it is not well.
    pub(crate) fn appraise(&self, now: Instant) -> (Health, Option<Ailment>) {
        let required = self.register.as_ref().is_some_and(|r| r.required);
        if required && self.state.registered.how() != Registered::Yes {
            return (Health::Down, Some(Ailment::Unregistered));
        }
        let (mut any, mut usable, mut full) = (false, false, false);
        self.each_target(|target| {
            let [down, soaking] = self.ails(target, now);
            any = true;
            usable |= !down;
            full |= !down && !soaking;
        });
        // A name without an address is no sign of illness: its calls fail at once, by themselves.
        match any {
            true if !usable => return (Health::Down, Some(Ailment::Silent)),
            true if !full => return (Health::Degraded, Some(Ailment::Soaking)),
            true | false => {}
        }
        let ailment = self.health.quality.and_then(|q| q.ailment(&self.sums(now)));
        match ailment {
            Some(_) => (Health::Degraded, ailment),
            None => (Health::Up, None),
        }
    }

    /// Whether a target is down, and whether it is on probation.
    pub(crate) fn ails(&self, target: &Target, now: Instant) -> [bool; 2] {
        let soak = self.health.soak.as_ref();
        match self.is_watched() {
            true => [
                target.mark.is_down(now),
                soak.is_some_and(|soak| target.mark.is_soaking(soak, now)),
            ],
            false => [false, false],
        }
    }

    /// Whether targets on probation count as up for one call.
    pub(crate) fn draws_soaking(&self, rng: &mut Rng) -> bool {
        let share = self.health.soak.map_or(100, |soak| soak.share);
        rng.next_u64() % 100 < share.into()
    }

    /// Every target of every peer.
    pub(crate) fn each_target(&self, mut see: impl FnMut(&Target)) {
        for peer in &self.peers {
            peer.targets.now().targets.iter().for_each(&mut see);
        }
    }

    /// How calls to it have ended lately.
    pub fn sums(&self, now: Instant) -> Sums {
        self.state.tally.sums(self.window(), now)
    }

    pub(crate) fn attempt_ended(&self, ended: Ended, now: Instant) {
        self.state.tally.attempt_ended(ended, self.window(), now);
    }

    pub(crate) fn talk_ended(&self, talk: Duration, now: Instant) {
        self.state.tally.talk_ended(talk, self.window(), now);
    }

    fn window(&self) -> Duration {
        self.health.quality.map_or(WINDOW, |quality| quality.window)
    }
}

impl Quality {
    fn ailment(&self, sums: &Sums) -> Option<Ailment> {
        if sums.attempts < self.calls_min {
            return None;
        }
        let below =
            |permille: u16, min: Option<u8>| min.is_some_and(|m| permille < u16::from(m) * 10);
        let ms = |d: Duration| u32::try_from(d.as_millis()).unwrap_or(u32::MAX);
        let (asr, ner, pdd) = (sums.asr_permille(), sums.ner_permille(), sums.pdd_mean_ms());
        let short = sums
            .acd_ms()
            .filter(|acd| self.acd_min.is_some_and(|min| *acd < ms(min)));
        match () {
            () if below(ner, self.ner_min) => Some(Ailment::Ner(ner / 10)),
            () if below(asr, self.asr_min) => Some(Ailment::Asr(asr / 10)),
            () if self.pdd_max.is_some_and(|max| pdd > ms(max)) => Some(Ailment::Pdd(pdd)),
            () => short.map(Ailment::Acd),
        }
    }
}
