//! TLB flushes of CPUs that do not run are left to the host: it makes them forget all translations
//! before it lets them run again, and nobody waits for them.

use core::sync::atomic::{AtomicU64, Ordering};

use pvops_backend_native as native;
use pvops_core::atomic64;
use pvops_core::cpu_set::CpuSet;

use crate::shared;

/// How many flushes, of all CPUs together, were left to the host since the backend was installed. Any context.
pub fn flushes_left_to_host() -> u64 {
    atomic64::load(&LEFT, Ordering::Relaxed)
}

static LEFT: AtomicU64 = AtomicU64::new(0);

/// The op `mmu.flush_tlb_multi`.
pub(crate) unsafe extern "C" fn flush_tlb_multi(cpus: *const CpuSet, start: usize, end: usize) {
    // SAFETY: the op's caller gives a set, of CPUs that take the library's vector.
    unsafe { native::flush_tlb_multi_but(&*cpus, start, end, leave) };
}

/// Leaves the flush of a CPU to the host, if that CPU does not run.
fn leave(cpu: usize) -> bool {
    let left = shared::of(cpu).is_some_and(|frame| frame.steal_time.leave_flush());
    LEFT.fetch_add(u64::from(left), Ordering::Relaxed);
    left
}
