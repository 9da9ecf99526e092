//! What ops cost, natively or by the VMI ROM, and how often the ROM is called: ticks, which are instructions
//! where the time-stamp counter counts those.

use core::arch::asm;

use pvops_backend_vmi::abi::call::{COUNT, Call};
use pvops_backend_vmi::abi::extension::statistic;
use pvops_backend_vmi::read_count;
use pvops_core::{cpu, irq, mmu, time};

use crate::console::{println, report};
use crate::layout::{PAGE, SCRATCH};
use crate::paging;

const ROUNDS: u64 = 1000;

/// Measures and reports some ops, as they are bound, and a trap: an exception and the return from it, the least
/// that an instruction costs that a hypervisor emulates.
pub(crate) fn ops() {
    const ADDRESS: usize = SCRATCH.start + 16 * PAGE;
    let Ok(entry) = paging::entry(ADDRESS, 0) else {
        println!("there is no memory to measure with");
        return;
    };
    let (cr3, flags) = (mmu::read_cr3(), irq::save_flags());
    // SAFETY: what is written is what was read; nothing is mapped at the address.
    unsafe {
        one("irq.save_flags", || _ = irq::save_flags());
        one("irq.restore_flags", || irq::restore_flags(flags));
        one("irq.disable", irq::disable);
        irq::restore_flags(flags);
        one("mmu.read_cr3", || _ = mmu::read_cr3());
        one("mmu.write_cr3", || mmu::write_cr3(cr3));
        one("mmu.set_pte", || mmu::set_pte(entry, 0));
        one("mmu.flush_tlb_page", || mmu::flush_tlb_page(ADDRESS));
        one("cpu.read_cr0", || _ = cpu::read_cr0());
        one("cpu.read_tsc", || _ = cpu::read_tsc());
        one("time.clock_ns", || _ = time::clock_ns());
        one("trap", || asm!("int3"));
    }
}

/// Without the loop around it.
#[inline(always)]
fn one(name: &str, op: impl FnMut()) {
    let cost = rounds(op).saturating_sub(rounds(nothing));
    report!("\"event\":\"measure\",\"name\":\"op.{name}\",\"rounds\":{ROUNDS},\"cost\":{cost}");
}

/// What the compiler does not leave out.
#[inline(always)]
fn nothing() {
    // SAFETY: there is nothing.
    unsafe { asm!("", options(nomem, nostack, preserves_flags)) };
}

#[inline(always)]
fn rounds(mut body: impl FnMut()) -> u64 {
    let start = cpu::read_tsc_ordered();
    for _ in 0..ROUNDS {
        body();
    }
    cpu::read_tsc_ordered() - start
}

/// How often the ROM was called, put something off, and made up for what it had.
#[derive(Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) calls: u64,
    pub(crate) deferred: u64,
    pub(crate) flushes: u64,
}

impl Counts {
    /// Up to now; `None` where no ROM of ours counts.
    pub(crate) fn now() -> Option<Self> {
        read_count(statistic::COUNTING).filter(|&is_on| is_on != 0)?;
        let calls = (0..COUNT).map(Call).filter_map(|call| read_count(call.0));
        Some(Counts {
            calls: calls.sum(),
            deferred: read_count(statistic::DEFERRED)?,
            flushes: read_count(statistic::FLUSHES)?,
        })
    }
}
