//! Steal time: Xen notes for each virtual CPU since when it runs or waits, and how long it has done
//! so. Xen's public/vcpu.h.

use core::sync::atomic::{AtomicU32, Ordering};

use pvops_core::Kernel;
use pvops_core::cpu_set::MAX_CPUS;
use pvops_core::pvclock::{HostU64, TornError, read_consistent};
use pvops_core::stolen_time::StolenTime;
use pvops_core::time;

use crate::error::XenError;
use crate::hypercall::{HypercallNumber, hypercall};
use crate::vcpu::{self, VcpuId};
use crate::word::by_word_size;
use crate::{shared_frame, version};

/// The record: `struct vcpu_runstate_info`.
#[repr(C)]
pub(crate) struct Runstate {
    /// RUNSTATE_ and the name.
    state: AtomicU32,
    #[cfg(target_pointer_width = "64")]
    padding: AtomicU32,
    /// Since when the state is what it is, in system time; bit 63 while Xen changes the record.
    state_entry_time_ns: HostU64,
    /// How long the CPU was in each state.
    time_ns: [HostU64; STATES],
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<Runstate>() == by_word_size(48, 44));
    assert!(offset_of!(Runstate, state_entry_time_ns) == by_word_size(8, 4));
    assert!(offset_of!(Runstate, time_ns) == by_word_size(16, 12));
};

const STATES: usize = 4;
/// RUNSTATE_runnable: the CPU wants to run, and another does.
const RUNNABLE: usize = 1;
/// RUNSTATE_offline: the CPU was stopped, by the guest or by whoever runs the machine.
const OFFLINE: usize = 3;

/// What is believed of the records, for each CPU.
static STOLEN: [StolenTime; MAX_CPUS] = [const { StolenTime::new() }; MAX_CPUS];

/// Has Xen keep the record of this CPU.
///
/// # Errors
///
/// What Xen says; [`XenError::BAD_ADDRESS`] if the kernel does not know where the record is.
///
/// # Safety
///
/// The record is this CPU's, which is mapped at this address whatever else is.
pub(crate) unsafe fn start(
    kernel: &dyn Kernel,
    vcpu: VcpuId,
    record: &'static Runstate,
) -> Result<(), XenError> {
    // Without it a record that is torn looks like any other; of a Xen that does not have it, older
    // than 4.7, at most one reading is wrong, which the next ones mend.
    // SAFETY: the guest is ready for bit 63.
    let _ = unsafe { hypercall(HypercallNumber::VM_ASSIST, [ENABLE, RUNSTATE_UPDATE_FLAG]) };
    let by_physical = version::features()
        .is_ok_and(|features| features.contains(version::Features::RUNSTATE_PHYS_AREA));
    let (command, mut address) = if by_physical {
        let place = shared_frame::place(kernel, record);
        let (number, offset) = place.ok_or(XenError::BAD_ADDRESS)?;
        (REGISTER_PHYSICAL, number << 12 | u64::from(offset))
    } else {
        let address = (&raw const *record).expose_provenance();
        (REGISTER, address as u64)
    };
    // SAFETY: both commands take an address; the caller vouches for it.
    unsafe { vcpu::command(command, vcpu, &mut address) }
}

/// The records begin anew, since the domain has moved. No CPU runs but this one. What Xen has written before
/// counts no more; it writes again when a CPU is brought up.
pub(crate) fn restart() {
    for (cpu, stolen) in STOLEN.iter().enumerate() {
        stolen.restart();
        if let Some(frame) = shared_frame::of(cpu) {
            frame
                .runstate
                .time_ns
                .iter()
                .for_each(|time_ns| time_ns.store(0));
        }
    }
}

/// The op `time.stolen_ns`.
pub(crate) unsafe extern "C" fn stolen_ns(cpu: usize) -> u64 {
    match (shared_frame::of(cpu), STOLEN.get(cpu)) {
        (Some(frame), Some(stolen)) => {
            let lost_ns = frame.runstate.lost_ns().ok();
            stolen.advance(lost_ns, time::clock_ns())
        }
        _ => 0,
    }
}

/// The op `lock.vcpu_is_preempted`.
pub(crate) unsafe extern "C" fn vcpu_is_preempted(cpu: usize) -> bool {
    shared_frame::of(cpu)
        .is_some_and(|frame| frame.runstate.state.load(Ordering::Relaxed) == RUNNABLE as u32)
}

/// VMASST_CMD_enable, VMASST_TYPE_runstate_update_flag. Xen's public/xen.h.
const ENABLE: u64 = 0;
const RUNSTATE_UPDATE_FLAG: u64 = 5;
/// VCPUOP_register_runstate_memory_area: by virtual address.
const REGISTER: u64 = 5;
/// VCPUOP_register_runstate_phys_area: by the address in the frame as Xen numbers it, which in PV guests is
/// the machine's. They have it since Xen 4.18.
const REGISTER_PHYSICAL: u64 = 14;

impl Runstate {
    fn lost_ns(&self) -> Result<u64, TornError> {
        read_consistent(
            // A version is odd while its record changes.
            || self.state_entry_time_ns.load().rotate_left(1) as u32,
            || {
                self.time_ns[RUNNABLE]
                    .load()
                    .saturating_add(self.time_ns[OFFLINE].load())
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPDATING: u64 = 1 << 63;

    fn record(state: u32, entry_ns: u64, time_ns: [u64; STATES]) -> Runstate {
        Runstate {
            state: AtomicU32::new(state),
            #[cfg(target_pointer_width = "64")]
            padding: AtomicU32::new(!0),
            state_entry_time_ns: HostU64::new(entry_ns),
            time_ns: time_ns.map(HostU64::new),
        }
    }

    #[test]
    fn the_time_lost_is_what_the_cpu_was_runnable_or_offline() {
        let record = record(0, 7, [1000, 5, 2000, 30]);
        assert_eq!(record.lost_ns(), Ok(35));
        record.time_ns[RUNNABLE].store(6);
        record.state_entry_time_ns.store(9);
        assert_eq!(record.lost_ns(), Ok(36));
    }

    #[test]
    fn a_record_that_is_always_being_written_is_no_time() {
        for entry_ns in [UPDATING, UPDATING | 5, !0] {
            assert_eq!(
                record(0, entry_ns, [0, 1000, 0, 0]).lost_ns(),
                Err(TornError)
            );
        }
    }

    #[test]
    fn times_that_no_sum_holds_are_the_most_there_is() {
        assert_eq!(record(0, 0, [0, !0, 0, !0]).lost_ns(), Ok(u64::MAX));
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
