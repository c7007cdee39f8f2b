//! What the kernel has counted of a process and all that it started: time and memory.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Ticks of `/proc/PID/stat`: USER_HZ, 100 on every Linux that this runs on.
const TICKS_PER_SECOND: u64 = 100;

/// One line of `/proc/PID/stat`.
struct Stat {
    parent: u32,
    cpu: Duration,
}

/// `root` and all that descends from it.
pub fn tree(root: u32) -> Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(id) = entry?.file_name().to_str().and_then(|s| s.parse().ok()) else {
            continue;
        };
        // One that ended since has nothing to tell.
        if let Ok(stat) = stat(id) {
            parents.push((id, stat.parent));
        }
    }
    let mut tree = vec![root];
    let mut seen = 0;
    while let Some(&parent) = tree.get(seen) {
        tree.extend(parents.iter().filter(|p| p.1 == parent).map(|p| p.0));
        seen += 1;
    }
    Ok(tree)
}

/// Processor time of the tree under `root`, user and system together, children that have ended
/// included.
///
/// The sum only: it comes from the scheduler's clock, but what part of it is the kernel's is guessed
/// from who runs when the timer ticks, and load that timers drive is never where that guess looks.
pub fn cpu(root: u32) -> Result<Duration> {
    tree(root)?.into_iter().map(|id| Ok(stat(id)?.cpu)).sum()
}

/// Proportional set size of the tree under `root`, in bytes: what processes share counts once.
pub fn memory(root: u32) -> Result<u64> {
    let mut sum = 0;
    for id in tree(root)? {
        let path = format!("/proc/{id}/smaps_rollup");
        let text = fs::read_to_string(&path).with_context(|| path.clone())?;
        sum += kibibytes(&text).with_context(|| format!("{path} has no Pss"))? * 1024;
    }
    Ok(sum)
}

fn stat(id: u32) -> Result<Stat> {
    let path = format!("/proc/{id}/stat");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    parse(&text).with_context(|| format!("{path} is in no known form"))
}

/// proc(5): after the name in brackets come state, parent, … and as 14th to 17th field of the whole
/// utime, stime, cutime, cstime.
fn parse(line: &str) -> Option<Stat> {
    let (_, rest) = line.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let mut ticks = 0;
    for field in fields.get(11..15)? {
        ticks += field.parse::<u64>().ok()?;
    }
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        cpu: Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND),
    })
}

fn kibibytes(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{cpu, kibibytes, memory, parse, tree};
    use std::time::Duration;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let line = "77 (odd ) name) S 5 77 77 0 -1 0 1 2 3 4 11 22 33 44 20 0 1 0 9 1 1";
        let stat = parse(line).expect("a well-formed line");
        assert_eq!(stat.parent, 5);
        assert_eq!(stat.cpu, Duration::from_millis(1100));
        assert!(parse("77 (short) S 5 77").is_none());
    }

    #[test]
    fn proportional_set_size_is_the_line_of_that_name() {
        let text = "Rss:  900 kB\nPss:                1234 kB\nPss_Anon: 1000 kB\n";
        assert_eq!(kibibytes(text), Some(1234));
        assert_eq!(kibibytes("Pss_Anon: 1000 kB\n"), None);
    }

    #[test]
    fn the_kernel_tells_of_this_process() {
        let me = std::process::id();
        assert!(tree(me).expect("proc is there").contains(&me));
        assert!(cpu(me).is_ok());
        assert!(memory(me).expect("own memory may be read") > 0);
    }
}
