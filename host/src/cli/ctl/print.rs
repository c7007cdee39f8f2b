//! JSON of the admin API as text for people.

use std::fmt::Write;

use serde_json::Value;

/// A column of a table: its title and where its value is in a row (RFC 6901).
pub struct Column(pub &'static str, pub &'static str);

/// Columns of the trunks.
pub const TRUNKS: &[Column] = &[
    Column("TRUNK", "/name"),
    Column("KIND", "/kind"),
    Column("HEALTH", "/health"),
    Column("STATE", "/state"),
    Column("IN", "/calls_in"),
    Column("OUT", "/calls_out"),
    Column("LIMIT", "/max_calls"),
    Column("REGISTRATION", "/registration/state"),
    Column("POLICY", "/policy"),
];

/// Columns of the calls.
pub const CALLS: &[Column] = &[
    Column("CALL", "/call_id"),
    Column("STATE", "/state"),
    Column("FROM", "/ingress_trunk"),
    Column("TO", "/egress_trunk"),
    Column("CALLER", "/caller_in"),
    Column("CALLEE", "/callee_in"),
    Column("SINCE", "/started_at"),
];

/// Columns of the blocks.
pub const BLOCKED: &[Column] = &[
    Column("SOURCE", "/source"),
    Column("OFFENCE", "/offence"),
    Column("UNTIL", "/until"),
    Column("TIMES", "/times"),
    Column("DROPPED", "/dropped"),
];

/// Columns of the policies.
pub const POLICIES: &[Column] = &[
    Column("POLICY", "/name"),
    Column("LIVE", "/live/generation"),
    Column("VERSION", "/live/version"),
    Column("STAGED", "/staged/generation"),
    Column("CANARY %", "/canary/percent"),
    Column("PREVIOUS", "/previous/generation"),
    Column("DECISIONS", "/decisions"),
    Column("QUARANTINED", "/quarantined"),
];

/// Rows of a list, whether it comes bare or as the one array of an object.
pub fn rows(body: &Value) -> Vec<&Value> {
    let array = body.as_array().or_else(|| {
        let mut arrays = body.as_object()?.values().filter_map(Value::as_array);
        arrays.next().filter(|_| arrays.next().is_none())
    });
    array.map(|rows| rows.iter().collect()).unwrap_or_default()
}

/// What a reload would change.
pub fn review(body: &Value) -> String {
    let list = |key: &str| body[key].as_array().map_or(&[][..], Vec::as_slice);
    let texts = |key: &str| {
        list(key)
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
    };
    let mut text: String = list("changes")
        .iter()
        .filter_map(|change| change["diff"].as_str())
        .collect();
    for warning in texts("warnings") {
        let _infallible = writeln!(text, "{warning}");
    }
    let policies = match &texts("policies")[..] {
        [] => "no policy gets a new generation".to_owned(),
        names => format!("a new generation of {}", names.join(", ")),
    };
    let nothing = list("changes").is_empty() && texts("policies").is_empty();
    let verdict = match nothing {
        true => "nothing would change".to_owned(),
        false => format!("good: {policies}; {} cases passed", body["cases_passed"]),
    };
    text + &verdict + "\n"
}

/// A table if there are columns for one, else one line for each key.
pub fn to_text(body: &Value, columns: &[Column]) -> String {
    let mut text = String::new();
    if columns.is_empty() {
        outline(&mut text, body, 0);
    } else {
        table(&mut text, &rows(body), columns);
    }
    text
}

fn table(text: &mut String, rows: &[&Value], columns: &[Column]) {
    let titles = columns.iter().map(|column| column.0.to_owned()).collect();
    let cells = rows
        .iter()
        .map(|row| columns.iter().map(|c| cell(row.pointer(c.1))).collect());
    let lines: Vec<Vec<String>> = std::iter::once(titles).chain(cells).collect();
    let width = |i: usize| {
        lines
            .iter()
            .map(|line| line[i].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    for line in &lines {
        let padded = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Nested keys as an indented outline; lists of plain values one a line.
fn outline(text: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    let mut line = |key: &str, value: &Value| {
        if matches!(value, Value::Object(o) if !o.is_empty())
            || matches!(value, Value::Array(a) if !a.is_empty())
        {
            let _infallible = writeln!(text, "{indent}{key}");
            outline(text, value, depth + 1);
        } else {
            let space = if key.is_empty() { "" } else { "  " };
            let _infallible = writeln!(text, "{indent}{key}{space}{}", cell(Some(value)));
        }
    };
    match value {
        Value::Object(entries) => entries.iter().for_each(|(key, value)| line(key, value)),
        Value::Array(items) => items.iter().for_each(|item| match item {
            Value::Object(_) | Value::Array(_) => line("-", item),
            plain => line("", plain),
        }),
        plain => line("", plain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_become_tables() {
        let body = json!([
            {"name": "gw-a", "kind": "pstn", "health": "up", "state": "enabled", "calls_in": 0, "calls_out": 12, "registration": {"state": "registered"}},
            {"name": "pbx", "kind": "pbx", "health": "down", "state": "draining", "calls_in": 3, "calls_out": 0, "max_calls": 5},
        ]);
        let expected = "\
TRUNK  KIND  HEALTH  STATE     IN  OUT  LIMIT  REGISTRATION  POLICY
gw-a   pstn  up      enabled   0   12   -      registered    -
pbx    pbx   down    draining  3   0    5      -             -
";
        assert_eq!(to_text(&body, TRUNKS), expected);
        assert_eq!(to_text(&json!({"trunks": body}), TRUNKS), expected);
    }

    #[test]
    fn objects_become_outlines() {
        let body =
            json!({"node": "edge-1", "calls": {"active": 2}, "because": ["a", "b"], "none": []});
        assert_eq!(
            to_text(&body, &[]),
            "because\n  a\n  b\ncalls\n  active  2\nnode  edge-1\nnone  []\n"
        );
    }
}
