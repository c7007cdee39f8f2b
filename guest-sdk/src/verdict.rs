//! The answers other than a plan.

use crate::{Inquiry, LookUp, Plan, Rejection, Verdict, because};

impl Verdict {
    /// Refuses with this code, 400 to 699.
    pub fn reject(code: u16) -> Self {
        Rejection::with(code).into()
    }

    /// 403 Forbidden.
    pub fn forbidden() -> Self {
        Self::reject(403)
    }

    /// 404 Not Found.
    pub fn not_found() -> Self {
        Self::reject(404)
    }

    /// 484 Address Incomplete.
    pub fn address_incomplete() -> Self {
        Self::reject(484)
    }

    /// 503 Service Unavailable.
    pub fn unavailable() -> Self {
        Self::reject(503)
    }

    /// Explains: one line, kept if somebody asked why.
    pub fn because(self, text: &str) -> Self {
        because(text);
        self
    }
}

impl Rejection {
    /// Refuses with this code, 400 to 699.
    pub fn with(code: u16) -> Self {
        Rejection {
            code,
            phrase: None,
            q850: None,
            retry_after_s: None,
        }
    }

    /// Reason phrase, rather than the standard one.
    pub fn phrase(mut self, phrase: impl Into<String>) -> Self {
        self.phrase = Some(phrase.into());
        self
    }

    /// Q.850 cause for the Reason header (RFC 3326).
    pub fn q850(mut self, cause: u16) -> Self {
        self.q850 = Some(cause);
        self
    }

    /// Retry-After, seconds.
    pub fn retry_after_s(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }
}

impl Inquiry {
    /// Looks `key` up in a source that the configuration names; then the policy is asked again, and
    /// [`Query::answer`](crate::Query::answer) tells.
    pub fn of(source: impl Into<String>, key: impl Into<String>) -> Self {
        Inquiry {
            look_ups: Vec::new(),
            cookie: Vec::new(),
        }
        .and(source, key)
    }

    /// Looks this up at the same time.
    pub fn and(mut self, source: impl Into<String>, key: impl Into<String>) -> Self {
        self.look_ups.push(LookUp {
            source: source.into(),
            key: key.into(),
            timeout_ms: None,
        });
        self
    }

    /// Milliseconds to wait for each look-up so far that does not have its own limit.
    pub fn timeout_ms(mut self, ms: u32) -> Self {
        for look_up in &mut self.look_ups {
            look_up.timeout_ms.get_or_insert(ms);
        }
        self
    }

    /// Bytes that come back with the answers.
    pub fn cookie(mut self, cookie: impl Into<Vec<u8>>) -> Self {
        self.cookie = cookie.into();
        self
    }
}

impl From<Plan> for Verdict {
    fn from(plan: Plan) -> Self {
        Verdict::Connect(plan)
    }
}

impl From<Rejection> for Verdict {
    fn from(rejection: Rejection) -> Self {
        Verdict::Reject(rejection)
    }
}

impl From<Inquiry> for Verdict {
    fn from(inquiry: Inquiry) -> Self {
        Verdict::Inquire(inquiry)
    }
}
