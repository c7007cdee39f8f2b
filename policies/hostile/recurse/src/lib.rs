//! Hostile: recurses without end, unless the called number is `sane`.

use std::hint::black_box;

use intertrunk_sdk::{Plan, Policy, Query, Verdict, policy};

/// Recurses.
#[derive(Default)]
pub struct Recurse;

impl Policy for Recurse {
    fn decide(&self, query: &Query) -> Verdict {
        if query.callee().user != "sane" {
            black_box(deeper(1));
        }
        Plan::to("gw-a").into()
    }
}

fn deeper(depth: u64) -> u64 {
    if black_box(depth) == 0 {
        0
    } else {
        deeper(depth + 1).wrapping_add(black_box(1))
    }
}

policy!(Recurse);
