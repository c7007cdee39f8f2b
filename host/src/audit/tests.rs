//! Tests of the audit log: it goes on after a restart, and shows each kind of tampering.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use super::*;

/// A log of its own, removed in the end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let unique = format!("intertrunk-audit-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(unique);
        let _none_before = fs::remove_file(&path);
        Place(path)
    }

    fn audit(&self) -> Audit {
        Audit::open(Some(&self.0), Arc::default()).unwrap()
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.0).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn admin() -> Who {
    Who::Admin {
        peer: Some("127.0.0.1:5124".parse().unwrap()),
        token: Some("token".into()),
    }
}

fn three_changes(place: &Place) -> String {
    let audit = place.audit();
    let staged = Deed {
        sha256: Some("ab12".to_owned()),
        ..Deed::of("stage", "main")
    };
    audit.note(&admin(), &staged, Ok(()));
    audit.note(
        &admin(),
        &Deed::of("promote", "main"),
        Err(&"nothing staged"),
    );
    audit.note(
        &Who::Signal { signal: "SIGHUP" },
        &Deed::new("reload"),
        Ok(()),
    );
    place.text()
}

/// S12: a line says who did what, and what came of it.
#[test]
fn a_change_is_one_line() {
    let place = Place::new("line");
    let text = three_changes(&place);
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    let told = |n: usize, key: &str| lines[n][key].as_str().unwrap_or_default().to_owned();
    assert_eq!(told(0, "by"), "admin");
    assert_eq!(told(0, "peer"), "127.0.0.1:5124");
    assert_eq!(told(0, "token"), "token");
    assert_eq!(
        (told(0, "what"), told(0, "target")),
        ("stage".into(), "main".into())
    );
    assert_eq!(
        (told(0, "sha256"), told(0, "result")),
        ("ab12".into(), "done".into())
    );
    assert_eq!(told(1, "result"), "refused: nothing staged");
    assert_eq!(
        (told(2, "by"), told(2, "signal")),
        ("signal".into(), "SIGHUP".into())
    );
    assert_eq!(told(2, "prev"), told(1, "hash"));
    assert!(lines[2]["target"].is_null() && lines[2]["seq"] == 3);
}

/// S12: the chain goes on over restarts, and two nodes do not write one log.
#[test]
fn a_log_goes_on() {
    let place = Place::new("goes-on");
    three_changes(&place);
    let again = place.audit();
    let second = Audit::open(Some(&place.0), Arc::default()).unwrap_err();
    assert!(matches!(second, AuditFault::Taken { .. }), "{second}");
    again.note(&Who::Host, &Deed::new("start"), Ok(()));
    let chain = verify(place.text().as_bytes()).unwrap();
    assert_eq!((chain.lines, chain.torn), (4, false));
}

/// S12: a line that was altered, taken out, put in or moved shows, and where.
#[test]
fn tampering_shows() {
    let place = Place::new("tampered");
    let text = three_changes(&place);
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let broken = |text: &str| verify(text.as_bytes()).unwrap_err().line;
    assert_eq!(broken(&text.replacen("main", "evil", 1)), 1);
    assert_eq!(broken(&text.replace("refused: nothing staged", "done")), 2);
    assert_eq!(broken(&[lines[0], lines[2]].concat()), 2, "taken out");
    assert_eq!(
        broken(&[lines[1], lines[2]].concat()),
        1,
        "the first one, too"
    );
    assert_eq!(broken(&[lines[0], lines[2], lines[1]].concat()), 2, "moved");
    assert_eq!(broken(&[lines[0], lines[0], lines[1]].concat()), 2, "twice");
    assert_eq!(broken(&[lines[0], "nonsense\n", "nonsense\n"].concat()), 2);
    fs::write(&place.0, text.replacen("main", "evil", 1)).unwrap();
    let fault = Audit::open(Some(&place.0), Arc::default()).unwrap_err();
    assert!(fault.to_string().contains("line 1"), "{fault}");
}

/// S12: a crash in the middle of a line loses that line only.
#[test]
fn a_torn_line_is_left_behind() {
    let place = Place::new("torn");
    let text = three_changes(&place);
    fs::write(&place.0, format!("{text}{{\"seq\":4,\"at\":\"20")).unwrap();
    assert!(verify(place.text().as_bytes()).unwrap().torn);
    place.audit().note(&Who::Host, &Deed::new("start"), Ok(()));
    let chain = verify(place.text().as_bytes()).unwrap();
    assert_eq!((chain.lines, chain.torn), (4, false));
    // Nor does a second crash do harm.
    place.audit().note(&Who::Host, &Deed::new("start"), Ok(()));
    assert_eq!(verify(place.text().as_bytes()).unwrap().lines, 5);
}

#[test]
fn without_a_file_nothing_is_kept() {
    let audit = Audit::open(None, Arc::default()).unwrap();
    audit.note(&Who::Host, &Deed::new("start"), Ok(()));
    assert_eq!(audit.counters.read(Count::AuditWritten), 0);
}
