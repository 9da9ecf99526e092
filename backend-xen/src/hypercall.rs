//! Calls of Xen: number in rax, arguments in rdi, rsi, rdx, r10 and r8, result in rax; from 32-bit code
//! number in eax, arguments in ebx, ecx, edx, esi and edi, result in eax.
//!
//! Xen's public/xen.h for the numbers, public/arch-x86/xen-x86_64.h and xen-x86_32.h for the registers.
//! There is no hypercall page: each call is a patched site with the instruction itself (XSA-466).

use core::sync::atomic::{AtomicBool, Ordering};

use pvops_core::{asm_op, asm_site, op};

use crate::error::XenError;

/// Calls Xen with up to five arguments. Any context.
///
/// # Errors
///
/// What Xen says. [`XenError::NO_SUCH_CALL`] also where Xen can't be called: this is not Xen, or the
/// backend was not started. [`XenError::TOO_BIG`] if an argument is longer than a register.
///
/// # Safety
///
/// As Xen's public headers say of the call. Pointers are virtual addresses of this kernel, and what
/// they lead to is Xen's to read and write until the call returns.
pub unsafe fn hypercall<const COUNT: usize>(
    number: HypercallNumber,
    arguments: [u64; COUNT],
) -> Result<u64, XenError> {
    const { assert!(COUNT <= 5) };
    if !READY.load(Ordering::Relaxed) {
        return Err(XenError::NO_SUCH_CALL);
    }
    let mut registers = [0; 5];
    for (register, argument) in registers.iter_mut().zip(arguments) {
        *register = usize::try_from(argument).map_err(|_| XenError::TOO_BIG)?;
    }
    // SAFETY: the op is bound, and the caller vouches for the call.
    let result = unsafe { call(number.0 as usize, registers) };
    // A debug register may well hold a negative number.
    match result {
        -4095..=-1 => Err(XenError(result.unsigned_abs() as u64)),
        value => Ok(value as usize as u64),
    }
}

/// Xen may change the registers of the arguments; SYSCALL changes rcx and r11.
///
/// # Safety
///
/// As for [`hypercall`], with the op bound.
#[cfg(target_arch = "x86_64")]
unsafe fn call(number: usize, arguments: [usize; 5]) -> isize {
    let result;
    // SAFETY: as the caller vouches.
    unsafe {
        core::arch::asm!(
            asm_site!("hypercall"),
            inout("rax") number => result,
            inout("rdi") arguments[0] => _,
            inout("rsi") arguments[1] => _,
            inout("rdx") arguments[2] => _,
            inout("r10") arguments[3] => _,
            inout("r8") arguments[4] => _,
            out("rcx") _,
            out("r11") _,
            hypercall = const asm_op::<op::system::hypercall>(),
        );
    }
    result
}

/// Xen may change the registers of the arguments. These leave too few registers to load them all
/// from, so they are loaded from memory; LLVM keeps esi for itself.
///
/// # Safety
///
/// As for [`hypercall`], with the op bound.
#[cfg(target_arch = "x86")]
unsafe fn call(number: usize, arguments: [usize; 5]) -> isize {
    let result;
    // SAFETY: as the caller vouches.
    unsafe {
        core::arch::asm!(
            "push esi",
            "mov ebx, [edi]",
            "mov ecx, [edi + 4]",
            "mov edx, [edi + 8]",
            "mov esi, [edi + 12]",
            "mov edi, [edi + 16]",
            asm_site!("hypercall"),
            "pop esi",
            inout("eax") number => result,
            out("ebx") _,
            out("ecx") _,
            out("edx") _,
            inout("edi") arguments.as_ptr() => _,
            hypercall = const asm_op::<op::system::hypercall>(),
        );
    }
    result
}

