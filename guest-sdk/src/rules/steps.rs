//! Expressions that are one piece after the other, such as `^\+1(\d{10})$`: most of a dial plan.
//!
//! They match without being compiled, which would take a fresh instance longer than the decision.

use std::ops::Range;

use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// Most pieces whose length is not fixed: each multiplies the ways to try by the number's length.
const OPEN_MAX: usize = 2;
/// Most groups, with the whole match: as many as have a digit for a name.
const GROUPS_MAX: usize = 10;

/// Pieces in order, from the beginning of the number.
#[derive(Clone, Debug)]
pub(super) struct Steps(Box<[Step]>);

#[derive(Clone, Debug)]
enum Step {
    Literal(Box<[u8]>),
    /// Bytes of a set, as many as there are.
    Some {
        set: Set,
        min: u32,
        max: u32,
    },
    Open(usize),
    Close(usize),
    End,
}

/// Some of all bytes.
#[derive(Clone, Copy, Debug)]
enum Set {
    /// From one to another: such as digits.
    Range(u8, u8),
    /// A bit each.
    Bits([u64; 4]),
}

/// Where the groups of a match lie, the whole first.
pub(super) struct Spans([Range<usize>; GROUPS_MAX]);

impl Spans {
    pub(super) fn of(&self, group: usize) -> Option<Range<usize>> {
        self.0.get(group).cloned()
    }
}

impl Steps {
    /// The pieces of an expression that is anchored at the beginning, if it is that simple.
    pub(super) fn of(hir: &Hir) -> Option<Steps> {
        let HirKind::Concat(all) = hir.kind() else {
            return None;
        };
        let (begin, rest) = all.split_first()?;
        if !matches!(begin.kind(), HirKind::Look(Look::Start)) {
            return None;
        }
        let mut read = Reading::default();
        rest.iter().try_for_each(|hir| read.add(hir))?;
        let is_open = |step: &&Step| matches!(step, Step::Some { min, max, .. } if min != max);
        let open = read.steps.iter().filter(is_open).count();
        let is_small = open <= OPEN_MAX && read.groups < GROUPS_MAX;
        is_small.then(|| Steps(read.steps.into()))
    }

    /// The match, if there is one.
    pub(super) fn find(&self, number: &[u8]) -> Option<Spans> {
        let mut spans = Spans([const { 0..0 }; GROUPS_MAX]);
        let end = follow(&self.0, number, 0, &mut spans)?;
        spans.0[0] = 0..end;
        Some(spans)
    }
}

/// Where the steps end that begin at `at`. Takes as many bytes as it can and gives back one after the
/// other, as expressions do.
fn follow(steps: &[Step], number: &[u8], mut at: usize, spans: &mut Spans) -> Option<usize> {
    let mut steps = steps.iter();
    while let Some(step) = steps.next() {
        match step {
            Step::Literal(literal) => {
                number[at..].strip_prefix(&**literal)?;
                at += literal.len();
            }
            Step::Some { set, min, max } => {
                let left = number[at..].iter().take(*max as usize);
                let most = left.take_while(|byte| set.has(**byte)).count();
                if most < *min as usize {
                    return None;
                }
                if min != max {
                    let rest = steps.as_slice();
                    let mut counts = (*min as usize..=most).rev();
                    return counts.find_map(|count| follow(rest, number, at + count, spans));
                }
                at += most;
            }
            // A way that is given up leaves its places behind, and the next puts its own there.
            Step::Open(group) => spans.0[*group].start = at,
            Step::Close(group) => spans.0[*group].end = at,
            Step::End => (at == number.len()).then_some(())?,
        }
    }
    Some(at)
}

#[derive(Default)]
struct Reading {
    steps: Vec<Step>,
    groups: usize,
}

impl Reading {
    fn add(&mut self, hir: &Hir) -> Option<()> {
        match hir.kind() {
            HirKind::Empty => {}
            HirKind::Literal(literal) => self.steps.push(Step::Literal(literal.0.clone())),
            HirKind::Look(Look::End) => self.steps.push(Step::End),
            HirKind::Class(class) => self.some(Set::of(class)?, 1, Some(1)),
            HirKind::Repetition(repetition) if repetition.greedy => {
                let set = match repetition.sub.kind() {
                    HirKind::Class(class) => Set::of(class)?,
                    HirKind::Literal(literal) => match *literal.0 {
                        [byte] => Set::Range(byte, byte),
                        _ => return None,
                    },
                    _ => return None,
                };
                self.some(set, repetition.min, repetition.max);
            }
            HirKind::Capture(capture) => {
                self.groups += 1;
                let group = self.groups;
                self.steps.push(Step::Open(group));
                match capture.sub.kind() {
                    HirKind::Concat(all) => all.iter().try_for_each(|hir| self.add(hir))?,
                    _ => self.add(&capture.sub)?,
                }
                self.steps.push(Step::Close(group));
            }
            HirKind::Look(_)
            | HirKind::Repetition(_)
            | HirKind::Concat(_)
            | HirKind::Alternation(_) => return None,
        }
        Some(())
    }

