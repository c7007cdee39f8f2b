//! What a table of a million prefixes costs: bytes, and the time of a look-up.
//!
//! ```text
//! cargo run --release -p intertrunk --example table_cost
//! ```
//! The prefixes have two to eleven digits, as in a rate sheet, and lie in no order; keys are numbers of
//! which most have a prefix in the table. Bytes are exact. The time is that of waiting for memory, so it is
//! also given in reads that wait for one another, of as much memory.

#[path = "../src/tables.rs"]
#[allow(dead_code)]
mod tables;

use std::hint::black_box;
use std::time::Instant;

use cap::Cap;
use intertrunk_policy::{Row, Tables as _};
use mimalloc::MiMalloc;

use tables::{Table, Tables};

/// The host's.
#[global_allocator]
static HEAP: Cap<MiMalloc> = Cap::new(MiMalloc, usize::MAX);

const ROWS: usize = 1_000_000;
const LOOK_UPS: u64 = 1_000_000;

/// SplitMix64: the same numbers each time.
fn mixed(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn digits(n: u64, count: usize) -> String {
    let text = format!("{:020}", mixed(n));
    format!("+{}", &text[20 - count..])
}

fn main() {
    let mut keys = std::collections::BTreeSet::new();
    for n in 0.. {
        if keys.len() == ROWS {
            break;
        }
        let count = 2 + (mixed(n ^ 0xABCD) % 10) as usize;
        keys.insert(digits(n, count));
    }
    let row = |key: String| Row {
        key,
        columns: vec!["gw-a:0.0123".to_owned(), "gw-b:0.0131".to_owned()],
    };
    let rows: Vec<Row> = keys.into_iter().map(row).collect();
    let before = HEAP.allocated();
    // Of a copy, which is used up: what the numbers' own rows take is not the table's.
    let copy = rows.to_vec();
    let table = Table::by_prefix(copy).expect("it is small");
    let kept = HEAP.allocated() - before;
    drop(rows);
    println!("{ROWS} rows: {:.1} MB kept", kept as f64 / 1e6);

    let tables = Tables([("lcr".to_owned(), table.into())].into());
    let numbers: Vec<String> = (0..LOOK_UPS).map(|n| digits(n ^ 0x5555, 11)).collect();
    let began = Instant::now();
    let found = numbers
        .iter()
        .filter(|number| black_box(tables.longest_prefix("lcr", number)).is_some())
        .count();
    let each = began.elapsed().as_secs_f64() / LOOK_UPS as f64;
    let read = dependent_read(kept);
    println!(
        "longest prefix: {:.0} ns a look-up, its row included, as {:.1} reads of memory take; {found} of \
         {LOOK_UPS} found one",
        each * 1e9,
        each / read
    );
}

/// Seconds that a read takes whose address is what the read before it brought, of this many bytes.
fn dependent_read(bytes: usize) -> f64 {
    let mut next: Vec<usize> = (0..bytes / size_of::<usize>()).collect();
    // Sattolo's: one circle through all of it.
    for place in (1..next.len()).rev() {
        next.swap(place, mixed(place as u64) as usize % place);
    }
    let began = Instant::now();
    let last = (0..LOOK_UPS).fold(0, |place, _| next[place]);
    black_box(last);
    began.elapsed().as_secs_f64() / LOOK_UPS as f64
}
