//! What a function does to the registers, seen from the outside.

use core::arch::naked_asm;

/// How many registers there are but the stack pointer.
#[cfg(target_arch = "x86_64")]
const COUNT: usize = 15;
/// How many registers there are but the stack pointer.
#[cfg(target_arch = "x86")]
const COUNT: usize = 7;

/// All registers but rsp, in the order of their numbers: rax, rcx, rdx, rbx, rbp, rsi, rdi, r8... In
/// 32-bit code eax to edi.
pub type Registers = [usize; COUNT];

/// Where rax is in [`Registers`].
pub const RAX: usize = 0;
/// Where rcx is.
pub const RCX: usize = 1;
/// Where rdx is.
pub const RDX: usize = 2;
/// Where rbx is.
pub const RBX: usize = 3;
/// Where rsi is.
pub const RSI: usize = 5;
/// Where rdi is.
pub const RDI: usize = 6;

/// Where `plain` sites have their first and second word of arguments.
#[cfg(target_arch = "x86_64")]
pub const ARGUMENTS: [usize; 2] = [RDI, RSI];
/// Where `plain` sites have their first and second word of arguments.
#[cfg(target_arch = "x86")]
pub const ARGUMENTS: [usize; 2] = [RAX, RDX];

/// What `plain` sites lose whether their op has a result or not.
#[cfg(target_arch = "x86_64")]
pub const LOST: &[usize] = &[RAX];
/// What `plain` sites lose whether their op has a result or not.
#[cfg(target_arch = "x86")]
pub const LOST: &[usize] = &[RAX, RCX, RDX];

/// Makes a 64-bit value the argument of a `plain` site.
pub fn set_argument(registers: &mut Registers, value: u64) {
    registers[ARGUMENTS[0]] = value as usize;
    #[cfg(target_arch = "x86")]
    {
        registers[ARGUMENTS[1]] = (value >> 32) as usize;
    }
}

/// The 64-bit result of a `plain` site.
pub fn result(registers: &Registers) -> u64 {
    match cfg!(target_arch = "x86_64") {
        true => registers[RAX] as u64,
        false => (registers[RDX] as u64) << 32 | registers[RAX] as u64,
    }
}

/// Whether no register has changed but those that `plain` sites lose.
pub fn is_kept(before: &Registers, after: &Registers) -> bool {
    (0..COUNT).all(|register| LOST.contains(&register) || before[register] == after[register])
}

/// A pattern in each register.
pub fn pattern() -> Registers {
    std::array::from_fn(|index| (0x1111_1111_1111_1111 * (index as u64 + 1)) as usize)
}

/// What misaligns a stack most: a word.
pub const MISALIGNED: usize = size_of::<usize>();

/// Calls a function with these registers, and leaves in them what it left. `misalign` is 0 for a
/// stack that is aligned as C wants it, [`MISALIGNED`] for one that is not, as at preserve sites of
/// kernels.
///
/// # Safety
///
/// The function at `function` can be called with these registers and this stack, and returns.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
pub unsafe extern "C" fn call(registers: *mut Registers, misalign: usize, function: usize) {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov rax, rsp",
        "sub rsp, rsi",
        "push rax",
        "push rdi",
        "push rdx",
        "mov rax, [rdi]",
        "mov rcx, [rdi + 8]",
        "mov rdx, [rdi + 16]",
        "mov rbx, [rdi + 24]",
        "mov rbp, [rdi + 32]",
        "mov rsi, [rdi + 40]",
        "mov r8, [rdi + 56]",
        "mov r9, [rdi + 64]",
        "mov r10, [rdi + 72]",
        "mov r11, [rdi + 80]",
        "mov r12, [rdi + 88]",
        "mov r13, [rdi + 96]",
        "mov r14, [rdi + 104]",
        "mov r15, [rdi + 112]",
        "mov rdi, [rdi + 48]",
        "call qword ptr [rsp]",
        "lea rsp, [rsp + 8]",
        "xchg rdi, [rsp]",
        "mov [rdi], rax",
        "mov [rdi + 8], rcx",
        "mov [rdi + 16], rdx",
        "mov [rdi + 24], rbx",
        "mov [rdi + 32], rbp",
        "mov [rdi + 40], rsi",
        "mov [rdi + 56], r8",
        "mov [rdi + 64], r9",
        "mov [rdi + 72], r10",
        "mov [rdi + 80], r11",
        "mov [rdi + 88], r12",
        "mov [rdi + 96], r13",
        "mov [rdi + 104], r14",
        "mov [rdi + 112], r15",
        "pop rax",
        "mov [rdi + 48], rax",
        "pop rsp",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
    )
}

/// Calls a function with these registers, and leaves in them what it left. `misalign` is 0 for a
/// stack that is aligned as C wants it, [`MISALIGNED`] for one that is not, as at preserve sites of
/// kernels.
///
/// # Safety
///
/// The function at `function` can be called with these registers and this stack, and returns.
#[cfg(target_arch = "x86")]
#[unsafe(naked)]
pub unsafe extern "C" fn call(registers: *mut Registers, misalign: usize, function: usize) {
    naked_asm!(
        "push ebx",
        "push ebp",
        "push esi",
        "push edi",
        "mov edi, [esp + 20]",
        "mov ecx, [esp + 24]",
        "mov edx, [esp + 28]",
        "mov eax, esp",
        "and esp, -16",
        "sub esp, ecx",
        // Three words follow.
        "sub esp, 4",
        "push eax",
        "push edi",
        "push edx",
        "mov eax, [edi]",
        "mov ecx, [edi + 4]",
        "mov edx, [edi + 8]",
        "mov ebx, [edi + 12]",
        "mov ebp, [edi + 16]",
        "mov esi, [edi + 20]",
        "mov edi, [edi + 24]",
        "call dword ptr [esp]",
        "lea esp, [esp + 4]",
        "xchg edi, [esp]",
        "mov [edi], eax",
        "mov [edi + 4], ecx",
        "mov [edi + 8], edx",
        "mov [edi + 12], ebx",
        "mov [edi + 16], ebp",
        "mov [edi + 20], esi",
        "pop eax",
        "mov [edi + 24], eax",
        "pop esp",
        "pop edi",
        "pop esi",
        "pop ebp",
        "pop ebx",
        "ret",
    )
}
