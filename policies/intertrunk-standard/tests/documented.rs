//! Every example of `docs/dial-plan.md` is a dial plan that is read, and every key of its tables is one.

#![allow(clippy::unwrap_used)]

use intertrunk_sdk::Policy;
use intertrunk_standard::Standard;

const PAGE: &str = include_str!("../../../docs/dial-plan.md");

/// A route, where an example has none: a dial plan without routes is refused.
const ROUTE: &str = "\n[[route]]\nname = 'any'\nto = 'gw-a'\n";

fn faults_of(text: &str) -> Vec<String> {
    let text = match text.contains("[[route]]") {
        true => text.to_owned(),
        false => format!("{text}{ROUTE}"),
    };
    let faults = Standard::configure(&text).err().unwrap_or_default();
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn the_examples_are_read() {
    let blocks: Vec<&str> = PAGE
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("\n```").next().unwrap())
        .collect();
    assert!(blocks.len() >= 2, "{}", blocks.len());
    for block in blocks {
        assert_eq!(faults_of(block), [""; 0], "{block}");
    }
}

/// Keys in the first column of the tables of a section.
fn keys(section: &str) -> Vec<&str> {
    let start = PAGE.find(&format!("\n## {section}\n")).unwrap();
    let text = &PAGE[start + 4..];
    let text = text.split("\n## ").next().unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.map(|row| row.split(" | ").next().unwrap());
    cells
        .flat_map(|cell| cell.split('`').step_by(2))
        .filter(|key| !key.trim_matches([',', ' ']).is_empty())
        .collect()
}

#[test]
fn the_keys_are_known() {
    for (section, table) in [
        ("Scopes", "[[trunk]]\nname = 'gw-a'"),
        ("`[[normalize]]`", "[[normalize]]"),
        ("`[[route]]`", "[[route]]\nname = 'x'\nto = 'gw-a'"),
        ("Patterns", "[[route]]\nname = 'x'\nto = 'gw-a'"),
        ("`[[emergency]]`", "[[emergency]]\nto = 'gw-a'"),
        ("`[[limit]]`", "[[limit]]"),
    ] {
        let keys = keys(section);
        assert!(keys.len() >= 6, "{section}: {keys:?}");
        for key in keys {
            // Keys of sites and of all are none of a trunk.
            if table.starts_with("[[trunk]]")
                && ["location_routing", "routing_usages"].contains(&key)
            {
                continue;
            }
            // An array of arrays is a value of no key, so a key that is known is told to be wrong, or
            // to be there twice.
            let faults = faults_of(&format!("{table}\n{key} = [[[]]]\n"));
            assert!(!faults.is_empty(), "{section}: {key}");
            assert!(
                !faults.iter().any(|fault| fault.contains("unknown key")),
                "{section}: {key}: {faults:?}"
            );
        }
    }
}
