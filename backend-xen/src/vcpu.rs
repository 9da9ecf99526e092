//! Virtual CPUs, as Xen numbers them, and what it does for one.
//!
//! Xen's public/vcpu.h.

use core::sync::atomic::{AtomicU32, Ordering};

use pvops_core::cpu_set::MAX_CPUS;

use crate::clock::LAST_NS;
use crate::error::XenError;
use crate::hypercall::{HypercallNumber, hypercall};

/// Xen's number of a virtual CPU of this domain.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct VcpuId(pub u32);

/// Xen's number of a CPU that was brought up, given the kernel's. Any context.
pub fn id(cpu: usize) -> Option<VcpuId> {
    let id = IDS.get(cpu)?.load(Ordering::Relaxed);
    (id != NOBODY).then_some(VcpuId(id))
}

/// How many virtual CPUs this domain has, running or not, up to [`MAX_CPUS`]: they are numbered from 0. 0
/// if Xen can't be called. Any context; a call of Xen for each.
pub fn count() -> u32 {
    let exists = |id: &u32| is_up(VcpuId(*id)).is_ok();
    (0..MAX_CPUS as u32).take_while(exists).count() as u32
}

/// The id of a virtual CPU's local APIC, for kernels that find no ACPI tables which say it; in PV guests,
/// which have none, the number that starts it. Xen numbers those of PVH and HVM guests by twos, as its
/// tools/firmware/hvmloader/config.h has it, `LAPIC_ID`. Any context.
pub fn local_apic_id(vcpu: VcpuId) -> u32 {
    match crate::is_pv() {
        true => vcpu.0,
        // The number is anybody's, and may be none of a CPU.
        false => vcpu.0.wrapping_mul(2),
    }
}

/// The other way round: the virtual CPU with that local APIC id.
pub(crate) fn with_local_apic_id(id: u32) -> VcpuId {
    VcpuId(id / 2)
}

/// The kernel's number of a virtual CPU that was brought up. Any context.
pub(crate) fn cpu_of(vcpu: VcpuId) -> Option<usize> {
    IDS.iter()
        .position(|id| id.load(Ordering::Relaxed) == vcpu.0)
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

/// Has [`Virq::TIMER`](crate::event_channel::Virq::TIMER) come to this CPU, which `vcpu` is, when the
/// [system time](crate::system_time_ns) is `deadline_ns`; it replaces an earlier one. A time that has passed
/// comes at once. Any context.
///
/// # Errors
///
/// [`XenError::INVALID`] if `vcpu` is another CPU; [`XenError::NO_SUCH_CALL`] if Xen can't be called.
pub fn set_singleshot_timer(vcpu: VcpuId, deadline_ns: u64) -> Result<(), XenError> {
    let mut timer = SetSingleshotTimer {
        deadline_ns: deadline_ns.min(LAST_NS),
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
/// As for [`set_singleshot_timer`].
pub fn stop_singleshot_timer(vcpu: VcpuId) -> Result<(), XenError> {
    // SAFETY: the command has no structure.
    unsafe { plain(STOP_SINGLESHOT_TIMER, vcpu) }
}

/// Stops the 100 Hz timer that PV guests begin with.
///
/// # Errors
///
/// What Xen says.
#[cfg(target_arch = "x86_64")]
pub(crate) fn stop_periodic_timer(vcpu: VcpuId) -> Result<(), XenError> {
    // SAFETY: the command has no structure.
    unsafe { plain(STOP_PERIODIC_TIMER, vcpu) }
}

/// Says how a virtual CPU begins that has not run yet, by the structure for this kind of guest. It then
/// waits for [`up`].
///
/// # Errors
///
/// [`XenError::EXISTS`] if it has begun already.
///
/// # Safety
///
/// The structure is for this kind of guest, and what it says good for the CPU.
pub(crate) unsafe fn initialise<T>(vcpu: VcpuId, context: &mut T) -> Result<(), XenError> {
    // SAFETY: as the caller vouches.
    unsafe { command(INITIALISE, vcpu, context) }
}

/// Has a virtual CPU run that was initialised, or went [`down`].
///
/// # Safety
///
/// It is off, and what it goes on with is good.
pub(crate) unsafe fn up(vcpu: VcpuId) -> Result<(), XenError> {
    // SAFETY: as the caller vouches.
    unsafe { plain(UP, vcpu) }
}

/// Has a virtual CPU, which is this one, not run until it is told to go [`up`]; then this returns.
pub(crate) fn down(vcpu: VcpuId) -> Result<(), XenError> {
    // SAFETY: nothing of the kernel's changes.
    unsafe { plain(DOWN, vcpu) }
}

/// Waits for a CPU that is going [`down`]: one that is told to go [`up`] before Xen has put it down would
/// stay down.
///
/// # Errors
///
/// [`XenError::BUSY`] if it does not go.
pub(crate) fn wait_until_down(vcpu: VcpuId) -> Result<(), XenError> {
    // A call is some hundred instructions, and who goes off has less to do than a thousand.
    const MAX_CALLS: u32 = 1_000_000;
    for _ in 0..MAX_CALLS {
        if !is_up(vcpu)? {
            return Ok(());
        }
        core::hint::spin_loop();
    }
    Err(XenError::BUSY)
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
const INITIALISE: u64 = 0;
const UP: u64 = 1;
const DOWN: u64 = 2;
const IS_UP: u64 = 3;
#[cfg(target_arch = "x86_64")]
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
