//! TLB shootdown: making other CPUs forget translations, by interrupt.
//!
//! One request is under way at a time. It lies in [`REQUEST`]; the CPUs that have not served it yet
//! are in [`PENDING`]. A CPU serves it in its interrupt handler, or, since two CPUs may want
//! something of each other with interrupts off, while it waits here itself.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering, fence};

use pvops_core::cpu_set::{CpuSet, MAX_CPUS};
use pvops_core::{Kernel, irq, mmu, smp, system};

use crate::smp::apic_id;

/// Beyond so many pages, dropping everything is cheaper.
const MAX_PAGES: usize = 32;
const PAGE: usize = 4096;

struct Request {
    busy: AtomicBool,
    start: AtomicUsize,
    end: AtomicUsize,
}

static REQUEST: Request = Request {
    busy: AtomicBool::new(false),
    start: AtomicUsize::new(0),
    end: AtomicUsize::new(0),
};

const BITS: usize = usize::BITS as usize;
static PENDING: [AtomicUsize; MAX_CPUS / BITS] = [const { AtomicUsize::new(0) }; MAX_CPUS / BITS];

/// The vector that the kernel gave us, or [`NONE`].
static VECTOR: AtomicU8 = AtomicU8::new(NONE);

/// Vector 0 is a CPU exception's.
const NONE: u8 = 0;

/// The op `smp.setup_ipi`.
pub(crate) unsafe extern "C" fn setup(vector: u8) {
    VECTOR.store(vector, Ordering::Relaxed);
}

/// The op `smp.handle_ipi`.
pub(crate) unsafe extern "C" fn handle() {
    if let Some(kernel) = pvops_core::kernel() {
        serve(kernel);
    }
}

/// The op `mmu.flush_tlb_multi`.
pub(crate) unsafe extern "C" fn flush_tlb_multi(cpus: *const CpuSet, start: usize, end: usize) {
    // SAFETY: the op's caller gives a set, of CPUs that take the vector.
    unsafe { flush_tlb_multi_but(&*cpus, start, end, |_| false) };
}

/// Does what the op `mmu.flush_tlb_multi` does, but for the other CPUs for which `is_left` is `true`:
/// the host makes those forget all translations before they run again. For each of the others that
/// are on, it is called once, after the page tables were changed. Contexts as there.
///
/// # Panics
///
/// As [`mmu::flush_tlb_multi`], if a CPU is to be interrupted and there is no vector for that.
///
/// # Safety
///
/// As for [`mmu::flush_tlb_multi`].
pub unsafe fn flush_tlb_multi_but(
    cpus: &CpuSet,
    start: usize,
    end: usize,
    is_left: impl Fn(usize) -> bool,
) {
    let Some(kernel) = pvops_core::kernel() else {
        // Nobody tells this CPU's number yet, and no other is up.
        return flush(start, end);
    };
    let this = kernel.cpu_index();
    if cpus.contains(this) {
        flush(start, end);
    }
    // A CPU that is off takes no interrupt, and drops its translations when it has come up. The tables were
    // changed before it is asked whether a CPU is up.
    fence(Ordering::SeqCst);
    let others: CpuSet = cpus
        .iter()
        .filter(|&cpu| cpu != this && apic_id(cpu).is_some() && !is_left(cpu))
        .collect();
    if others.is_empty() {
        return;
    }
    let vector = lent(VECTOR.load(Ordering::Relaxed));
    while REQUEST.busy.swap(true, Ordering::Acquire) {
        serve(kernel);
        system::yield_cpu();
    }
    REQUEST.start.store(start, Ordering::Relaxed);
    REQUEST.end.store(end, Ordering::Relaxed);
    for cpu in others.iter() {
        // Release: a CPU that finds itself here finds the request, and the page tables as they were
        // changed before.
        PENDING[cpu / BITS].fetch_or(1 << (cpu % BITS), Ordering::Release);
    }
    // SAFETY: the op's caller says that the CPUs take this vector.
    unsafe { smp::send_ipi_set(&raw const others, vector) };
    // Ends: each CPU of the set runs, and takes interrupts or waits in here.
    while PENDING.iter().any(|word| word.load(Ordering::Acquire) != 0) {
        system::yield_cpu();
    }
    REQUEST.busy.store(false, Ordering::Release);
}

/// The vector, if it is one. Without it the other CPUs would keep their translations, or be waited
/// for without end.
fn lent(vector: u8) -> u8 {
    assert!(
        vector != NONE,
        "mmu.flush_tlb_multi for another CPU before smp.setup_ipi"
    );
    vector
}

/// Serves the request if it is waiting for this CPU.
///
/// With interrupts off: it stays the same request until we clear our bit. An interrupt in between could serve
/// and clear it, and the bit that we clear then be that of the next request, which we have not served.
fn serve(kernel: &dyn Kernel) {
    irq::without(|| {
        let this = kernel.cpu_index();
        let Some(word) = PENDING.get(this / BITS) else {
            return;
        };
        let bit = 1 << (this % BITS);
        if word.load(Ordering::Acquire) & bit == 0 {
            return;
        }
        flush(
            REQUEST.start.load(Ordering::Relaxed),
            REQUEST.end.load(Ordering::Relaxed),
        );
        // Release: who sees the bit gone sees us without the translations.
        word.fetch_and(!bit, Ordering::Release);
    });
}

/// Drops this CPU's translations of a range.
fn flush(start: usize, end: usize) {
    let first = start & !(PAGE - 1);
    if end.saturating_sub(first) > MAX_PAGES * PAGE {
        mmu::flush_tlb_all();
    } else {
        (first..end).step_by(PAGE).for_each(mmu::flush_tlb_page);
    }
}

#[cfg(test)]
mod tests {
    use super::{NONE, lent};

    #[test]
    fn a_vector_that_was_lent_is_used() {
        assert_eq!(lent(0xf0), 0xf0);
    }

    #[test]
    #[should_panic(expected = "before smp.setup_ipi")]
    fn without_a_vector_nobody_is_waited_for() {
        lent(NONE);
    }
}
