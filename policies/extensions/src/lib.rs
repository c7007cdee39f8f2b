//! The policy of the README: an extension of our own PBX first, else the public network.
//!
//! It takes no settings and looks at the called number only.

use intertrunk_sdk::{Plan, Policy, Query, Verdict, policy};

/// Calls to +1 425 go to the PBX by their last four digits, other numbers to a carrier.
#[derive(Default)]
pub struct LocalFirst;

impl Policy for LocalFirst {
    fn decide(&self, q: &Query) -> Verdict {
        match q.callee().e164() {
            Some(n) if n.starts_with("+1425") => Plan::to("pbx-a").callee(n.last(4)).into(),
            Some(n) => Plan::to("gw-a")
                .or("gw-b")
                .callee(n)
                .because("PSTN, least cost")
                .into(),
            None => Verdict::not_found(),
        }
    }
}

policy!(LocalFirst);

#[cfg(test)]
mod tests {
    #[test]
    fn decides_its_cases() {
        intertrunk_sdk::test::run_cases::<super::LocalFirst>("cases");
    }
}
