//! How cost grows: of patching with the sites, of shootdowns and interrupts with the CPUs, and of changes
//! to page tables with what is changed at once.

use core::hint::spin_loop;

use pvops_core::cpu_set::CpuSet;
use pvops_core::{mmu, smp};

use super::{Bench, Work, tsc};
use crate::layout::{PAGE, SCRATCH};
use crate::tables::Flags;
use crate::trap::{self, SELF_VECTOR};
use crate::{cpus, frames, measure, paging};

/// Runs all that this host can do.
pub(super) fn run(bench: &Bench<'_>) {
    if !bench.lacks("ring-0") {
        for sites in [100, 1_000, 10_000] {
            bench.take::<5>(of("patch", "", sites), 1, 0, || {
                Some(measure::patching(sites as usize))
            });
        }
    }
    for count in 1..=cpus::count() {
        shootdown(bench, count);
        if count > 1 {
            interrupts(bench, count - 1);
        }
    }
    page_table(bench);
}

fn of<'a>(name: &'a str, way: &'a str, size: u64) -> Work<'a> {
    Work {
        size,
        ..Work::new("scaling", name, way)
    }
}

/// One page, on the first `count` CPUs.
fn shootdown(bench: &Bench<'_>, count: usize) {
    let cpus = CpuSet::first(count);
    bench.measure(of("shootdown", "", count as u64), |_| {
        // SAFETY: the CPUs are online and take the library's vector.
        unsafe { mmu::flush_tlb_multi(&raw const cpus, SCRATCH.start, SCRATCH.start + PAGE) };
    });
}

/// An interrupt to `count` other CPUs, until all have it.
fn interrupts(bench: &Bench<'_>, count: usize) {
    let others: CpuSet = (1..=count).collect();
    let came = || {
        (1..=count)
            .map(|cpu| trap::count_on(cpu, SELF_VECTOR))
            .sum::<u64>()
    };
    bench.measure(of("ipi", "", count as u64), |_| {
        let expected = came() + count as u64;
        // SAFETY: all CPUs of the set are online, and the vector has a handler.
        unsafe { smp::send_ipi_set(&raw const others, u32::from(SELF_VECTOR)) };
        while came() < expected {
            spin_loop();
        }
    });
}

/// Stores a value in the first entries.
type Change<'a> = &'a dyn Fn(u64, usize);

/// Entries of a table in use: stored, by ops one by one, and by ops in lazy mode.
fn page_table(bench: &Bench<'_>) {
    const SAMPLES: usize = 21;
    let Some((frame, _)) = frames::allocate() else {
        return;
    };
    if paging::map(SCRATCH.start, frame, Flags::DATA).is_err() {
        return;
    }
    let Ok(table) = paging::entry(SCRATCH.start, 0) else {
        return;
    };
    let value = mmu::make_entry(frame | Flags::DATA.bits());
    let by_ops = |value, count| {
        for index in 0..count {
            // SAFETY: the table has so many entries, and nobody uses the pages.
            unsafe { mmu::set_pte(table.wrapping_add(index), value) };
        }
    };
    let lazily = |value, count| {
        let _lazy = mmu::lazy();
        by_ops(value, count);
    };
    let by_stores = |value, count| {
        for index in 0..count {
            // SAFETY: as above.
            unsafe { table.wrapping_add(index).write_volatile(value) };
        }
    };
    let timed = |change: Change<'_>, count| {
        let start = tsc();
        change(value, count);
        tsc() - start
    };
    let overhead = timed(&by_stores, 0).min(timed(&by_stores, 0));
    let ways: [(&str, Change<'_>); 3] =
        [("store", &by_stores), ("op", &by_ops), ("batch", &lazily)];
    for count in [1, 8, 64, 512] {
        for (way, change) in ways {
            let work = of("set_pte", way, count as u64);
            bench.take::<SAMPLES>(work, 1, overhead, || {
                lazily(0, count);
                Some(timed(change, count))
            });
        }
    }
    lazily(0, 512);
    mmu::flush_tlb();
    // SAFETY: nothing leads to it any more.
    unsafe { frames::free(frame) };
}
