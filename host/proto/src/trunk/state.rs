//! What all shards know of a trunk at this moment: calls that are up, whether it may be used.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use serde::{Deserialize, Serialize};

use super::Trunk;
use super::rate::Bucket;
use super::registered::Registration;
use super::seat::Direction;
use super::tally::Tally;

/// Whether a trunk may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[repr(u8)]
pub enum Health {
    /// In use.
    #[default]
    Up = 0,
    /// Tried last.
    Degraded = 1,
    /// Not tried.
    Down = 2,
    /// Switched off by an operator.
    Disabled = 3,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Health {
    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Up => "up",
            Health::Degraded => "degraded",
            Health::Down => "down",
            Health::Disabled => "disabled",
        }
    }

    fn of(number: u8) -> Health {
        match number {
            0 => Health::Up,
            1 => Health::Degraded,
            2 => Health::Down,
            _ => Health::Disabled,
        }
    }
}

/// What an operator wants of a trunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum Switch {
    /// It takes calls as its health allows.
    #[default]
    Enabled = 0,
    /// It finishes its calls and takes no new ones, in neither direction.
    Draining = 1,
    /// The same; nobody asks how it is, and no call for help is sent to it.
    Disabled = 2,
}

impl Switch {
    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Switch::Enabled => "enabled",
            Switch::Draining => "draining",
            Switch::Disabled => "disabled",
        }
    }
}

/// The live state of one trunk.
#[derive(Debug, Default)]
pub struct TrunkState {
    /// Calls up, and the emergency calls among them, by direction.
    pub(super) up: [AtomicU32; 2],
    pub(super) emergencies: [AtomicU32; 2],
    pub(super) rates: [Bucket; 3],
    pub(super) tally: Tally,
    /// Our registration there.
    pub registered: Registration,
    measured: AtomicU8,
    switch: AtomicU8,
    near_limit: AtomicBool,
    turn: AtomicU32,
}

/// From here on, in hundredths of a limit, somebody should know; and from there on no longer.
const NEAR_LIMIT: [u64; 2] = [90, 80];

impl TrunkState {
    /// Calls up that came in on this trunk.
    pub fn incoming(&self) -> u32 {
        self.up[Direction::In as usize].load(Ordering::Relaxed)
    }

    /// Calls up, or being tried, that went out on this trunk.
    pub fn outgoing(&self) -> u32 {
        self.up[Direction::Out as usize].load(Ordering::Relaxed)
    }

    /// Both directions.
    pub fn active(&self) -> u32 {
        self.incoming() + self.outgoing()
    }

    /// A number that grows by one each time: whose turn it is among peers.
    pub(crate) fn next_turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed) as usize
    }

    /// Whether it may be used: what was measured, unless an operator has switched it off.
    pub fn health(&self) -> Health {
        match self.switch() {
            Switch::Enabled => self.measured(),
            Switch::Draining | Switch::Disabled => Health::Disabled,
        }
    }

    /// How it is, whatever an operator wants.
    pub fn measured(&self) -> Health {
        Health::of(self.measured.load(Ordering::Relaxed))
    }

    /// Sets how it is. Gives what it was before.
    pub(crate) fn set_measured(&self, health: Health) -> Health {
        let before = self.measured();
        if before == health {
            return before;
        }
        Health::of(self.measured.swap(health as u8, Ordering::Relaxed))
    }

    /// What an operator wants.
    pub fn switch(&self) -> Switch {
        match self.switch.load(Ordering::Relaxed) {
            0 => Switch::Enabled,
            1 => Switch::Draining,
            _ => Switch::Disabled,
        }
    }

    /// Sets what an operator wants.
    pub fn set_switch(&self, switch: Switch) {
        self.switch.store(switch as u8, Ordering::Relaxed);
    }

    /// Makes it look like this, as if it had been measured or switched so. For simulations.
    pub fn set_health(&self, health: Health) {
        match health {
            Health::Disabled => self.set_switch(Switch::Disabled),
            Health::Up | Health::Degraded | Health::Down => {
                self.set_switch(Switch::Enabled);
                self.set_measured(health);
            }
        }
    }

    /// Whether it is near one of its limits.
    pub fn is_near_limit(&self) -> bool {
        self.near_limit.load(Ordering::Relaxed)
    }
}

impl Trunk {
    /// Hundredths that are taken of the limit that it is nearest to; none without a limit.
    pub fn load_percent(&self) -> Option<u64> {
        let state = &self.state;
        let limits = [
            (state.active(), self.calls_max),
            (state.incoming(), self.calls_in_max),
            (state.outgoing(), self.calls_out_max),
        ];
        let percent = |(calls, max): (u32, Option<u32>)| {
            let max = u64::from(max?.max(1));
            Some(u64::from(calls) * 100 / max)
        };
        limits.into_iter().filter_map(percent).max()
    }

    /// Looks whether it has come near a limit, or is no longer. Says so once for each change.
    pub(crate) fn mind_limit(&self) -> Option<bool> {
        let load = self.load_percent()?;
        let was_near = self.state.is_near_limit();
        let near = load >= NEAR_LIMIT[usize::from(was_near)];
        let changed = near != was_near;
        (changed && self.state.near_limit.swap(near, Ordering::Relaxed) == was_near).then_some(near)
    }
}
