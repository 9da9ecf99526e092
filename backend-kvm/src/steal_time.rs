//! Steal time: how long the host let a CPU wait that wanted to run, and whether it lets it wait now.

use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use pvops_core::cpu_set::MAX_CPUS;
use pvops_core::pvclock::{HostU64, TornError, read_consistent};
use pvops_core::stolen_time::StolenTime;
use pvops_core::{Kernel, cpu, time};

use crate::shared::{self, ENABLE};

/// The record: `struct kvm_steal_time` in `arch/x86/include/uapi/asm/kvm_para.h`.
#[repr(C, align(64))]
pub(crate) struct StealTime {
    steal_ns: HostU64,
    /// Odd while the host changes the record.
    version: AtomicU32,
    flags: AtomicU32,
    /// [`PREEMPTED`] and [`FLUSH_TLB`].
    preempted: AtomicU8,
    reserved: [AtomicU8; 47],
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<StealTime>() == 64);
    assert!(offset_of!(StealTime, steal_ns) == 0);
    assert!(offset_of!(StealTime, version) == 8);
    assert!(offset_of!(StealTime, flags) == 12);
    assert!(offset_of!(StealTime, preempted) == 16);
};

/// MSR_KVM_STEAL_TIME: the record's physical address, 64-byte aligned, and the enable bit.
const STEAL_TIME: u32 = 0x4b56_4d03;
/// KVM_VCPU_PREEMPTED: the CPU does not run.
const PREEMPTED: u8 = 1 << 0;
/// KVM_VCPU_FLUSH_TLB: the CPU is to forget all translations before it runs again.
const FLUSH_TLB: u8 = 1 << 1;

/// What is believed of the records, for each CPU.
static STOLEN: [StolenTime; MAX_CPUS] = [const { StolenTime::new() }; MAX_CPUS];

/// Has the host keep a record for this CPU; `None` if the kernel has no memory for it. Only where
/// the host offers steal time.
pub(crate) fn start(kernel: &dyn Kernel) -> Option<()> {
    let record = &shared::of_this_cpu(kernel)?.steal_time;
    let physical = shared::physical(kernel, record)?;
    record.preempted.store(0, Ordering::Relaxed);
    // SAFETY: the register exists; the host writes the record only.
    unsafe { cpu::write_msr(STEAL_TIME, physical | ENABLE) };
    Some(())
}

/// Has the host stop writing this CPU's record.
pub(crate) fn stop(kernel: &dyn Kernel) {
    disable();
    if let Some(frame) = shared::of(kernel.cpu_index()) {
        // A CPU that is off is not waiting to run.
        frame.steal_time.preempted.store(0, Ordering::Relaxed);
    }
}

/// The same without a look at the record. Only where the host offers steal time; any context.
pub(crate) fn disable() {
    // SAFETY: the register exists.
    unsafe { cpu::write_msr(STEAL_TIME, 0) };
}

/// The op `time.stolen_ns`.
pub(crate) unsafe extern "C" fn stolen_ns(cpu: usize) -> u64 {
    match (shared::of(cpu), STOLEN.get(cpu)) {
        (Some(frame), Some(stolen)) => {
            let steal_ns = frame.steal_time.steal_ns().ok();
            stolen.advance(steal_ns, time::clock_ns())
        }
        _ => 0,
    }
}

/// The op `lock.vcpu_is_preempted`.
pub(crate) unsafe extern "C" fn vcpu_is_preempted(cpu: usize) -> bool {
    shared::of(cpu).is_some_and(|frame| frame.steal_time.is_preempted())
}

impl StealTime {
    fn steal_ns(&self) -> Result<u64, TornError> {
        read_consistent(
            || self.version.load(Ordering::Relaxed),
            || self.steal_ns.load(),
        )
    }

    fn is_preempted(&self) -> bool {
        self.preempted.load(Ordering::Relaxed) & PREEMPTED != 0
    }

    /// Asks the host to have the CPU forget all translations before it runs again. `false` if the CPU
    /// runs, or has begun to while we looked.
    pub(crate) fn leave_flush(&self) -> bool {
        let preempted = self.preempted.load(Ordering::Relaxed);
        // Release: a CPU that the host makes forget finds the page tables as they were changed before.
        preempted & PREEMPTED != 0
            && self
                .preempted
                .compare_exchange(
                    preempted,
                    preempted | FLUSH_TLB,
                    Ordering::Release,
                    Ordering::Relaxed,
                )
                .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(steal_ns: u64, version: u32, preempted: u8) -> StealTime {
        StealTime {
            steal_ns: HostU64::new(steal_ns),
            version: AtomicU32::new(version),
            flags: AtomicU32::new(!0),
            preempted: AtomicU8::new(preempted),
            reserved: [const { AtomicU8::new(!0) }; 47],
        }
    }

    #[test]
    fn the_time_is_read() {
        let record = record(5, 2, 0);
        assert_eq!(record.steal_ns(), Ok(5));
        record.steal_ns.store(u64::MAX);
        assert_eq!(record.steal_ns(), Ok(u64::MAX));
    }

    #[test]
    fn a_record_that_is_always_being_written_is_no_time() {
        assert_eq!(record(1000, 3, 0).steal_ns(), Err(TornError));
        assert_eq!(record(1000, u32::MAX, 0).steal_ns(), Err(TornError));
    }

    #[test]
    fn a_record_that_changes_under_every_look_is_no_time() {
        let record = record(1000, 0, 0);
        let changing = read_consistent(
            || record.version.fetch_add(2, Ordering::Relaxed),
            || record.steal_ns.load(),
        );
        assert_eq!(changing, Err(TornError));
    }

    #[test]
    fn one_bit_says_that_a_cpu_is_preempted() {
        assert!(record(0, 0, 0xff).is_preempted());
        assert!(record(0, 0, 0b01).is_preempted());
        assert!(!record(0, 0, 0b10).is_preempted());
        assert!(!record(0, 0, 0xfe).is_preempted());
    }

    #[test]
    fn a_flush_is_left_to_the_host_only_for_a_cpu_that_does_not_run() {
        for (before, left, after) in [
            (0b00, false, 0b00),
            (0b01, true, 0b11),
            (0b10, false, 0b10),
            (0b11, true, 0b11),
            (0xfe, false, 0xfe),
            (0xff, true, 0xff),
        ] {
            let record = record(0, 0, before);
            assert_eq!(record.leave_flush(), left, "{before:#x}");
            assert_eq!(record.preempted.load(Ordering::Relaxed), after);
        }
    }

    /// A host that lets the CPU run again at any moment: either it sees to the flush, or we hear that
    /// it does not.
    #[test]
    fn no_flush_is_lost_to_a_host_that_lets_the_cpu_run() {
        extern crate std;
        let rounds = if cfg!(miri) { 50 } else { 10_000 };
        let record = record(0, 0, 0);
        for _ in 0..rounds {
            record.preempted.store(PREEMPTED, Ordering::Relaxed);
            let (left, seen) = std::thread::scope(|scope| {
                let host = scope.spawn(|| record.preempted.swap(0, Ordering::AcqRel));
                (record.leave_flush(), host.join().unwrap())
            });
            assert_eq!(left, seen & FLUSH_TLB != 0);
            assert_eq!(record.preempted.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn a_cpu_without_a_frame_has_lost_nothing() {
        for cpu in [0, MAX_CPUS - 1, MAX_CPUS, usize::MAX] {
            // SAFETY: the functions are ops that take any number.
            let (stolen, preempted) = unsafe { (stolen_ns(cpu), vcpu_is_preempted(cpu)) };
            assert_eq!((stolen, preempted), (0, false));
        }
    }
}
