//! Shapes: in which registers an op's operands are.
//!
//! A call site can become a single instruction, and a single instruction has its operands where the
//! CPU wants them: RDMSR takes the index in ecx and answers in edx:eax. So an op declares a *shape*,
//! and the site, the thunk and the template of that op agree on it.
//!
//! In 64-bit code, where every site loses rax and the flags:
//!
//! | shape | class | arguments | result | lost besides |
//! |---|---|---|---|---|
//! | `plain` | preserve | rdi, rsi, rdx | rax | |
//! | `flags_read` | preserve | | rax | |
//! | `flags_write` | preserve | rdi | | |
//! | `scratch` | preserve | | | rcx, rdx |
//! | `counter` | preserve | | edx:eax | rdx |
//! | `base_read` | preserve | | edx:eax | rcx, rdx |
//! | `base_write` | preserve | edx:eax | | rcx |
//! | `msr_read` | preserve | ecx | edx:eax | rdx |
//! | `msr_write` | preserve | ecx, edx:eax | | |
//! | `port_in` | preserve | dx | al, ax, eax | |
//! | `port_out` | preserve | dx, eax (zero-extended) | | |
//! | `cpuid` | preserve | eax, ecx | eax, ebx, ecx, edx | rbx, rcx, rdx |
//! | `exit` | exit | rsp leads to an [`InterruptFrame`](crate::InterruptFrame) | never returns | |
//! | `hypercall` | hypercall | as the host's ABI says | as the host's ABI says | as the host's ABI says |
//! | `c` | C | rdi, rsi, rdx | rax | all that the C ABI says |
//! | `c_msr_read` | C | rdi, rsi (where the value goes) | rax | all that the C ABI says |
//! | `c_msr_write` | C | rdi, rsi | rax | all that the C ABI says |
//!
//! In 32-bit code a value of 64 bits takes two words, the low one first. Every site loses eax, ecx, edx
//! and the flags, but for sites of `flags_read` and `flags_write`, which lose the flags only:
//!
//! | shape | class | arguments | result |
//! |---|---|---|---|
//! | `plain` | preserve | the first three words in eax, edx and ecx, a fourth on the stack, where the site leaves it | eax, edx:eax |
//! | `flags_read` | preserve | | eax |
//! | `flags_write` | preserve | eax | |
//! | `scratch` | preserve | | |
//! | `counter` | preserve | | edx:eax |
//! | `msr_read` | preserve | ecx | edx:eax |
//! | `msr_write` | preserve | ecx, edx:eax | |
//! | `port_in` | preserve | dx | al, ax, eax |
//! | `port_out` | preserve | dx, eax (zero-extended) | |
//! | `cpuid` | preserve | eax, ecx | eax, ebx, ecx, edx |
//! | `exit` | exit | esp leads to an [`InterruptFrame`](crate::InterruptFrame) | never returns |
//! | `sysexit` | exit | edx, ecx | never returns |
//! | `hypercall` | hypercall | as the host's ABI says | as the host's ABI says |
//! | `c`, `c_msr_read`, `c_msr_write` | C | as in 64-bit code, on the stack | eax, edx:eax |
//!
//! So `plain` is what compilers call `regparm(3)`, and what VMI's calls take; `flags_read` and
//! `flags_write` are what VMI's calls for the interrupt flag keep to. A function with that ABI needs no
//! thunk.
//!
//! Preserve sites do not align the stack; C sites do, to 16 bytes before the call. Where the target
//! has vector registers, every site loses them, and 32-bit ones the x87 registers. An exit site takes
//! all registers to where it leads; a backend's function finds a return address on top of the frame,
//! and drops it.
#![allow(non_upper_case_globals)]

