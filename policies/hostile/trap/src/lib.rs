//! Hostile: panics, unless the called number is `sane`. Then the plan is tagged with how many
//! questions this instance was asked, which shows whether it is the one that panicked before.

use std::cell::Cell;

use intertrunk_sdk::{Plan, Policy, Query, Verdict, policy};

/// Traps.
#[derive(Default)]
pub struct Trap {
    asked: Cell<u32>,
}

impl Policy for Trap {
    fn decide(&self, query: &Query) -> Verdict {
        self.asked.set(self.asked.get() + 1);
        match query.callee().user.as_str() {
            "sane" => Plan::to("gw-a")
                .tag("asked", self.asked.get().to_string())
                .into(),
            number => panic!("no idea where {number} is"),
        }
    }
}

policy!(Trap);
