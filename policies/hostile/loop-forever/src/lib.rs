//! Hostile: never returns, unless the called number is `sane`. Settings that say `loop` make
//! `configure` hang as well.

use std::hint::black_box;

use intertrunk_sdk::{Fault, Plan, Policy, Query, Verdict, policy};

/// Loops.
#[derive(Default)]
pub struct LoopForever;

impl Policy for LoopForever {
    fn configure(text: &str) -> Result<Self, Vec<Fault>> {
        if text.contains("loop") {
            spin();
        }
        Ok(LoopForever)
    }

    fn decide(&self, query: &Query) -> Verdict {
        if query.callee().user != "sane" {
            spin();
        }
        Plan::to("gw-a").into()
    }
}

fn spin() {
    let mut turns = 0_u64;
    while black_box(true) {
        turns = black_box(turns.wrapping_add(1));
    }
}

policy!(LoopForever);
