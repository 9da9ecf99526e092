//! What a PV guest of Xen pays for instructions that Xen emulates, and for the calls in their place.

use pvops_core::irq;

use super::Bench;
use crate::measure::xen::{Meter, registers};

/// Runs all.
pub(super) fn run(bench: &Bench<'_>) {
    irq::without(|| registers(bench));
}

impl Meter for Bench<'_> {
    fn way(&self, work: &str, way: &str, body: impl FnMut(u64)) {
        // As kvm-unit-tests calls the same.
        let name = match work {
            "null" => "vmcall",
            "debug_register" => "mov_dr",
            other => other,
        };
        self.exit(name, way, body);
    }
}
