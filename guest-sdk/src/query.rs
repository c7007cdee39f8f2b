//! Reading the question.

use std::slice;

use crate::{Attempt, Cause, Party, Query};

impl Query {
    /// Whom the caller wants.
    pub fn callee(&self) -> &Party {
        &self.call.callee
    }

    /// Who calls, as From says.
    pub fn caller(&self) -> &Party {
        &self.call.caller
    }

    /// Name of the trunk that the call came in on.
    pub fn ingress(&self) -> &str {
        &self.call.ingress
    }

    /// The trunk whose routes apply: a transfer is a new call of who transfers, any other call one of
    /// the trunk that it came in on.
    pub fn origin(&self) -> &str {
        match &self.cause {
            Cause::Transferred(transfer) => &transfer.by,
            Cause::NewCall | Cause::Exhausted(_) | Cause::Redirected(_) | Cause::Answered(_) => {
                self.ingress()
            }
        }
    }

    /// Where the call should go, best first: where it was redirected or transferred to, else whom the
    /// caller wants. Never empty.
    ///
    /// ```
    /// let query = intertrunk_sdk::test::query("pbx-a", "+14255550100");
    /// assert_eq!(query.destinations()[0].dialed(), "+14255550100");
    /// ```
    pub fn destinations(&self) -> &[Party] {
        match &self.cause {
            Cause::Redirected(targets) if !targets.is_empty() => targets,
            Cause::Transferred(transfer) => slice::from_ref(&transfer.target),
            Cause::NewCall | Cause::Redirected(_) | Cause::Exhausted(_) | Cause::Answered(_) => {
                slice::from_ref(self.callee())
            }
        }
    }

    /// The first header of this name, if the manifest asked for it.
    pub fn header<'a>(&'a self, name: &str) -> Option<&'a str> {
        self.headers(name).next()
    }

    /// All headers of this name, in the order of the message.
    pub fn headers<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        let named = move |header: &&crate::Header| header.name.eq_ignore_ascii_case(name);
        self.call
            .headers
            .iter()
            .filter(named)
            .map(|header| &*header.value)
    }

    /// Whether this is the first question about the call.
    pub fn is_new_call(&self) -> bool {
        matches!(self.cause, Cause::NewCall)
    }

    /// The attempts that failed, if the plan said to ask again after them; else none.
    pub fn attempts(&self) -> &[Attempt] {
        match &self.cause {
            Cause::Exhausted(attempts) => attempts,
            Cause::NewCall | Cause::Redirected(_) | Cause::Transferred(_) | Cause::Answered(_) => {
                &[]
            }
        }
    }

    /// What an outside source said to the inquiry for `key`; `None` if it did not answer.
    pub fn answer(&self, source: &str, key: &str) -> Option<&str> {
        let Cause::Answered(answers) = &self.cause else {
            return None;
        };
        let answer = answers
            .iter()
            .find(|it| it.source == source && it.key == key)?;
        answer.outcome.as_deref().ok()
    }
}
