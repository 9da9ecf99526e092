//! Calls of the host: number in rax, arguments in rbx, rcx, rdx and rsi, result in rax, and all
//! other registers as they were. From 32-bit code, the lower halves of these.
//!
//! Linux's Documentation/virt/kvm/x86/hypercalls.rst, and include/uapi/linux/kvm_para.h for the
//! numbers.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use pvops_core::{asm_op, asm_site, op};

/// Calls the host with up to four arguments. Any context; it exits, so it takes a microsecond or
/// more.
///
/// # Errors
///
/// What the host says. [`HypercallError::TOO_BIG`] if an argument is longer than a register, as a physical
/// address may be for 32-bit code. [`HypercallError::NO_SUCH_CALL`] where it can't be called: this is not
/// KVM, the CPU's maker is unknown, or no CPU was brought up yet.
///
/// # Safety
///
/// As the host's documentation says of the call. A host that is not KVM proper may answer calls
/// differently, so look at its [`Features`](crate::Features) first.
pub unsafe fn hypercall<const COUNT: usize>(
    number: HypercallNumber,
    arguments: [u64; COUNT],
) -> Result<u64, HypercallError> {
    const { assert!(COUNT <= 4) };
    if !READY.load(Ordering::Relaxed) {
        return Err(HypercallError::NO_SUCH_CALL);
    }
    let mut registers = [0; 4];
    for (register, argument) in registers.iter_mut().zip(arguments) {
        *register = usize::try_from(argument).map_err(|_| HypercallError::TOO_BIG)?;
    }
    // SAFETY: the op is bound, and the caller vouches for the call.
    let result = unsafe { call(number.0 as usize, registers) };
    match u64::try_from(result) {
        Ok(value) => Ok(value),
        Err(_) => Err(HypercallError(result.unsigned_abs() as u64)),
    }
}

/// # Safety
///
/// As for [`hypercall`], with the op bound.
#[cfg(target_arch = "x86_64")]
unsafe fn call(number: usize, arguments: [usize; 4]) -> isize {
    let result;
    // SAFETY: as the caller vouches.
    unsafe {
        core::arch::asm!(
            // LLVM keeps rbx for itself.
            "xchg {first}, rbx",
            asm_site!("hypercall"),
            "xchg {first}, rbx",
            first = inout(reg) arguments[0] => _,
            inout("rax") number => result,
            in("rcx") arguments[1],
            in("rdx") arguments[2],
            in("rsi") arguments[3],
            hypercall = const asm_op::<op::system::hypercall>(),
        );
    }
    result
}

/// # Safety
///
/// As for [`hypercall`], with the op bound.
#[cfg(target_arch = "x86")]
unsafe fn call(number: usize, arguments: [usize; 4]) -> isize {
    let result;
    // SAFETY: as the caller vouches.
    unsafe {
        core::arch::asm!(
            // LLVM keeps esi for itself.
            "xchg {fourth}, esi",
            asm_site!("hypercall"),
            "xchg {fourth}, esi",
            fourth = inout(reg) arguments[3] => _,
            inout("eax") number => result,
            in("ebx") arguments[0],
            in("ecx") arguments[1],
            in("edx") arguments[2],
            hypercall = const asm_op::<op::system::hypercall>(),
        );
    }
    result
}

/// Which call: KVM_HC_ and the name, of Linux's include/uapi/linux/kvm_para.h.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HypercallNumber(pub u64);

impl HypercallNumber {
    /// Does nothing: the host looks for pending interrupts, as it does after every exit.
    pub const VAPIC_POLL_IRQ: Self = HypercallNumber(1);
    /// Wakes a halted virtual CPU.
    pub const KICK_CPU: Self = HypercallNumber(5);
    /// The host's time of day and time-stamp counter, read together.
    pub const CLOCK_PAIRING: Self = HypercallNumber(9);
    /// Interrupts to many CPUs.
    pub const SEND_IPI: Self = HypercallNumber(10);
    /// Lets another virtual CPU run.
    pub const SCHED_YIELD: Self = HypercallNumber(11);
    /// Says whether memory is encrypted.
    pub const MAP_GPA_RANGE: Self = HypercallNumber(12);
}

/// What a host answers to a call that it did not do: KVM_E and the name of Linux's
/// include/uapi/linux/kvm_para.h, as a positive number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HypercallError(pub u64);

impl HypercallError {
    /// KVM_EPERM: the caller is not in ring 0.
    pub const NOT_PERMITTED: Self = HypercallError(1);
    /// KVM_E2BIG: an argument is too big.
    pub const TOO_BIG: Self = HypercallError(7);
    /// KVM_EFAULT: there is no memory at an address.
    pub const BAD_ADDRESS: Self = HypercallError(14);
    /// KVM_EINVAL: an argument is wrong.
    pub const INVALID: Self = HypercallError(22);
    /// KVM_EOPNOTSUPP: the host can't do that as it is set up.
    pub const UNSUPPORTED: Self = HypercallError(95);
    /// KVM_ENOSYS: the host has no such call.
    pub const NO_SUCH_CALL: Self = HypercallError(1000);
}

impl fmt::Display for HypercallError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NOT_PERMITTED => formatter.write_str("hypercalls are for ring 0"),
            Self::TOO_BIG => formatter.write_str("a hypercall's argument is too big"),
            Self::BAD_ADDRESS => formatter.write_str("a hypercall's argument leads to no memory"),
            Self::INVALID => formatter.write_str("a hypercall's argument is wrong"),
            Self::UNSUPPORTED => formatter.write_str("the host does not support the hypercall"),
            Self::NO_SUCH_CALL => formatter.write_str("the host has no such hypercall"),
            Self(code) => write!(formatter, "the host refused a hypercall with error {code}"),
        }
    }
}

impl core::error::Error for HypercallError {}

/// Whether the op is bound to an instruction, and call sites are patched.
static READY: AtomicBool = AtomicBool::new(false);

/// Lets calls out. Once the op is bound.
pub(crate) fn allow() {
    READY.store(true, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_called_before_it_is_allowed() {
        // SAFETY: the call does nothing.
        let result = unsafe { hypercall(HypercallNumber::VAPIC_POLL_IRQ, []) };
        assert_eq!(result, Err(HypercallError::NO_SUCH_CALL));
    }
}
