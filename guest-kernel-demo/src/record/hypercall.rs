//! Calls of the host, heard.

use core::arch::naked_asm;
use core::sync::atomic::{AtomicUsize, Ordering};

use pvops_core::binding::Binding;
use pvops_core::{Bindings, Op, op};
use spin::Mutex;

use super::frames;
use super::question::{Question, Registers};
use super::structures::{MAX_WORDS, Structure};
use super::text::{self, note};

/// The op bound to what is bound already, with a line besides.
pub(super) fn over(bindings: &Bindings) -> Binding<op::system::hypercall> {
    let number = usize::from(op::system::hypercall::NUMBER.0);
    let target = bindings.as_slice()[number].target();
    INSTRUCTION.store(target, Ordering::Relaxed);
    // SAFETY: the thunk calls what was bound with the registers that it finds, and keeps those that come
    // back.
    unsafe { Binding::hypercall(thunk) }
}

/// The function that has the instruction.
static INSTRUCTION: AtomicUsize = AtomicUsize::new(0);

/// The structure of the call that is being made, before it. One CPU runs.
static BEFORE: Mutex<[u64; MAX_WORDS]> = Mutex::new([0; MAX_WORDS]);

extern "C" fn before(question: &Registers) {
    if !text::is_printed() {
        *BEFORE.lock() = question.read_structure();
        frames::look();
    }
}

/// Notes the call, and what the host has written.
extern "C" fn after(question: &Registers, result: u64) {
    if text::is_printed() {
        return;
    }
    let before = *BEFORE.lock();
    note(format_args!("{} = {result:#x}", Question(question, before)));
    if let Some(Structure { register, .. }) = question.structure() {
        let changes = before.iter().zip(question.read_structure()).enumerate();
        for (index, (_, word)) in changes.filter(|(_, (before, word))| *before != word) {
            let offset = index * size_of::<u64>();
            // The bytes as they are in memory.
            let bytes = word.swap_bytes();
            note(format_args!("memory {register}+{offset:#x} {bytes:016x}"));
        }
    }
    frames::note();
}

#[unsafe(naked)]
unsafe extern "C" fn thunk() {
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
        "and rsp, -16",
        "lea rdi, [rbp - 80]",
        "call {before}",
        "mov rax, [rbp - 80]",
        "mov rcx, [rbp - 64]",
        "mov rdx, [rbp - 56]",
        "mov rsi, [rbp - 48]",
        "mov rdi, [rbp - 40]",
        "mov r8, [rbp - 32]",
        "mov r9, [rbp - 24]",
        "mov r10, [rbp - 16]",
        "mov r11, [rbp - 8]",
        "call [rip + {instruction}]",
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
        "lea rdi, [rbp - 80]",
        "mov rsi, rax",
        "call {after}",
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
        "mov rsp, rbp",
        "pop rbp",
        "ret",
        before = sym before,
        after = sym after,
        instruction = sym INSTRUCTION,
    )
}
