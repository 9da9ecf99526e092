//! Shapes: in which registers an op's operands are.
//!
//! A call site can become a single instruction, and a single instruction has its operands where the
//! CPU wants them: RDMSR takes the index in ecx and answers in edx:eax. So an op declares a *shape*,
//! and the site, the thunk and the template of that op agree on it.
//!
//! | shape | class | arguments | result | lost besides rax |
//! |---|---|---|---|---|
//! | `plain` | preserve | rdi, rsi, rdx | rax | |
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
//!
//! The flags are lost at every site. Preserve sites do not align the stack; C sites do, to 16 bytes
//! before the call. Where the target has vector registers, every site loses them. An exit site takes all
//! registers to where it leads; a backend's function finds a return address on top of the frame, and
//! drops it.
#![allow(non_upper_case_globals)]

/// Arguments in rdi, rsi and rdx, result in rax.
pub const plain: u32 = 0;
/// No operands; rcx and rdx are free for the inline form.
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
/// No argument, result in edx:eax; rcx is free for the inline form.
pub const base_read: u32 = 10;
/// Value in edx:eax; rcx is free for the inline form.
pub const base_write: u32 = 11;
/// An [`InterruptFrame`](crate::InterruptFrame) at rsp, and no way back.
pub const exit: u32 = 12;

/// The host's own ABI; only sites in assembly have it.
pub const hypercall: u32 = 13;

/// The function that an op of a shape is, for backends written in Rust.
macro_rules! function_type {
    (cpuid, ($($type:ty),*) -> $result:ty) => {
        unsafe extern "C" fn($($type,)* *mut $result)
    };
    (c_msr_read, ($($type:ty),*) -> $result:ty) => {
        unsafe extern "C" fn($($type,)* *mut u64) -> $crate::msr::MsrAccess
    };
    (exit, ($($type:ty),*) -> !) => {
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
    (exit, $name:ident) => {};
    (hypercall, $name:ident) => {};
    ($shape:ident, $name:ident) => {
        // SAFETY: sites of this shape lose only what the shape says.
        unsafe impl $crate::op::PreserveOp for $name {}
    };
}

pub(crate) use {class_of, function_type};