/// Calls Xen with a command and the structure that the command takes, which Xen may write.
///
/// # Errors
///
/// As for [`hypercall`].
///
/// # Safety
///
/// As for [`hypercall`]; `structure` must be the command's, and any content that Xen writes to it
/// valid for its type.
pub(crate) unsafe fn command<T>(
    number: HypercallNumber,
    command: u32,
    structure: &mut T,
) -> Result<u64, XenError> {
    let structure = (&raw mut *structure).expose_provenance() as u64;
    // SAFETY: as the caller vouches.
    unsafe { hypercall(number, [u64::from(command), structure]) }
}

/// Which call: `__HYPERVISOR_` and the name, of Xen's public/xen.h.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HypercallNumber(pub u64);

impl HypercallNumber {
    /// PV: the handlers of exceptions.
    pub const SET_TRAP_TABLE: Self = HypercallNumber(0);
    /// PV: entries of page tables, and of the list from machine to domain.
    pub const MMU_UPDATE: Self = HypercallNumber(1);
    /// PV: the frames of the global descriptor table.
    pub const SET_GDT: Self = HypercallNumber(2);
    /// PV: the kernel's stack.
    pub const STACK_SWITCH: Self = HypercallNumber(3);
    /// PV: CR0.TS.
    pub const FPU_TASKSWITCH: Self = HypercallNumber(5);
    /// PV: writes a debug register.
    pub const SET_DEBUGREG: Self = HypercallNumber(8);
    /// PV: reads a debug register.
    pub const GET_DEBUGREG: Self = HypercallNumber(9);
    /// PV: one descriptor.
    pub const UPDATE_DESCRIPTOR: Self = HypercallNumber(10);
    /// Memory of the domain: XENMEM_ of public/memory.h.
    pub const MEMORY_OP: Self = HypercallNumber(12);
    /// Several calls at once: `struct multicall_entry`.
    pub const MULTICALL: Self = HypercallNumber(13);
    /// PV: the entry that maps an address in the tables that are loaded.
    pub const UPDATE_VA_MAPPING: Self = HypercallNumber(14);
    /// What Xen says of itself: XENVER_ of public/version.h.
    pub const XEN_VERSION: Self = HypercallNumber(17);
    /// Xen's own console: CONSOLEIO_.
    pub const CONSOLE_IO: Self = HypercallNumber(18);
    /// Grants: GNTTABOP_ of public/grant_table.h.
    pub const GRANT_TABLE_OP: Self = HypercallNumber(20);
    /// What Xen does for a guest beyond its calls: VMASST_.
    pub const VM_ASSIST: Self = HypercallNumber(21);
    /// PV: return from an exception, by the frame on the stack.
    pub const IRET: Self = HypercallNumber(23);
    /// Virtual CPUs: VCPUOP_ of public/vcpu.h.
    pub const VCPU_OP: Self = HypercallNumber(24);
    /// PV: the base of FS or GS: SEGBASE_.
    pub const SET_SEGMENT_BASE: Self = HypercallNumber(25);
    /// PV: tables as a whole and the TLB: MMUEXT_.
    pub const MMUEXT_OP: Self = HypercallNumber(26);
    /// Running and ending: SCHEDOP_ of public/sched.h.
    pub const SCHED_OP: Self = HypercallNumber(29);
    /// PV: entries of the kernel: CALLBACKOP_ of public/callback.h.
    pub const CALLBACK_OP: Self = HypercallNumber(30);
    /// Event channels: EVTCHNOP_ of public/event_channel.h.
    pub const EVENT_CHANNEL_OP: Self = HypercallNumber(32);
    /// Ports and physical interrupts: PHYSDEVOP_ of public/physdev.h.
    pub const PHYSDEV_OP: Self = HypercallNumber(33);
    /// PVH and HVM guests: HVMOP_ of public/hvm/hvm_op.h.
    pub const HVM_OP: Self = HypercallNumber(34);
}

/// Whether the op is bound to an instruction that Xen takes.
static READY: AtomicBool = AtomicBool::new(false);

/// Lets calls out. Once the op table has the instruction.
pub(crate) fn allow() {
    READY.store(true, Ordering::Relaxed);
}
