//! Hostile: takes memory until there is none, unless the called number is `sane`; `boast` makes it
//! return more than anybody can want.

use std::hint::black_box;

use intertrunk_sdk::{Plan, Policy, Query, Verdict, policy};

const MIB: usize = 1 << 20;

/// Hoards.
#[derive(Default)]
pub struct Hoard;

impl Policy for Hoard {
    fn decide(&self, query: &Query) -> Verdict {
        match query.callee().user.as_str() {
            "sane" => Plan::to("gw-a").into(),
            "boast" => Plan::to("gw-a").cookie(vec![0; 4 * MIB]).into(),
            _ => {
                let mut hoard = Vec::new();
                while black_box(true) {
                    hoard.push(black_box(vec![1_u8; MIB]));
                }
                Verdict::Pass
            }
        }
    }
}

policy!(Hoard);
