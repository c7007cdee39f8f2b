//! The answer of `intertrunk route` as text for people.

use std::fmt;
use std::time::Duration;

use humantime::format_duration;

use super::report::{Dialling, Ending, Report, Step};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let caller = if self.caller.is_empty() {
            "somebody"
        } else {
            &self.caller
        };
        writeln!(f, "{caller} calls {} from trunk {}", self.to, self.from)?;
        if let (Some(policy), Some(sha256)) = (&self.policy, &self.policy_sha256) {
            let short = sha256.get(..12).unwrap_or(sha256);
            writeln!(
                f,
                "policy {policy} ({short}) decided in {} µs",
                self.decision_us
            )?;
        }
        section(f, "before it was asked again", &self.before)?;
        section(f, "fallback", &self.fallback)?;
        write!(f, "\n{}", self.ending)?;
        section(f, "refused by the host", &self.refused)?;
        section(f, "because", &self.because)?;
        let look_ups: Vec<String> = self.look_ups.iter().map(ToString::to_string).collect();
        section(f, "looked up", &look_ups)
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Connect(dialling) => dialling.fmt(f),
            Ending::Reject {
                code,
                phrase,
                q850,
                retry_after_s,
            } => {
                write!(f, "refused: {code} {phrase}")?;
                if let Some(cause) = q850 {
                    write!(f, ", Q.850 cause {cause}")?;
                }
                if let Some(seconds) = retry_after_s {
                    write!(f, ", try again after {seconds} s")?;
                }
                writeln!(f)
            }
            Ending::Redirect { contacts } => writeln!(f, "redirected: {}", contacts.join(", ")),
        }
    }
}

impl fmt::Display for Dialling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut group = None;
        for (place, step) in (1..).zip(&self.candidates) {
            let together = if group == Some(step.group) {
                "together with "
            } else {
                ""
            };
            write!(f, "{place}. {together}{step}")?;
            group = Some(step.group);
        }
        match self.ends_with {
            Some(code) => {
                let phrase = intertrunk_sip::reason_phrase(code);
                writeln!(f, "nobody is left: the caller gets {code} {phrase}")?;
            }
            None => writeln!(f, "if none answers, {}", self.when_exhausted)?,
        }
        if let Some(seconds) = self.max_duration_s {
            writeln!(f, "at most {seconds} s long")?;
        }
        section(f, "codes", &self.code_maps)?;
        section(f, "tags", &self.tags)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.trunk, self.peers.join(", "))?;
        match &self.skipped {
            Some(why) => writeln!(f, "  passed over: {why}")?,
            None => writeln!(f)?,
        }
        writeln!(
            f,
            "   called   {}  {}",
            or_nobody(&self.callee),
            self.request_uri
        )?;
        writeln!(f, "   calling  {}  {}", or_nobody(&self.caller), self.from)?;
        if let Some(asserted) = &self.asserted {
            writeln!(f, "   asserted {asserted}")?;
        }
        for header in &self.set_headers {
            writeln!(f, "   set      {header}")?;
        }
        for header in &self.remove_headers {
            writeln!(f, "   remove   {header}")?;
        }
        if self.media != "direct" {
            writeln!(f, "   media    {}", self.media)?;
        }
        let no_progress = format_duration(Duration::from_millis(self.no_progress_ms));
        let ring = format_duration(Duration::from_millis(self.ring_ms));
        let codes: Vec<String> = self.failover.iter().map(u16::to_string).collect();
        let codes = codes.join(" ");
        writeln!(
            f,
            "   next     after {no_progress} without progress, {ring} of ringing, or {codes}"
        )
    }
}

fn or_nobody(number: &str) -> &str {
    if number.is_empty() { "-" } else { number }
}

fn section(f: &mut fmt::Formatter<'_>, title: &str, lines: &[String]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{title}")?;
    for line in lines {
        writeln!(f, "   {line}")?;
    }
    Ok(())
}
