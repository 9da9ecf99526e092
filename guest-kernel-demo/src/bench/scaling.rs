//! How cost grows: of patching with the sites, of shootdowns and interrupts with the CPUs, and of changes
//! to page tables with what is changed at once.

use core::sync::atomic::Ordering;

use pvops_core::cpu_set::CpuSet;
use pvops_core::{apic, mmu, smp};

use super::interrupts::until;
use super::{Bench, Work, tsc};
use crate::layout::{PAGE, SCRATCH};
#[cfg(target_arch = "x86_64")]
use crate::measure;
use crate::tables::Flags;
use crate::trap::{self, SELF_VECTOR};
use crate::{cpus, frames, paging, per_cpu};

/// Runs all that this host can do.
pub(super) fn run(bench: &Bench<'_>) {
    #[cfg(target_arch = "x86_64")]
    if !bench.lacks("ring-0") {
        for sites in [100, 1_000, 10_000] {
            bench.take::<5>(of("patch", "", sites), 1, 0, || {
                Some(measure::patching(sites as usize))
            });
        }
    }
    for count in 1..=cpus::count() {
        shootdown(bench, count);
        munmap(bench, count);
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
    let until_all_have_it = |send: &dyn Fn()| {
        let expected = came() + count as u64;
        send();
        until(|| came() >= expected);
    };
    if !bench.lacks("ring-0") {
        bench.measure(of("ipi", "register", count as u64), |_| {
            until_all_have_it(&|| {
                for cpu in 1..=count {
                    let id = per_cpu::of(cpu).apic_id.load(Ordering::Relaxed);
                    // SAFETY: the CPU is online, and the vector has a handler.
                    unsafe { apic::write_icr(u64::from(id) << 32 | u64::from(SELF_VECTOR)) };
                }
            });
        });
    }
    bench.measure(of("ipi", "op", count as u64), |_| {
        // SAFETY: all CPUs of the set are online, and the vector has a handler.
        until_all_have_it(&|| unsafe {
            smp::send_ipi_set(&raw const others, SELF_VECTOR);
        });
    });
}

/// Some pages unmapped, and flushed on the first `count` CPUs.
fn munmap(bench: &Bench<'_>, count: usize) {
    const SAMPLES: usize = 21;
    const PAGES: usize = 16;
    let cpus = CpuSet::first(count);
    let Some((frame, _)) = frames::allocate() else {
        return;
    };
    if paging::map(SCRATCH.start, frame, Flags::DATA).is_err() {
        return;
    }
    let Ok(table) = paging::entry(SCRATCH.start, 0) else {
        return;
    };
    let set_all = |value| {
        let _lazy = mmu::lazy();
        for index in 0..PAGES {
            // SAFETY: the table has so many entries, and nobody uses the pages.
            unsafe { mmu::set_pte(table.wrapping_add(index), value) };
        }
    };
    let value = mmu::make_entry(frame | Flags::DATA.bits());
    let (start, end) = (SCRATCH.start, SCRATCH.start + PAGES * PAGE);
    bench.take::<SAMPLES>(of("munmap", "", count as u64), 1, 0, || {
        set_all(value);
        let before = tsc();
        set_all(0);
        // SAFETY: the CPUs are online and take the library's vector.
        unsafe { mmu::flush_tlb_multi(&raw const cpus, start, end) };
        Some(tsc() - before)
    });
    set_all(0);
    mmu::flush_tlb();
    // SAFETY: nothing leads to it any more.
    unsafe { frames::free(frame) };
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
