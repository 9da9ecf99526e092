//! Calls of the host, heard.

use core::arch::naked_asm;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pvops_core::binding::Binding;
use pvops_core::{Bindings, Op, op};

use super::frames::{self, InFrame};
use super::text::note;

/// The op bound to what is bound already, with a line besides.
pub(super) fn over(bindings: &Bindings) -> Binding<op::system::hypercall> {
    let number = usize::from(op::system::hypercall::NUMBER.0);
    let target = bindings.as_slice()[number].target();
    INSTRUCTION.store(target, Ordering::Relaxed);
    // SAFETY: the thunk calls what was bound with the registers that it finds, and keeps those that come
    // back.
    unsafe { Binding::hypercall(thunk) }
}

/// Says that calls are Xen's, with arguments in other registers than KVM's.
pub(super) fn are_xens() {
    IS_XEN.store(true, Ordering::Relaxed);
}

static IS_XEN: AtomicBool = AtomicBool::new(false);

/// The function that has the instruction.
static INSTRUCTION: AtomicUsize = AtomicUsize::new(0);

/// What a call finds in the registers.
#[repr(C)]
struct Registers {
    rax: u64,
    rbx: u64,
    rcx: u64,
    rdx: u64,
    rsi: u64,
    rdi: u64,
    r8: u64,
    r9: u64,
    r10: u64,
    r11: u64,
}

extern "C" fn look() {
    frames::look();
}

/// The arguments of both ABIs: KVM's in rbx, rcx, rdx and rsi, Xen's in rdi, rsi, rdx, r10 and r8.
extern "C" fn heard(question: &Registers, result: u64) {
    let Registers {
        rax,
        rbx,
        rcx,
        rdx,
        rsi,
        rdi,
        r10,
        r8,
        ..
    } = *question;
    let arguments = match IS_XEN.load(Ordering::Relaxed) {
        true => [rdi, rsi, rdx, r10, r8],
        false => [rbx, rcx, rdx, rsi, 0],
    };
    let [a, b, c, d, e] = arguments.map(InFrame);
    note(format_args!(
        "hypercall {rax:#x} {a} {b} {c} {d} {e} = {result:#x}"
    ));
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
        "call {look}",
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
        "call {heard}",
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
        look = sym look,
        heard = sym heard,
        instruction = sym INSTRUCTION,
    )
}
