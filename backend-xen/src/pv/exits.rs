//! Leaving the kernel: for a PV guest a call that does not come back, as the instruction would need
//! ring 0.
//!
//! Xen's public/arch-x86/xen-x86_64.h, `struct iret_context`: rax, r11, rcx and flags on top of the
//! frame.

use pvops_core::binding::Binding;
use pvops_core::{inline, op};

/// HYPERVISOR_iret is 23.
pub(super) const INTERRUPT_RETURN: Binding<op::cpu::interrupt_return> = inline!(
    cpu::interrupt_return,
    "push 0",
    "push rcx",
    "push r11",
    "push rax",
    "mov eax, 23",
    "syscall"
);

/// With VGCF_in_syscall, 0x100: rcx and r11 need not be restored.
pub(super) const SYSCALL_RETURN: Binding<op::cpu::syscall_return> = inline!(
    cpu::syscall_return,
    "push 0x100",
    "push rcx",
    "push r11",
    "push rax",
    // Shorter than a MOV, so that it fits the site.
    "push 23",
    "pop rax",
    "syscall"
);
