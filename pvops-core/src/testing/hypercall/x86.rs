//! Registers of a call from 32-bit code.

use core::arch::naked_asm;

use super::answer;

/// The registers of a hypercall, for the host to read and change.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct HypercallRegisters {
    /// Register eax: the number of the call, and its result.
    pub eax: usize,
    /// Register ebx.
    pub ebx: usize,
    /// Register ecx.
    pub ecx: usize,
    /// Register edx.
    pub edx: usize,
    /// Register esi.
    pub esi: usize,
    /// Register edi.
    pub edi: usize,
}

impl HypercallRegisters {
    pub(in crate::testing) fn number(&self) -> usize {
        self.eax
    }

    /// The register of that name, of those in which hosts take arguments.
    pub(in crate::testing) fn register(&self, name: &str) -> Option<usize> {
        Some(match name {
            "ebx" => self.ebx,
            "ecx" => self.ecx,
            "edx" => self.edx,
            "esi" => self.esi,
            "edi" => self.edi,
            _ => return None,
        })
    }

    pub(super) fn set_result(&mut self, result: usize) {
        self.eax = result;
    }
}

#[unsafe(naked)]
pub(super) unsafe extern "C" fn thunk() {
    naked_asm!(
        "push ebp",
        "mov ebp, esp",
        "push edi",
        "push esi",
        "push edx",
        "push ecx",
        "push ebx",
        "push eax",
        "mov eax, esp",
        "and esp, -16",
        "sub esp, 12",
        "push eax",
        "call {answer}",
        "lea esp, [ebp - 24]",
        "pop eax",
        "pop ebx",
        "pop ecx",
        "pop edx",
        "pop esi",
        "pop edi",
        "pop ebp",
        "ret",
        answer = sym answer,
    )
}
