//! Tells the story: a ladder, a table of calls, what the policy decided and why, a summary. Or all
//! of it as JSON.

use std::io::{self, IsTerminal, Write};

use intertrunk_proto::{LadderStep, Record};
use serde_json::{Value, json};

use super::Story;
use super::judge::Outcome;

/// Width of one column of the ladder, in characters.
const COLUMN: usize = 26;

/// Colours, when a person looks.
struct Paint(bool);

impl Paint {
    fn new() -> Paint {
        Paint(io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none())
    }

    fn with(&self, code: u8, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn good(&self, text: &str) -> String {
        self.with(32, text)
    }

    fn bad(&self, text: &str) -> String {
        self.with(31, text)
    }

    fn bold(&self, text: &str) -> String {
        self.with(1, text)
    }

    fn dim(&self, text: &str) -> String {
        self.with(2, text)
    }
}

/// For people.
pub fn text(story: &Story) -> io::Result<()> {
    let paint = Paint::new();
    let mut out = io::stdout().lock();
    // The first of those calls with the most legs makes the best picture.
    let told = story
        .outcomes
        .iter()
        .rev()
        .filter_map(|o| Some((o, o.record.as_ref()?)));
    if let Some((outcome, record)) = told.max_by_key(|(_, record)| record.attempts.len()) {
        writeln!(out, "{}\n", paint.bold(&heading(outcome, record)))?;
        writeln!(out, "{}", ladder(outcome, record))?;
    }
    writeln!(out, "{}", paint.bold("Every call"))?;
    calls(&mut out, story, &paint)?;
    writeln!(out, "\n{}", paint.bold("What the policy decided, and why"))?;
    reasons(&mut out, story, &paint)?;
    summary(&mut out, story, &paint)
}

fn heading(outcome: &Outcome, record: &Record) -> String {
    let call = outcome.call;
    format!(
        "One call on the wire: {} dials {} ({})",
        call.from, record.callee_in, call.shows
    )
}

fn calls(out: &mut impl Write, story: &Story, paint: &Paint) -> io::Result<()> {
    let head = format!(
        "  {:<34} {:<8} {:<8} {:<28} {:<28} {:>4} {:>4} {:>9}",
        "", "from", "to", "called", "calling", "code", "gen", "policy"
    );
    writeln!(out, "{}", paint.dim(&head))?;
    for outcome in &story.outcomes {
        let call = outcome.call;
        let mark = if outcome.differs.is_empty() {
            paint.good("✓")
        } else {
            paint.bad("✗")
        };
        let Some(record) = &outcome.record else {
            writeln!(out, "{mark} {:<34} {:<8} no record", call.shows, call.from)?;
            continue;
        };
        writeln!(
            out,
            "{mark} {:<34} {:<8} {:<8} {:<28} {:<28} {:>4} {:>4} {:>6} µs",
            call.shows,
            call.from,
            record.egress_trunk.as_deref().unwrap_or("-"),
            change(&record.callee_in, record.callee_out.as_deref()),
            change(&record.caller_in, record.caller_out.as_deref()),
            record.final_code,
            record.generation,
            record.decision_us,
        )?;
    }
    Ok(())
}

/// A number as received and as sent.
fn change(received: &str, sent: Option<&str>) -> String {
    match sent {
        Some(sent) if sent != received => format!("{received} → {sent}"),
        _ => received.to_owned(),
    }
}

fn reasons(out: &mut impl Write, story: &Story, paint: &Paint) -> io::Result<()> {
    for outcome in &story.outcomes {
        let Some(record) = &outcome.record else {
            continue;
        };
        let title = format!(
            "{} ({} → {})",
            outcome.call.shows, outcome.call.from, record.callee_in
        );
        writeln!(out, "  {title}")?;
        for line in &record.because {
            writeln!(out, "    {}", paint.dim(line))?;
        }
        for line in &record.refused {
            writeln!(out, "    {}", paint.dim(&format!("host refuses {line}")))?;
        }
        if let Some(fault) = &record.fallback {
            let line = format!("policy {}: {fault}; the fallback decides", record.policy);
            writeln!(out, "    {}", paint.dim(&line))?;
        }
        for attempt in &record.attempts {
            let line = format!("{}: {} {}", attempt.trunk, attempt.code, attempt.reason);
            writeln!(out, "    {}", paint.dim(line.trim_end()))?;
        }
    }
    Ok(())
}

fn summary(out: &mut impl Write, story: &Story, paint: &Paint) -> io::Result<()> {
    let bad: Vec<&Outcome> = story
        .outcomes
        .iter()
        .filter(|o| !o.differs.is_empty())
        .collect();
    for outcome in &bad {
        writeln!(out, "\n{} {}", paint.bad("✗"), outcome.call.shows)?;
        for line in &outcome.differs {
            writeln!(out, "    {line}")?;
        }
    }
    let calls = story.outcomes.len();
    writeln!(
        out,
        "\n{calls} calls in {:.1} s, {} as expected; policy swapped in {} ms with a call up, none lost",
        story.elapsed.as_secs_f32(),
        calls - bad.len(),
        story.swap.as_millis(),
    )?;
    if story.left_up > 0 {
        writeln!(
            out,
            "{}",
            paint.bad(&format!("{} calls are still up", story.left_up))
        )?;
    }
    let verdict = if story.is_good() {
        paint.good("All good.")
    } else {
        paint.bad("Not good.")
    };
    writeln!(out, "{verdict}")
}

/// The messages of a call between the caller, the host and each trunk tried.
fn ladder(outcome: &Outcome, record: &Record) -> String {
    let attempts = record.attempts.iter().map(|attempt| &*attempt.trunk);
    let parties: Vec<&str> = [outcome.call.from, "Intertrunk"]
        .into_iter()
        .chain(attempts)
        .collect();
    let mut picture = format!("{:>8}", "");
    for party in &parties {
        picture.push_str(&format!("{party:<COLUMN$}"));
    }
    picture.truncate(picture.trim_end().len());
    picture.push('\n');
    for step in &record.ladder {
        picture.push_str(&format!("{:>5} ms", step.at_ms));
        picture.push_str(&rung(step, parties.len()));
        picture.push('\n');
    }
    picture
}

/// One message: an arrow between the host's line and that of its leg.
fn rung(step: &LadderStep, parties: usize) -> String {
    let host = 1;
    let party = if step.leg == 0 {
        0
    } else {
        usize::from(step.leg) + 1
    };
    let (left, right) = (party.min(host), party.max(host));
    let mut line: Vec<char> = vec![' '; COLUMN * (parties - 1) + 4];
    let column = |place: usize| place * COLUMN + 3;
    for place in 0..parties {
        line[column(place)] = '│';
    }
    let (from, to) = (column(left) + 1, column(right.min(parties - 1)));
    line[from..to].fill('─');
    // Sent to the right, or received from the left, points right.
    if step.sent == (party > host) {
        line[to - 1] = '▶';
    } else {
        line[from] = '◀';
    }
    let label = format!(" {} ", step.what);
    for (place, c) in line[from + 3..to].iter_mut().zip(label.chars()) {
        *place = c;
    }
    line.into_iter().collect::<String>().trim_end().to_owned()
}

/// For programs.
pub fn json(story: &Story) -> io::Result<()> {
    let calls: Vec<Value> = story.outcomes.iter().map(call_json).collect();
    let whole = json!({
        "good": story.is_good(),
        "calls": calls,
        "swap_ms": millis(story.swap),
        "elapsed_ms": millis(story.elapsed),
        "left_up": story.left_up,
    });
    writeln!(io::stdout().lock(), "{whole:#}")
}

fn call_json(outcome: &Outcome) -> Value {
    let call = outcome.call;
    let mut value = json!({
        "shows": call.shows,
        "ingress_trunk": call.from,
        "caller_in": call.caller,
        "callee_in": call.dialled,
        "good": outcome.differs.is_empty(),
        "differs": outcome.differs,
    });
    if let Some(record) = &outcome.record {
        let attempts = record
            .attempts
            .iter()
            .map(|a| json!({ "trunk": &*a.trunk, "code": a.code }));
        value["egress_trunk"] = json!(record.egress_trunk.as_deref());
        value["caller_out"] = json!(record.caller_out);
        value["callee_out"] = json!(record.callee_out);
        value["final_code"] = json!(record.final_code);
        value["policy"] = json!(&*record.policy);
        value["generation"] = json!(record.generation);
        value["decision_us"] = json!(record.decision_us);
        value["fallback"] = json!(record.fallback.as_ref().map(|fault| fault.kind()));
        value["attempts"] = attempts.collect();
        value["because"] = json!(record.because);
        value["refused"] = json!(record.refused);
    }
    value
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::rung;
    use intertrunk_proto::{LadderStep, LadderWhat};

    fn step(leg: u8, sent: bool) -> LadderStep {
        LadderStep {
            at_ms: 0,
            leg,
            sent,
            what: LadderWhat::Request(0),
        }
    }

    #[test]
    fn arrows_point_where_the_message_goes() {
        let drawn = [(0, false), (0, true), (1, true), (2, true), (2, false)]
            .map(|(leg, sent)| rung(&step(leg, sent), 4));
        let expected = [
            "   │─── INVITE ─────────────▶│                         │                         │",
            "   │◀── INVITE ──────────────│                         │                         │",
            "   │                         │─── INVITE ─────────────▶│                         │",
            "   │                         │─── INVITE ───────────────────────────────────────▶│",
            "   │                         │◀── INVITE ────────────────────────────────────────│",
        ];
        assert_eq!(drawn, expected);
    }
}
