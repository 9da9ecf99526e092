//! How many call sites each op has, and what becomes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use pvops_core::binding::Outcome;

use crate::table;

/// In the order in which outcomes are told.
const OUTCOMES: [Outcome; 5] = [
    Outcome::Inline,
    Outcome::Call,
    Outcome::Jump,
    Outcome::Nop,
    Outcome::Trap,
];

/// Counts of sites by op number and outcome.
#[derive(Default)]
pub(super) struct Totals(BTreeMap<(u16, &'static str), usize>);

impl Totals {
    /// Counts one site of `op`; no outcome stands for an op that the backend does not know.
    pub(super) fn add(&mut self, op: u16, outcome: Option<Outcome>) {
        *self.0.entry((op, word(outcome))).or_insert(0) += 1;
    }

    /// Prints a table of ops and the sums.
    pub(super) fn print(
        &self,
        op_names: &[&str],
        backend: &str,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let rows: Vec<_> = self
            .0
            .iter()
            .map(|(&(op, outcome), count)| {
                let name = op_names[usize::from(op)];
                vec![name.into(), count.to_string(), outcome.into()]
            })
            .collect();
        table::print(out, &["op", "sites", &format!("with {backend}")], &rows)?;
        let ops = self.0.keys().map(|&(op, _)| op);
        writeln!(
            out,
            "\n{} call sites of {} ops; the image knows {} ops",
            self.0.values().sum::<usize>(),
            ops.collect::<BTreeSet<_>>().len(),
            op_names.len()
        )?;
        let mut sums = OUTCOMES
            .map(|outcome| format!("{} {}", self.sum(Some(outcome)), word(Some(outcome))))
            .join(", ");
        match self.sum(None) {
            0 => {}
            unknown => sums += &format!(", {unknown} unknown"),
        }
        writeln!(out, "{backend} makes of them: {sums}")
    }

    fn sum(&self, outcome: Option<Outcome>) -> usize {
        let these = self
            .0
            .iter()
            .filter(|((_, found), _)| *found == word(outcome));
        these.map(|(_, count)| count).sum()
    }
}

fn word(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Inline) => "inline",
        Some(Outcome::Call) => "call",
        Some(Outcome::Jump) => "jump",
        Some(Outcome::Nop) => "nop",
        Some(Outcome::Trap) => "trap",
        None => "unknown",
    }
}
