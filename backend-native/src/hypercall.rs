//! VMCALL and VMMCALL: how a guest of the CPU's own virtualization calls its host.

use pvops_core::binding::Binding;
use pvops_core::probe::CpuIdReader;
use pvops_core::{inline, op};

/// The instruction of the CPU's virtualization that calls the host. Intel SDM volume 3, VMCALL; AMD APM
/// volume 3, VMMCALL.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HypercallInstruction {
    /// Of Intel's virtualization.
    Vmcall,
    /// Of AMD's.
    Vmmcall,
}

impl HypercallInstruction {
    /// The one that the CPU's maker chose; of an unknown maker, the one of the virtualization that
    /// the CPU itself offers. Nothing if that does not tell: a host may take the wrong one too, but
    /// then it patches the kernel's text, or raises an exception.
    pub fn of(cpuid: &impl CpuIdReader) -> Option<Self> {
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
            b"AuthenticAMD" | b"HygonGenuine" => return Some(HypercallInstruction::Vmmcall),
            b"GenuineIntel" | b"CentaurHauls" | b"  Shanghai  " => {
                return Some(HypercallInstruction::Vmcall);
            }
            _ => {}
        }
        let has_svm = cpuid.cpuid1(EXTENDED).eax > EXTENDED
            && cpuid.cpuid1(EXTENDED + FEATURES).ecx & ECX_SVM != 0;
        let has_vmx = cpuid.cpuid1(FEATURES).ecx & ECX_VMX != 0;
        match (has_svm, has_vmx) {
            (true, false) => Some(HypercallInstruction::Vmmcall),
            (false, true) => Some(HypercallInstruction::Vmcall),
            _ => None,
        }
    }

    /// The instruction at the sites of [`system.hypercall`](op::system::hypercall).
    pub const fn binding(self) -> Binding<op::system::hypercall> {
        match self {
            HypercallInstruction::Vmcall => inline!(system::hypercall, "vmcall"),
            HypercallInstruction::Vmmcall => inline!(system::hypercall, "vmmcall"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pvops_core::live::Change;
    use pvops_core::probe::CpuIdResult;

    const NOTHING: CpuIdResult = CpuIdResult {
        eax: 0,
        ebx: 0,
        ecx: 0,
        edx: 0,
    };

    fn instruction(maker: &[u8; 12], vmx: u32, svm: u32) -> Option<HypercallInstruction> {
        let word = |at: usize| u32::from_le_bytes(maker[at..at + 4].try_into().unwrap());
        HypercallInstruction::of(&|leaf: u32, _: u32| match leaf {
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
            (b"GenuineIntel", HypercallInstruction::Vmcall),
            (b"CentaurHauls", HypercallInstruction::Vmcall),
            (b"  Shanghai  ", HypercallInstruction::Vmcall),
            (b"AuthenticAMD", HypercallInstruction::Vmmcall),
            (b"HygonGenuine", HypercallInstruction::Vmmcall),
        ] {
            for (vmx, svm) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                assert_eq!(instruction(maker, vmx, svm), Some(expected));
            }
        }
    }

    #[test]
    fn of_an_unknown_maker_the_features_decide() {
        let unknown = b"TotallyOther";
        assert_eq!(
            instruction(unknown, 1, 0),
            Some(HypercallInstruction::Vmcall)
        );
        assert_eq!(
            instruction(unknown, 0, 1),
            Some(HypercallInstruction::Vmmcall)
        );
        assert_eq!(instruction(unknown, 0, 0), None);
        assert_eq!(instruction(unknown, 1, 1), None);
    }

    /// The opcodes as the Intel SDM and the AMD APM have them.
    #[test]
    fn each_maker_has_its_opcode() {
        for (instruction, opcode) in [
            (HypercallInstruction::Vmcall, [0x0f, 0x01, 0xc1]),
            (HypercallInstruction::Vmmcall, [0x0f, 0x01, 0xd9]),
        ] {
            let change = Change::to(instruction.binding());
            let template = change.binding().template().unwrap();
            assert_eq!(template.copy_to(&mut [0; 3]), Some(&opcode[..]));
        }
    }
}
