//! Calls of the host: number in rax, arguments in rbx, rcx, rdx and rsi, result in rax, and all
//! other registers as they were.
//!
//! Linux's Documentation/virt/kvm/x86/hypercalls.rst, and include/uapi/linux/kvm_para.h for the
//! numbers.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use pvops_core::binding::Binding;
use pvops_core::probe::CpuIdReader;
use pvops_core::{asm_op, asm_site, inline, op};

/// Calls the host with up to four arguments. Any context; it exits, so it takes a microsecond or
/// more.
///
/// # Errors
///
/// What the host says. [`HypercallError::NO_SUCH_CALL`] where it can't be called: this is not KVM,
/// the CPU's maker is unknown, or no CPU was brought up yet.
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
    let argument = |index: usize| arguments.get(index).copied().unwrap_or(0);
    let result: i64;
    // SAFETY: the op is bound, and the caller vouches for the call.
    unsafe {
        core::arch::asm!(
            // LLVM keeps rbx for itself.
            "xchg {first}, rbx",
            asm_site!("hypercall"),
            "xchg {first}, rbx",
            first = inout(reg) argument(0) => _,
            inout("rax") number.0 => result,
            in("rcx") argument(1),
            in("rdx") argument(2),
            in("rsi") argument(3),
            hypercall = const asm_op::<op::system::hypercall>(),
        );
    }
    match u64::try_from(result) {
        Ok(value) => Ok(value),
        Err(_) => Err(HypercallError(result.unsigned_abs())),
    }
}

/// Which call: KVM_HC_ and the name.
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

/// What a host answers to a call that it did not do: KVM_E and the name, as a positive number.
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

/// The instruction that calls the host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Instruction {
    /// Of Intel's virtualization.
    Vmcall,
    /// Of AMD's.
    Vmmcall,
}

impl Instruction {
    /// The one that the CPU's maker chose; of an unknown maker, the one of the virtualization that
    /// the CPU itself offers. Nothing if that does not tell: KVM takes the wrong one too, but then
    /// it patches the kernel's text, or raises an exception.
    pub(crate) fn of(cpuid: &impl CpuIdReader) -> Option<Self> {
        const EXTENDED: u32 = 0x8000_0000;
        const FEATURES: u32 = 1;
        const ECX_VMX: u32 = 1 << 5;
        const ECX_SVM: u32 = 1 << 2;
        let maker = cpuid.cpuid1(0);
        let mut name = [0; 12];
        for (part, register) in name.chunks_mut(4).zip([maker.ebx, maker.edx, maker.ecx]) {
            part.copy_from_slice(&register.to_le_bytes());
        }
        match &name {
            b"AuthenticAMD" | b"HygonGenuine" => return Some(Instruction::Vmmcall),
            b"GenuineIntel" | b"CentaurHauls" | b"  Shanghai  " => {
                return Some(Instruction::Vmcall);
            }
            _ => {}
        }
        let has_svm = cpuid.cpuid1(EXTENDED).eax > EXTENDED
            && cpuid.cpuid1(EXTENDED + FEATURES).ecx & ECX_SVM != 0;
        let has_vmx = cpuid.cpuid1(FEATURES).ecx & ECX_VMX != 0;
        match (has_svm, has_vmx) {
            (true, false) => Some(Instruction::Vmmcall),
            (false, true) => Some(Instruction::Vmcall),
            _ => None,
        }
    }

    pub(crate) const fn binding(self) -> Binding<op::system::hypercall> {
        match self {
            Instruction::Vmcall => inline!(system::hypercall, "vmcall"),
            Instruction::Vmmcall => inline!(system::hypercall, "vmmcall"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pvops_core::binding::Change;
    use pvops_core::probe::CpuIdResult;

    const NOTHING: CpuIdResult = CpuIdResult {
        eax: 0,
        ebx: 0,
        ecx: 0,
        edx: 0,
    };

    fn instruction(maker: &[u8; 12], vmx: u32, svm: u32) -> Option<Instruction> {
        let word = |at: usize| u32::from_le_bytes(maker[at..at + 4].try_into().unwrap());
        Instruction::of(&|leaf: u32, _: u32| match leaf {
            0 => CpuIdResult {
                eax: 1,
                ebx: word(0),
                edx: word(4),
                ecx: word(8),
            },
            1 => CpuIdResult {
                ecx: vmx << 5,
                ..NOTHING
            },
            0x8000_0000 => CpuIdResult {
                eax: 0x8000_0001,
                ..NOTHING
            },
            0x8000_0001 => CpuIdResult {
                ecx: svm << 2,
                ..NOTHING
            },
            _ => NOTHING,
        })
    }

    #[test]
    fn the_maker_decides() {
        for (maker, expected) in [
            (b"GenuineIntel", Instruction::Vmcall),
            (b"CentaurHauls", Instruction::Vmcall),
            (b"  Shanghai  ", Instruction::Vmcall),
            (b"AuthenticAMD", Instruction::Vmmcall),
            (b"HygonGenuine", Instruction::Vmmcall),
        ] {
            for (vmx, svm) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                assert_eq!(instruction(maker, vmx, svm), Some(expected));
            }
        }
    }

    #[test]
    fn of_an_unknown_maker_the_features_decide() {
        let unknown = b"TotallyOther";
        assert_eq!(instruction(unknown, 1, 0), Some(Instruction::Vmcall));
        assert_eq!(instruction(unknown, 0, 1), Some(Instruction::Vmmcall));
        assert_eq!(instruction(unknown, 0, 0), None);
        assert_eq!(instruction(unknown, 1, 1), None);
    }

    /// The opcodes as the Intel SDM and the AMD APM have them.
    #[test]
    fn each_maker_has_its_opcode() {
        for (instruction, opcode) in [
            (Instruction::Vmcall, [0x0f, 0x01, 0xc1]),
            (Instruction::Vmmcall, [0x0f, 0x01, 0xd9]),
        ] {
            let change = Change::to(instruction.binding());
            let template = change.binding().template().unwrap();
            assert_eq!(template.copy_to(&mut [0; 3]), opcode);
        }
    }

    #[test]
    fn nothing_is_called_before_it_is_allowed() {
        // SAFETY: the call does nothing.
        let result = unsafe { hypercall(HypercallNumber::VAPIC_POLL_IRQ, []) };
        assert_eq!(result, Err(HypercallError::NO_SUCH_CALL));
    }
}
