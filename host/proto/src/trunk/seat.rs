//! How many calls fit on a trunk: a seat for each, held by the leg that uses it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::rate::Rate;
use super::state::{Health, Switch};
use super::{Trunk, TrunkState};
use crate::target::Mark;
use crate::time::Instant;

/// Which way a call uses a trunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Direction {
    /// From the trunk to us.
    In = 0,
    /// From us to the trunk.
    Out = 1,
}

/// Who wants a seat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wish {
    /// Which way it goes.
    pub direction: Direction,
    /// An emergency call passes every limit.
    pub emergency: bool,
    /// When.
    pub now: Instant,
}

/// Why there is no seat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Full {
    /// As many calls are up as there may be.
    Calls,
    /// New calls come faster than they may.
    Rate,
    /// Its peers do not answer.
    Down,
    /// An operator wants no new calls on it.
    Switched(Switch),
}

impl Full {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Full::Calls => "trunk full",
            Full::Rate => "trunk over its rate",
            Full::Down => "trunk down",
            Full::Switched(Switch::Draining) => "trunk draining",
            Full::Switched(_) => "trunk disabled",
        }
    }
}

/// One call's place on a trunk. Lives in the leg that uses it, so that the count of calls cannot
/// drift from the calls there are.
#[derive(Debug)]
pub struct Seat {
    state: Arc<TrunkState>,
    direction: Direction,
    emergency: bool,
    /// The target that the call goes to.
    target: Option<Arc<Mark>>,
}

impl Seat {
    /// Takes a place, or says why there is none.
    pub fn take(trunk: &Trunk, wish: Wish) -> Result<Seat, Full> {
        may_be_used(trunk, wish)?;
        // Count first, look after: two shards cannot both take the last place.
        let seat = Seat::count(&trunk.state, wish);
        if wish.emergency {
            return Ok(seat);
        }
        if is_full(trunk, wish.direction) {
            return Err(Full::Calls);
        }
        take_token(trunk, wish)?;
        Ok(seat)
    }

    /// The same, for a call to this target.
    pub(crate) fn at(mut self, target: &Arc<Mark>) -> Seat {
        target.call_begins();
        self.target = Some(Arc::clone(target));
        self
    }

    fn count(state: &Arc<TrunkState>, wish: Wish) -> Seat {
        let Wish {
            direction,
            emergency,
            ..
        } = wish;
        state.up[direction as usize].fetch_add(1, Ordering::Relaxed);
        if emergency {
            state.emergencies[direction as usize].fetch_add(1, Ordering::Relaxed);
        }
        Seat {
            state: Arc::clone(state),
            direction,
            emergency,
            target: None,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let direction = self.direction as usize;
        self.state.up[direction].fetch_sub(1, Ordering::Relaxed);
        if self.emergency {
            self.state.emergencies[direction].fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(target) = &self.target {
            target.call_ends();
        }
    }
}

/// Whether new calls may use the trunk at all. An emergency call is let in whatever an operator
/// wants, and is sent even where nobody seems to be, but not where an operator has cut the trunk off.
fn may_be_used(trunk: &Trunk, wish: Wish) -> Result<(), Full> {
    let Wish {
        direction,
        emergency,
        ..
    } = wish;
    match trunk.state.switch() {
        Switch::Enabled => {}
        Switch::Disabled if direction == Direction::Out => {
            return Err(Full::Switched(Switch::Disabled));
        }
        Switch::Draining | Switch::Disabled if emergency => {}
        switch => return Err(Full::Switched(switch)),
    }
    // A peer that calls is there after all.
    let down = trunk.state.measured() == Health::Down && direction == Direction::Out;
    match down && !emergency {
        true => Err(Full::Down),
        false => Ok(()),
    }
}

/// Whether more calls are up than may, with the one that has just been counted.
fn is_full(trunk: &Trunk, direction: Direction) -> bool {
    let state = &trunk.state;
    let emergencies = [0, 1].map(|d| state.emergencies[d].load(Ordering::Relaxed));
    // Of the reserve, what emergency calls have not taken yet is kept free.
    let kept = |emergencies: u32| trunk.reserve_emergency.saturating_sub(emergencies);
    let over = |calls: u32, emergencies: u32, max: Option<u32>| {
        max.is_some_and(|max| calls.saturating_add(kept(emergencies)) > max)
    };
    let (calls, max) = match direction {
        Direction::In => (state.incoming(), trunk.calls_in_max),
        Direction::Out => (state.outgoing(), trunk.calls_out_max),
    };
    over(state.active(), emergencies.iter().sum(), trunk.calls_max)
        || over(calls, emergencies[direction as usize], max)
}

/// A token of the trunk's rate, and one of the direction's: both or none.
fn take_token(trunk: &Trunk, wish: Wish) -> Result<(), Full> {
    let [both, incoming, outgoing] = &trunk.state.rates;
    let take = |bucket: &super::rate::Bucket, rate: Option<Rate>| match rate {
        Some(rate) => bucket.take(rate, wish.now).map_err(|_| Full::Rate),
        None => Ok(()),
    };
    take(both, trunk.rates.both)?;
    let of_direction = match wish.direction {
        Direction::In => take(incoming, trunk.rates.incoming),
        Direction::Out => take(outgoing, trunk.rates.outgoing),
    };
    of_direction.inspect_err(|_| {
        if let Some(rate) = trunk.rates.both {
            both.give_back(rate);
        }
    })
}
