//! Asks a number portability database before a call goes out.
//!
//! The outside source `lnp` says by which routing number a number is reached, or nothing if it was
//! never ported. No answer is no reason to refuse a call: it goes out as dialled. What is no number is
//! not this policy's business, and the next one of the chain decides.

use intertrunk_sdk::{Cause, Inquiry, Plan, Policy, Query, Verdict, policy};

/// The source, as the configuration names it.
const SOURCE: &str = "lnp";
/// A caller waits meanwhile.
const PATIENCE_MS: u32 = 300;

/// To the PSTN, by the number that the called number was ported to.
#[derive(Default)]
pub struct Portability;

impl Policy for Portability {
    fn decide(&self, q: &Query) -> Verdict {
        let Some(number) = q.callee().e164() else {
            return Verdict::Pass;
        };
        let number = number.to_string();
        if !matches!(q.cause, Cause::Answered(_)) {
            return Inquiry::of(SOURCE, number).timeout_ms(PATIENCE_MS).into();
        }
        match q.answer(SOURCE, &number) {
            Some(routing) if !routing.is_empty() => Plan::to("gw-a")
                .or("gw-b")
                .callee(routing)
                .tag("ported", "yes"),
            Some(_) => Plan::to("gw-a").or("gw-b").callee(number),
            None => Plan::to("gw-a")
                .or("gw-b")
                .callee(number)
                .because("the portability database did not answer"),
        }
        .into()
    }
}

policy!(Portability);

#[cfg(test)]
mod tests {
    #[test]
    fn decides_its_cases() {
        intertrunk_sdk::test::run_cases::<super::Portability>("cases");
    }
}
