//! What reading clocks and ports costs.

use core::hint::black_box;

use pvops_core::{cpu, io, time};

use super::{Bench, arch};
use crate::boot;
use crate::clocks::{Hpet, Pit};

/// Runs all that this host has.
pub(super) fn run(bench: &Bench<'_>) {
    library(bench);
    timers(bench);
    if !bench.lacks("ring-0") {
        ports(bench);
    }
}

#[inline(never)]
fn library(bench: &Bench<'_>) {
    bench.exit("clock", "op", |_| {
        black_box(time::clock_ns());
    });
    bench.exit("rdtsc", "instruction", |_| {
        // SAFETY: reading the time-stamp counter has no effect.
        black_box(unsafe { arch::_rdtsc() });
    });
    bench.exit("rdtsc", "op", |_| {
        black_box(cpu::read_tsc_ordered());
    });
}

/// What a kernel without a clock of the host's reads.
#[inline(never)]
fn timers(bench: &Bench<'_>) {
    if let Some(port) = boot::pm_timer() {
        // SAFETY: reading the timer has no effect.
        bench.exit("inl_from_pmtimer", "op", |_| unsafe {
            black_box(io::in32(port));
        });
    }
    if !bench.lacks("pit") {
        let pit = Pit::start();
        bench.exit("pit", "op", |_| {
            black_box(pit.read());
        });
    }
    if let Some(hpet) = Hpet::start() {
        bench.exit("mmio_from_hpet", "instruction", |_| {
            black_box(hpet.read());
        });
    }
}

#[inline(never)]
fn ports(bench: &Bench<'_>) {
    /// The edge-and-level register of the first interrupt controller, in the kernel's part of KVM.
    const EDGE_LEVEL: u16 = 0x4d0;
    /// Nobody's.
    const NOBODY: u16 = 0x1234;
    // SAFETY: reading these ports has no effect, and all interrupts of the controller are masked.
    unsafe {
        bench.exit("inl_from_qemu", "op", |_| {
            black_box(io::in32(NOBODY));
        });
        bench.exit("inl_from_kernel", "op", |_| {
            black_box(io::in8(EDGE_LEVEL));
        });
        bench.exit("outl_to_kernel", "op", |_| io::out8(EDGE_LEVEL, 0));
    }
}
