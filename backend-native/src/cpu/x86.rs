//! Registers and descriptor tables of 32-bit mode.

use core::arch::naked_asm;

use super::{load_tls, read_debug_register, write_debug_register, write_idt_entry};
use pvops_core::binding::Binding;
use pvops_core::msr::MsrAccess;
use pvops_core::op::cpu::read_tsc_ordered;
use pvops_core::{call, cpu, extable_entry, inline, preserve};

pub(crate) const BINDINGS: pvops_core::bindings::cpu = pvops_core::bindings::cpu {
    read_cr0: inline!(cpu::read_cr0, "mov eax, cr0"),
    write_cr0: inline!(cpu::write_cr0, "mov cr0, eax"),
    read_cr4: inline!(cpu::read_cr4, "mov eax, cr4"),
    write_cr4: inline!(cpu::write_cr4, "mov cr4, eax"),
    read_debug_register: call!(cpu::read_debug_register, read_debug_register),
    write_debug_register: call!(cpu::write_debug_register, write_debug_register),
    cpuid: inline!(cpu::cpuid, "cpuid"),
    read_msr: inline!(cpu::read_msr, "rdmsr"),
    write_msr: inline!(cpu::write_msr, "wrmsr"),
    read_msr_safe: call!(cpu::read_msr_safe, read_msr_safe),
    write_msr_safe: call!(cpu::write_msr_safe, write_msr_safe),
    read_tsc: inline!(cpu::read_tsc, "rdtsc"),
    read_tsc_ordered: READ_TSC_ORDERED_BY_CPUID,
    read_performance_counter: inline!(cpu::read_performance_counter, "rdpmc"),
    load_gdt: inline!(cpu::load_gdt, "lgdt [eax]"),
    load_idt: inline!(cpu::load_idt, "lidt [eax]"),
    load_ldt: inline!(cpu::load_ldt, "lldt ax"),
    load_task_register: inline!(cpu::load_task_register, "ltr ax"),
    read_cr8: Binding::unavailable(),
    write_cr8: Binding::unavailable(),
    read_xcr: inline!(cpu::read_xcr, "xgetbv"),
    write_xcr: inline!(cpu::write_xcr, "xsetbv"),
    wbinvd: inline!(cpu::wbinvd, "wbinvd"),
    clear_task_switched: inline!(cpu::clear_task_switched, "clts"),
    // TS is bit 3.
    set_task_switched: inline!(
        cpu::set_task_switched,
        "mov eax, cr0",
        "or al, 8",
        "mov cr0, eax"
    ),
    swapgs: Binding::unavailable(),
    interrupt_return: inline!(cpu::interrupt_return, "iretd"),
    syscall_return: Binding::unavailable(),
    // STI lets no interrupt in before the next instruction has run.
    sysenter_return: inline!(cpu::sysenter_return, "sti", "sysexit"),
    setup_syscall: Binding::unavailable(),
    read_fs_base: Binding::unavailable(),
    write_fs_base: Binding::unavailable(),
    read_gs_base: Binding::unavailable(),
    write_gs_base: Binding::unavailable(),
    read_kernel_gs_base: Binding::unavailable(),
    write_kernel_gs_base: Binding::unavailable(),
    load_gs_selector: Binding::unavailable(),
    write_gdt_entry: preserve!(cpu::write_gdt_entry, write_descriptor),
    write_ldt_entry: preserve!(cpu::write_ldt_entry, write_descriptor),
    write_idt_entry: call!(cpu::write_idt_entry, write_idt_entry),
    load_kernel_stack: inline!(cpu::load_kernel_stack, "mov [eax], edx"),
    load_tls: call!(cpu::load_tls, load_tls),
    start_context_switch: Binding::nothing(),
    end_context_switch: Binding::nothing(),
};

/// What CPUs with SSE2 have besides: LFENCE.
pub(crate) const TYPICAL: pvops_core::bindings::cpu = pvops_core::bindings::cpu {
    read_tsc_ordered: inline!(cpu::read_tsc_ordered, "lfence", "rdtsc"),
    ..BINDINGS
};

/// The bindings on this CPU.
pub(crate) fn bindings() -> pvops_core::bindings::cpu {
    const FEATURES: u32 = 1;
    const EDX_SSE2: u32 = 1 << 26;
    if cpu::cpuid(FEATURES, 0).edx & EDX_SSE2 == 0 {
        BINDINGS
    } else {
        TYPICAL
    }
}

/// Every CPU that has a counter has CPUID, which keeps it behind all earlier instructions; on a
/// hypervisor it takes a microsecond or more.
const READ_TSC_ORDERED_BY_CPUID: Binding<read_tsc_ordered> = {
    #[unsafe(naked)]
    unsafe extern "C" fn thunk() {
        naked_asm!(
            "push ebx",
            "xor eax, eax",
            "cpuid",
            "rdtsc",
            "pop ebx",
            "ret",
        )
    }
    // SAFETY: it changes what the shape says, and has its result there.
    unsafe { Binding::preserve(thunk) }
};

/// The second half is the one with the present bit.
unsafe extern "C" fn write_descriptor(table: *mut u64, index: usize, entry: u64) {
    // SAFETY: the op's caller vouches for the entry.
    unsafe {
        let halves = table.add(index).cast::<u32>();
        halves.write_volatile(entry as u32);
        halves.add(1).write_volatile((entry >> 32) as u32);
    }
}

#[unsafe(naked)]
unsafe extern "C" fn read_msr_safe(index: u32, value: *mut u64) -> MsrAccess {
    naked_asm!(
        "push edi",
        "mov ecx, [esp + 8]",
        // 1 unless RDMSR and what follows are done.
        "mov edi, 1",
        "771: rdmsr",
        "mov ecx, [esp + 12]",
        "mov [ecx], eax",
        "mov [ecx + 4], edx",
        "xor edi, edi",
        "772: mov eax, edi",
        "pop edi",
        "ret",
        extable_entry!("771b", "772b"),
    )
}

#[unsafe(naked)]
unsafe extern "C" fn write_msr_safe(index: u32, value: u64) -> MsrAccess {
    naked_asm!(
        "push edi",
        "mov ecx, [esp + 8]",
        "mov eax, [esp + 12]",
        "mov edx, [esp + 16]",
        "mov edi, 1",
        "771: wrmsr",
        "xor edi, edi",
        "772: mov eax, edi",
        "pop edi",
        "ret",
        extable_entry!("771b", "772b"),
    )
}
