//! Whole pieces of work.

use super::{Bench, Work};
use crate::workloads::{self, WORKLOADS};

/// Runs all. The first time costs more, and is not counted.
pub(super) fn run(bench: &Bench<'_>) {
    const SAMPLES: usize = 5;
    let of = |name| Work::new("workload", name, "");
    if WORKLOADS
        .iter()
        .any(|workload| bench.wants(of(workload.name)))
    {
        workloads::warm_up();
    }
    for workload in &WORKLOADS {
        bench.take::<SAMPLES>(of(workload.name), workload.rounds, 0, workload.run);
    }
}
