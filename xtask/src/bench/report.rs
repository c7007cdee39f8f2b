//! The table: medians over rounds, and ratios to the reference.

use std::fmt;
use std::time::Duration;

use super::router::{REFERENCE, Subject};
use super::{Args, Held, Turn};

impl Turn {
    /// CPU microseconds of a good call.
    fn cost(&self) -> f64 {
        self.cpu.as_micros() as f64 / f64::from(self.outcome.good)
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} µs of CPU a call, {} good, {} failed, {} retransmissions",
            self.cost(),
            self.outcome.good,
            self.outcome.failed,
            self.outcome.retransmissions
        )?;
        if self.outcome.failed > 0 {
            write!(f, "\n{}", self.outcome.errors)?;
        }
        Ok(())
    }
}

/// Prints what all turns came to, as Markdown.
pub fn print(subjects: &[Subject], turns: &[Vec<Turn>], held: &[Option<Held>], args: &Args) {
    let cost = |turns: &[Turn]| median(turns.iter().map(Turn::cost));
    let reference = subjects
        .iter()
        .zip(turns)
        .find(|(subject, _)| subject.name == REFERENCE)
        .map_or(f64::NAN, |(_, turns)| cost(turns));
    println!(
        "\n{} calls a second, {} calls a turn, medians of {} rounds; the ratio is to {REFERENCE}.\n",
        args.rate, args.calls, args.rounds
    );
    println!(
        "| router | CPU µs/call (least–most) | ratio | post-dial delay p50 / p99 µs \
         | failed | retransmitted | held KB/call, transactions gone (not yet) |"
    );
    println!("|---|---|---|---|---|---|---|");
    for ((subject, turns), held) in subjects.iter().zip(turns).zip(held) {
        let costs = || turns.iter().map(Turn::cost);
        println!(
            "| {} | {:.0} ({:.0}–{:.0}) | {:.2} | {} | {} | {} | {} |",
            subject.name,
            cost(turns),
            costs().fold(f64::INFINITY, f64::min),
            costs().fold(0.0, f64::max),
            cost(turns) / reference,
            delays(turns),
            turns.iter().map(|t| t.outcome.failed).sum::<u32>(),
            turns.iter().map(|t| t.outcome.retransmissions).sum::<u32>(),
            held.map_or("not measured".to_owned(), |held| format!(
                "{:.1} ({:.1})",
                held.settled / 1024.0,
                held.with_transactions / 1024.0
            )),
        );
    }
    println!();
}

/// Over the probes of all rounds together.
fn delays(turns: &[Turn]) -> String {
    let mut all: Vec<Duration> = turns
        .iter()
        .flat_map(|t| t.delays.iter().copied())
        .collect();
    all.sort_unstable();
    let lost: usize = turns.iter().map(|t| t.probes_lost).sum();
    let lost = match lost {
        0 => String::new(),
        n => format!(", {n} lost"),
    };
    match (quantile(&all, 50), quantile(&all, 99)) {
        (Some(half), Some(most)) => {
            format!("{} / {}{lost}", half.as_micros(), most.as_micros())
        }
        _ => format!("none{lost}"),
    }
}

/// The value that `percent` of the sorted ones do not exceed.
pub(super) fn quantile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 {
        values[half]
    } else {
        (values[half - 1] + values[half]) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::{median, quantile};
    use std::time::Duration;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        assert_eq!(median([9.0, 1.0, 5.0].into_iter()), 5.0);
        assert_eq!(median([9.0, 1.0, 5.0, 7.0].into_iter()), 6.0);
    }

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let values: Vec<_> = (1..=200).map(Duration::from_micros).collect();
        assert_eq!(quantile(&values, 50), Some(Duration::from_micros(100)));
        assert_eq!(quantile(&values, 99), Some(Duration::from_micros(198)));
        assert_eq!(quantile(&values[..1], 99), Some(Duration::from_micros(1)));
        assert_eq!(quantile(&[], 50), None);
    }
}
