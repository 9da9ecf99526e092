//! Virtual CPUs, as Xen numbers them, and what it does for one.
//!
//! Xen's public/vcpu.h.

use core::sync::atomic::{AtomicU32, Ordering};

use pvops_core::cpu_set::MAX_CPUS;

use crate::error::XenError;
use crate::hypercall::{HypercallNumber, hypercall};

/// Xen's number of a virtual CPU of this domain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct VcpuId(pub u32);

/// Xen's number of a CPU that was brought up, given the kernel's. Any context.
pub fn id(cpu: usize) -> Option<VcpuId> {
    let id = IDS.get(cpu)?.load(Ordering::Relaxed);
    (id != NOBODY).then_some(VcpuId(id))
}

/// How many virtual CPUs this domain has, running or not: they are numbered from 0. 0 if Xen can't be
/// called. Any context.
pub fn count() -> u32 {
    let exists = |id: &u32| is_up(VcpuId(*id)).is_ok();
    (0..MAX_CPUS as u32).take_while(exists).count() as u32
}

/// The id of a virtual CPU's local APIC, for kernels that find no ACPI tables which say it; in PV guests,
/// which have none, the number that starts it. Xen numbers those of PVH and HVM guests by twos, as its
/// tools/firmware/hvmloader/config.h has it, `LAPIC_ID`.
pub fn local_apic_id(vcpu: VcpuId) -> u32 {
    match crate::is_pv() {
        true => vcpu.0,
        false => vcpu.0 * 2,
    }
}

/// Notes Xen's number of a CPU.
pub(crate) fn set_id(cpu: usize, id: VcpuId) {
    if let Some(slot) = IDS.get(cpu) {
        slot.store(id.0, Ordering::Relaxed);
    }
}

const NOBODY: u32 = u32::MAX;
static IDS: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(NOBODY) }; MAX_CPUS];

/// Whether a virtual CPU runs: it was started, and is not off.
pub(crate) fn is_up(vcpu: VcpuId) -> Result<bool, XenError> {
    let arguments = [IS_UP, u64::from(vcpu.0), 0];
    // SAFETY: the command has no effect.
    unsafe { hypercall(HypercallNumber::VCPU_OP, arguments) }.map(|answer| answer != 0)
}

/// Moves the record of a virtual CPU, that is this one or does not run, to `offset` bytes into a
/// frame: its machine frame number in PV guests, else the guest's own number. Once for each.
///
/// # Errors
///
/// [`XenError::INVALID`] if the CPU has a record of its own already.
///
/// # Safety
///
/// The frame is Xen's to write from now on, for good.
pub(crate) unsafe fn register_vcpu_info(
    vcpu: VcpuId,
    frame_number: u64,
    offset: u32,
) -> Result<(), XenError> {
    let mut place = RegisterVcpuInfo {
        frame_number,
        offset,
        reserved: 0,
    };
    // SAFETY: the structure is the command's; the caller vouches for the frame.
    unsafe { command(REGISTER_VCPU_INFO, vcpu, &mut place) }
}

/// Has [`Virq::TIMER`](crate::event_channel::Virq::TIMER) come to this CPU at a system time in
/// nanoseconds, as the clock of its record has it; it replaces an earlier one. A time that has passed
/// comes at once. Any context.
///
/// # Errors
///
/// What Xen says, which on a CPU that runs is nothing.
pub fn set_singleshot_timer(vcpu: VcpuId, deadline_ns: u64) -> Result<(), XenError> {
    let mut timer = SetSingleshotTimer {
        deadline_ns,
        flags: 0,
        padding: 0,
    };
    // SAFETY: the structure is the command's.
    unsafe { command(SET_SINGLESHOT_TIMER, vcpu, &mut timer) }
}

/// Takes back what [`set_singleshot_timer`] has set. Any context, on that CPU.
///
/// # Errors
///
/// As there.
pub fn stop_singleshot_timer(vcpu: VcpuId) -> Result<(), XenError> {
    // SAFETY: the command has no structure.
    unsafe { plain(STOP_SINGLESHOT_TIMER, vcpu) }
}

/// Stops the 100 Hz timer that PV guests begin with.
///
/// # Errors
///
/// What Xen says.
#[allow(dead_code, reason = "for PV guests")]
pub(crate) fn stop_periodic_timer(vcpu: VcpuId) -> Result<(), XenError> {
    // SAFETY: the command has no structure.
    unsafe { plain(STOP_PERIODIC_TIMER, vcpu) }
}

/// Calls Xen with a command that is for a virtual CPU, and the structure that it takes.
///
/// # Safety
///
/// As for [`hypercall::command`](crate::hypercall::command).
pub(crate) unsafe fn command<T>(
    command: u64,
    vcpu: VcpuId,
    structure: &mut T,
) -> Result<(), XenError> {
    let structure = (&raw mut *structure).expose_provenance() as u64;
    let arguments = [command, u64::from(vcpu.0), structure];
    // SAFETY: as the caller vouches.
    unsafe { hypercall(HypercallNumber::VCPU_OP, arguments) }.map(drop)
}

/// Calls Xen with a command that is for a virtual CPU and takes no structure.
///
/// # Safety
///
/// As Xen says of the command.
pub(crate) unsafe fn plain(command: u64, vcpu: VcpuId) -> Result<(), XenError> {
    let arguments = [command, u64::from(vcpu.0), 0];
    // SAFETY: as the caller vouches.
    unsafe { hypercall(HypercallNumber::VCPU_OP, arguments) }.map(drop)
}

// VCPUOP_ and the name.
const IS_UP: u64 = 3;
const STOP_PERIODIC_TIMER: u64 = 7;
const SET_SINGLESHOT_TIMER: u64 = 8;
const STOP_SINGLESHOT_TIMER: u64 = 9;
const REGISTER_VCPU_INFO: u64 = 10;

/// `struct vcpu_register_vcpu_info`.
#[repr(C)]
struct RegisterVcpuInfo {
    frame_number: u64,
    offset: u32,
    reserved: u32,
}

/// `struct vcpu_set_singleshot_timer`.
#[repr(C)]
struct SetSingleshotTimer {
    deadline_ns: u64,
    flags: u32,
    padding: u32,
}