    fn some(&mut self, set: Set, min: u32, max: Option<u32>) {
        let max = max.unwrap_or(u32::MAX);
        self.steps.push(Step::Some { set, min, max });
    }
}

impl Set {
    fn of(class: &Class) -> Option<Set> {
        let Class::Bytes(class) = class else {
            return None;
        };
        if let [range] = class.ranges() {
            return Some(Set::Range(range.start(), range.end()));
        }
        let mut bits = [0; 4];
        for byte in class.iter().flat_map(|range| range.start()..=range.end()) {
            bits[usize::from(byte >> 6)] |= 1 << (byte & 63);
        }
        Some(Set::Bits(bits))
    }

    #[inline]
    fn has(&self, byte: u8) -> bool {
        match self {
            Set::Range(first, last) => (*first..=*last).contains(&byte),
            Set::Bits(bits) => bits[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::rules::Expr;

    const NUMBERS: [&str; 14] = [
        "",
        "9",
        "911",
        "0100",
        "92065550123",
        "+12065550123",
        "+442071234567",
        "+1",
        "900442071",
        "alice",
        "+14255550100;ext=7",
        "é",
        "+1é",
        "999",
    ];

    fn is_steps(text: &str) -> bool {
        let parsed = regex_syntax::ParserBuilder::new()
            .unicode(false)
            .utf8(false)
            .build()
            .parse(text);
        Steps::of(&parsed.unwrap()).is_some()
    }

    #[test]
    fn steps_match_and_replace_as_the_expression_does() {
        let texts = [
            r"^9(\d{10})$",
            r"^\+(\d*)$",
            r"^(\d{4})$",
            r"^\+1(\d{3})(\d+)$",
            r"^9+(\d+)",
            r"^",
            r"^(.*)1(\d*)$",
            r"^(\+\d+);ext=(\d+)$",
            r"^[^+](\w*)$",
            r"^9?(\d{2,4})",
            r"^$",
            r"^(9)(1)1",
            r"^((\d)\d)\d*$",
            r"^a.*e$",
        ];
        for text in texts {
            let regex = regex::bytes::RegexBuilder::new(text)
                .unicode(false)
                .build()
                .unwrap();
            let expr = Expr::new(text).unwrap();
            for number in NUMBERS {
                assert_eq!(
                    expr.is_match(number),
                    regex.is_match(number.as_bytes()),
                    "{text} {number}"
                );
                let groups = regex.captures_len() - 1;
                let to = ["$0", "<$1>", "<${1}|$2>"][groups.min(2)];
                let expected = regex
                    .is_match(number.as_bytes())
                    .then(|| regex.replace(number.as_bytes(), to.as_bytes()).into_owned());
                let got = expr.replace(number, to).map(String::into_bytes);
                // What is no text any more is no number.
                let expected = expected.filter(|it| std::str::from_utf8(it).is_ok());
                assert_eq!(got, expected, "{text} {number}");
            }
        }
    }

    #[test]
    fn what_a_dial_plan_is_made_of_is_not_compiled() {
        for text in [
            r"^9(\d{10})$",
            r"^\+(\d*)$",
            r"^\+1425555(\d{4})$",
            r"^(\+1[2-9]\d{9});ext=(\d+)$",
        ] {
            assert!(is_steps(text), "{text}");
        }
        for text in [
            "425",
            r"^\+1|99",
            r"^(a|bc)$",
            r"^(\d)*$",
            r"^\d+?$",
            r"^\d*\d*\d*$",
        ] {
            assert!(!is_steps(text), "{text}");
        }
        // One group more than there is room for: it is compiled, and does what it says.
        let nine = "^(9)(2)(0)(6)(5)(5)(5)(0)(1)";
        assert!(is_steps(nine) && !is_steps(&format!("{nine}(2)")));
        let ten = Expr::new(&format!("{nine}(2)")).unwrap();
        assert_eq!(ten.replace("92065550123", "$10$9").as_deref(), Some("213"));
    }
}