/// Arguments and result in general registers.
pub const plain: u32 = 0;
/// No operands; the registers ecx and edx are free for the inline form.
pub const scratch: u32 = 1;
/// No argument, result in edx:eax.
pub const counter: u32 = 2;
/// Index in ecx, result in edx:eax.
pub const msr_read: u32 = 3;
/// Index in ecx, value in edx:eax.
pub const msr_write: u32 = 4;
/// Port in dx, result in al, ax or eax.
pub const port_in: u32 = 5;
/// Port in dx, value in eax, zero-extended: the C ABI as LLVM has it wants that of narrow arguments.
pub const port_out: u32 = 6;
/// Leaf in eax, subleaf in ecx, result in eax, ebx, ecx and edx.
pub const cpuid: u32 = 7;
/// The C ABI.
pub const c: u32 = 8;
/// The C ABI, with the place for the value as the last argument, and as result an
/// [`MsrAccess`](crate::msr::MsrAccess).
pub const c_msr_read: u32 = 9;
/// No argument, result in edx:eax; ecx is free for the inline form.
pub const base_read: u32 = 10;
/// Value in edx:eax; ecx is free for the inline form.
pub const base_write: u32 = 11;
/// An [`InterruptFrame`](crate::InterruptFrame) at the stack pointer, and no way back.
pub const exit: u32 = 12;
/// The host's own ABI; only sites in assembly have it.
pub const hypercall: u32 = 13;
/// What `save_flags` returns in the first register for results, and nothing else lost in 32-bit code.
pub const flags_read: u32 = 14;
/// At most one argument in the first register for arguments, and nothing lost in 32-bit code.
pub const flags_write: u32 = 15;
/// Address in edx, stack pointer in ecx, and no way back.
pub const sysexit: u32 = 16;
/// The C ABI, with an [`MsrAccess`](crate::msr::MsrAccess) as result.
pub const c_msr_write: u32 = 17;

/// Words that the function of an op takes besides the op's arguments: the place for the value.
pub(crate) const fn words_besides(shape: u32) -> usize {
    (shape == c_msr_read) as usize
}

/// The function that an op of a shape is, for backends written in Rust.
macro_rules! function_type {
    (cpuid, ($($type:ty),*) -> $result:ty) => {
        unsafe extern "C" fn($($type,)* *mut $result)
    };
    (c_msr_read, ($($type:ty),*) -> $result:ty) => {
        unsafe extern "C" fn($($type,)* *mut u64) -> $crate::msr::MsrAccess
    };
    (c_msr_write, ($($type:ty),*) -> $result:ty) => {
        unsafe extern "C" fn($($type),*) -> $crate::msr::MsrAccess
    };
    (exit, ($($type:ty),*) -> !) => {
        unsafe extern "C" fn()
    };
    (sysexit, ($($type:ty),*) -> !) => {
        unsafe extern "C" fn()
    };
    ($shape:ident, ($($type:ty),*) $(-> $result:ty)?) => {
        unsafe extern "C" fn($($type),*) $(-> $result)?
    };
}

macro_rules! class_of {
    (c, $name:ident) => {
        // SAFETY: sites of this shape follow the C ABI.
        unsafe impl $crate::op::COp for $name {}
    };
    (c_msr_read, $name:ident) => {
        // SAFETY: sites of this shape follow the C ABI.
        unsafe impl $crate::op::COp for $name {}
    };
    (c_msr_write, $name:ident) => {
        // SAFETY: sites of this shape follow the C ABI.
        unsafe impl $crate::op::COp for $name {}
    };
    (exit, $name:ident) => {
        // SAFETY: sites of this shape never come back.
        unsafe impl $crate::op::ExitOp for $name {}
    };
    (sysexit, $name:ident) => {
        // SAFETY: sites of this shape never come back.
        unsafe impl $crate::op::ExitOp for $name {}
    };
    (hypercall, $name:ident) => {};
    ($shape:ident, $name:ident) => {
        // SAFETY: sites of this shape lose only what the shape says.
        unsafe impl $crate::op::PreserveOp for $name {}
    };
}

pub(crate) use {class_of, function_type};
