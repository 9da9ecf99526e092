//! Registers and descriptor tables of 64-bit mode.

use core::arch::naked_asm;

use super::{load_tls, read_debug_register, write_debug_register, write_idt_entry};
use pvops_core::binding::Binding;
use pvops_core::msr::MsrAccess;
use pvops_core::{SyscallEntry, call, extable_entry, inline};
use x86::msr::{
    IA32_EFER, IA32_FMASK, IA32_FS_BASE, IA32_GS_BASE, IA32_KERNEL_GSBASE, IA32_LSTAR, IA32_STAR,
    rdmsr, wrmsr,
};

pub(crate) const BINDINGS: pvops_core::bindings::cpu = pvops_core::bindings::cpu {
    read_cr0: inline!(cpu::read_cr0, "mov rax, cr0"),
    write_cr0: inline!(cpu::write_cr0, "mov cr0, rdi"),
    read_cr4: inline!(cpu::read_cr4, "mov rax, cr4"),
    write_cr4: inline!(cpu::write_cr4, "mov cr4, rdi"),
    read_debug_register: call!(cpu::read_debug_register, read_debug_register),
    write_debug_register: call!(cpu::write_debug_register, write_debug_register),
    cpuid: inline!(cpu::cpuid, "cpuid"),
    read_msr: inline!(cpu::read_msr, "rdmsr"),
    write_msr: inline!(cpu::write_msr, "wrmsr"),
    read_msr_safe: call!(cpu::read_msr_safe, read_msr_safe),
    write_msr_safe: call!(cpu::write_msr_safe, write_msr_safe),
    read_tsc: inline!(cpu::read_tsc, "rdtsc"),
    read_tsc_ordered: inline!(cpu::read_tsc_ordered, "lfence", "rdtsc"),
    read_performance_counter: inline!(cpu::read_performance_counter, "rdpmc"),
    load_gdt: inline!(cpu::load_gdt, "lgdt [rdi]"),
    load_idt: inline!(cpu::load_idt, "lidt [rdi]"),
    load_ldt: inline!(cpu::load_ldt, "lldt di"),
    load_task_register: inline!(cpu::load_task_register, "ltr di"),
    read_cr8: inline!(cpu::read_cr8, "mov rax, cr8"),
    write_cr8: inline!(cpu::write_cr8, "mov cr8, rdi"),
    read_xcr: inline!(cpu::read_xcr, "xgetbv"),
    write_xcr: inline!(cpu::write_xcr, "xsetbv"),
    wbinvd: inline!(cpu::wbinvd, "wbinvd"),
    clear_task_switched: inline!(cpu::clear_task_switched, "clts"),
    // TS is bit 3.
    set_task_switched: inline!(
        cpu::set_task_switched,
        "mov rax, cr0",
        "or al, 8",
        "mov cr0, rax"
    ),
    swapgs: inline!(cpu::swapgs, "swapgs"),
    interrupt_return: inline!(cpu::interrupt_return, "iretq"),
    // The frame has RIP, CS, flags, RSP, SS.
    syscall_return: inline!(
        cpu::syscall_return,
        "pop rcx",
        "pop r11",
        "pop r11",
        "pop rsp",
        "sysretq"
    ),
    sysenter_return: Binding::unavailable(),
    setup_syscall: call!(cpu::setup_syscall, setup_syscall),
    read_fs_base: inline!(cpu::read_fs_base, "mov ecx, 0xc0000100", "rdmsr"),
    write_fs_base: inline!(cpu::write_fs_base, "mov ecx, 0xc0000100", "wrmsr"),
    read_gs_base: inline!(cpu::read_gs_base, "mov ecx, 0xc0000101", "rdmsr"),
    write_gs_base: inline!(cpu::write_gs_base, "mov ecx, 0xc0000101", "wrmsr"),
    read_kernel_gs_base: inline!(cpu::read_kernel_gs_base, "mov ecx, 0xc0000102", "rdmsr"),
    write_kernel_gs_base: inline!(cpu::write_kernel_gs_base, "mov ecx, 0xc0000102", "wrmsr"),
    load_gs_selector: inline!(cpu::load_gs_selector, "swapgs", "mov gs, edi", "swapgs"),
    write_gdt_entry: inline!(cpu::write_gdt_entry, "mov [rdi + rsi * 8], rdx"),
    write_ldt_entry: inline!(cpu::write_ldt_entry, "mov [rdi + rsi * 8], rdx"),
    write_idt_entry: call!(cpu::write_idt_entry, write_idt_entry),
    load_kernel_stack: inline!(cpu::load_kernel_stack, "mov [rdi], rsi"),
    load_tls: call!(cpu::load_tls, load_tls),
    start_context_switch: Binding::nothing(),
    end_context_switch: Binding::nothing(),
};

/// What every 64-bit CPU has.
pub(crate) const TYPICAL: pvops_core::bindings::cpu = BINDINGS;

/// The bindings on this CPU.
pub(crate) fn bindings() -> pvops_core::bindings::cpu {
    BINDINGS
}

// The templates name the registers by number.
const _: () = assert!(
    IA32_FS_BASE == 0xc000_0100 && IA32_GS_BASE == 0xc000_0101 && IA32_KERNEL_GSBASE == 0xc000_0102
);

/// Intel SDM volume 3, section 6.8.8 and figure 6-14.
unsafe extern "C" fn setup_syscall(entry: *const SyscallEntry) {
    const SYSCALL_ENABLE: u64 = 1;
    // SAFETY: the op's caller vouches for the pointer.
    let entry = unsafe { entry.read() };
    let star = u64::from(entry.kernel_code) << 32 | u64::from(entry.user_base) << 48;
    // SAFETY: every 64-bit CPU has these registers, and the op's caller vouches for the entry.
    unsafe {
        wrmsr(IA32_STAR, star);
        wrmsr(IA32_LSTAR, entry.direct as u64);
        wrmsr(IA32_FMASK, CLEARED_FLAGS);
        wrmsr(IA32_EFER, rdmsr(IA32_EFER) | SYSCALL_ENABLE);
    }
}

/// Flags that SYSCALL clears: trap, interrupt, direction, I/O privilege, nested task, alignment
/// check. Intel SDM volume 1, section 3.4.3.
const CLEARED_FLAGS: u64 = 1 << 8 | 1 << 9 | 1 << 10 | 3 << 12 | 1 << 14 | 1 << 18;

#[unsafe(naked)]
unsafe extern "C" fn read_msr_safe(index: u32, value: *mut u64) -> MsrAccess {
    naked_asm!(
        "mov ecx, edi",
        // 1 unless RDMSR and what follows are done.
        "mov edi, 1",
        "771: rdmsr",
        "mov [rsi], eax",
        "mov [rsi + 4], edx",
        "xor edi, edi",
        "772: mov eax, edi",
        "ret",
        extable_entry!("771b", "772b"),
    )
}

#[unsafe(naked)]
unsafe extern "C" fn write_msr_safe(index: u32, value: u64) -> MsrAccess {
    naked_asm!(
        "mov ecx, edi",
        "mov eax, esi",
        "mov rdx, rsi",
        "shr rdx, 32",
        "mov edi, 1",
        "771: wrmsr",
        "xor edi, edi",
        "772: mov eax, edi",
        "ret",
        extable_entry!("771b", "772b"),
    )
}
