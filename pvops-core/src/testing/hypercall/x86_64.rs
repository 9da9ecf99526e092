//! Registers of a call from 64-bit code.

use core::arch::naked_asm;

use super::answer;

/// The registers of a hypercall, for the host to read and change.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct HypercallRegisters {
    /// Register rax: the number of the call, and its result.
    pub rax: usize,
    /// Register rbx.
    pub rbx: usize,
    /// Register rcx.
    pub rcx: usize,
    /// Register rdx.
    pub rdx: usize,
    /// Register rsi.
    pub rsi: usize,
    /// Register rdi.
    pub rdi: usize,
    /// Register r8.
    pub r8: usize,
    /// Register r9.
    pub r9: usize,
    /// Register r10.
    pub r10: usize,
    /// Register r11.
    pub r11: usize,
}

impl HypercallRegisters {
    pub(in crate::testing) fn number(&self) -> usize {
        self.rax
    }

    /// The register of that name, of those in which hosts take arguments.
    pub(in crate::testing) fn register(&self, name: &str) -> Option<usize> {
        Some(match name {
            "rbx" => self.rbx,
            "rcx" => self.rcx,
            "rdx" => self.rdx,
            "rsi" => self.rsi,
            "rdi" => self.rdi,
            "r8" => self.r8,
            "r10" => self.r10,
            _ => return None,
        })
    }

    pub(super) fn set_result(&mut self, result: usize) {
        self.rax = result;
    }
}

/// The vector registers are kept: sites in assembly, as those of hypercalls, need not give them up.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn thunk() {
    naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "push r11",
        "push r10",
        "push r9",
        "push r8",
        "push rdi",
        "push rsi",
        "push rdx",
        "push rcx",
        "push rbx",
        "push rax",
        "mov rdi, rsp",
        "and rsp, -16",
        "sub rsp, 512",
        "fxsave64 [rsp]",
        "call {answer}",
        "fxrstor64 [rsp]",
        "lea rsp, [rbp - 80]",
        "pop rax",
        "pop rbx",
        "pop rcx",
        "pop rdx",
        "pop rsi",
        "pop rdi",
        "pop r8",
        "pop r9",
        "pop r10",
        "pop r11",
        "pop rbp",
        "ret",
        answer = sym answer,
    )
}
