//! The ops of a CPU's registers in a PV guest, which runs in ring 3.
//!
//! Instructions that Xen emulates when they fault are left to it where nobody is in a hurry: CR4, most
//! model-specific registers, XSETBV. Xen's public/arch-x86/xen-x86_64.h and public/xen.h.

use core::arch::asm;
use core::sync::atomic::{AtomicUsize, Ordering};

use pvops_backend_native as native;
use pvops_core::binding::Binding;
use pvops_core::cpu_set::MAX_CPUS;
use pvops_core::probe::CpuIdResult;
use pvops_core::{bindings, call, preserve};

use super::page_table_calls::{self, Extended};
use super::{KERNEL_STACK_SEGMENT, batch, descriptors, exits, this_cpu, traps};
use crate::hypercall::{HypercallNumber, hypercall};

pub(super) const BINDINGS: bindings::cpu = bindings::cpu {
    read_cr0: preserve!(cpu::read_cr0, read_cr0),
    write_cr0: preserve!(cpu::write_cr0, write_cr0),
    read_debug_register: call!(cpu::read_debug_register, read_debug_register),
    write_debug_register: call!(cpu::write_debug_register, write_debug_register),
    cpuid: preserve!(cpu::cpuid, cpuid),
    write_msr: preserve!(cpu::write_msr, write_msr),
    load_gdt: preserve!(cpu::load_gdt, descriptors::load_gdt),
    load_idt: preserve!(cpu::load_idt, traps::load_idt),
    load_ldt: preserve!(cpu::load_ldt, descriptors::load_ldt),
    // Xen has the only task state segment.
    load_task_register: Binding::nothing(),
    read_cr8: pvops_core::inline!(cpu::read_cr8, "xor eax, eax"),
    write_cr8: Binding::nothing(),
    wbinvd: preserve!(cpu::wbinvd, wbinvd),
    clear_task_switched: preserve!(cpu::clear_task_switched, clear_task_switched),
    set_task_switched: preserve!(cpu::set_task_switched, set_task_switched),
    // Xen does that when it enters and leaves the kernel.
    swapgs: Binding::nothing(),
    interrupt_return: exits::INTERRUPT_RETURN,
    syscall_return: exits::SYSCALL_RETURN,
    setup_syscall: call!(cpu::setup_syscall, traps::setup_syscall),
    write_fs_base: preserve!(cpu::write_fs_base, write_fs_base),
    write_gs_base: preserve!(cpu::write_gs_base, write_gs_base),
    write_kernel_gs_base: preserve!(cpu::write_kernel_gs_base, write_user_gs_base),
    load_gs_selector: preserve!(cpu::load_gs_selector, load_gs_selector),
    write_gdt_entry: preserve!(cpu::write_gdt_entry, descriptors::write_gdt_entry),
    write_ldt_entry: preserve!(cpu::write_ldt_entry, descriptors::write_ldt_entry),
    write_idt_entry: call!(cpu::write_idt_entry, traps::write_idt_entry),
    load_kernel_stack: preserve!(cpu::load_kernel_stack, load_kernel_stack),
    load_tls: call!(cpu::load_tls, descriptors::load_tls),
    start_context_switch: preserve!(cpu::start_context_switch, batch::enter_lazy),
    end_context_switch: preserve!(cpu::end_context_switch, batch::leave_lazy),
    ..native::BEFORE_INSTALL.cpu
};

const TASK_SWITCHED: usize = 1 << 3;

/// CR0 of each CPU as the kernel has it; 0 before it is known. Only TS has an effect.
static CR0: [AtomicUsize; MAX_CPUS] = [const { AtomicUsize::new(0) }; MAX_CPUS];

unsafe extern "C" fn read_cr0() -> usize {
    let cr0 = &CR0[this_cpu::index()];
    let known = cr0.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    let value;
    // SAFETY: Xen emulates it.
    unsafe { asm!("mov {}, cr0", out(reg) value, options(nomem, nostack, preserves_flags)) };
    cr0.store(value, Ordering::Relaxed);
    value
}

unsafe extern "C" fn write_cr0(value: usize) {
    // SAFETY: the op's caller bears the effect of TS.
    unsafe {
        let old = read_cr0();
        CR0[this_cpu::index()].store(value, Ordering::Relaxed);
        if (old ^ value) & TASK_SWITCHED != 0 {
            let set = u64::from(value & TASK_SWITCHED != 0);
            batch::call(HypercallNumber::FPU_TASKSWITCH, [set]);
        }
    }
}

/// Xen lets a domain do that which has devices; for others there is nobody who reads behind the caches.
unsafe extern "C" fn wbinvd() {
    // SAFETY: nothing that is in memory changes.
    let _ = unsafe { page_table_calls::extended(&[Extended::flush_cache()]) };
}

unsafe extern "C" fn clear_task_switched() {
    // SAFETY: as the op says.
    unsafe { write_cr0(read_cr0() & !TASK_SWITCHED) };
}

unsafe extern "C" fn set_task_switched() {
    // SAFETY: as the op's caller vouches.
    unsafe { write_cr0(read_cr0() | TASK_SWITCHED) };
}

unsafe extern "C" fn read_debug_register(number: u32) -> usize {
    if !matches!(number, 0..=3 | 6 | 7) {
        return 0;
    }
    // SAFETY: the call has no effect. An error is no value of these registers.
    unsafe { hypercall(HypercallNumber::GET_DEBUGREG, [number.into()]) }.unwrap_or(0) as usize
}

unsafe extern "C" fn write_debug_register(number: u32, value: usize) {
    if matches!(number, 0..=3 | 6 | 7) {
        // SAFETY: the op's caller vouches for the value.
        let _ = unsafe { hypercall(HypercallNumber::SET_DEBUGREG, [number.into(), value as u64]) };
    }
}

/// CPUID as Xen has this domain see it: the instruction itself need not fault, so an invalid one before it
/// does.
unsafe extern "C" fn cpuid(leaf: u32, subleaf: u32, result: *mut CpuIdResult) {
    let (eax, ebx, ecx, edx);
    // SAFETY: Xen takes the first two instructions for one.
    unsafe {
        asm!(
            "mov {saved}, rbx",
            // UD2, and "xen".
            ".byte 0x0f, 0x0b, 0x78, 0x65, 0x6e",
            "cpuid",
            "xchg {saved}, rbx",
            saved = out(reg) ebx,
            inout("eax") leaf => eax,
            inout("ecx") subleaf => ecx,
            out("edx") edx,
            options(nostack),
        );
        let _: u64 = ebx;
        result.write(CpuIdResult {
            eax,
            ebx: ebx as u32,
            ecx,
            edx,
        });
    }
}

/// Intel SDM volume 4, table 2-2.
const IA32_FS_BASE: u32 = 0xc000_0100;
const IA32_GS_BASE: u32 = 0xc000_0101;
const IA32_KERNEL_GS_BASE: u32 = 0xc000_0102;

/// STAR, LSTAR, CSTAR and FMASK, and the three of SYSENTER.
const SYSTEM_CALL_MSRS: [u32; 7] = [
    0xc000_0081,
    0xc000_0082,
    0xc000_0083,
    0xc000_0084,
    0x174,
    0x175,
    0x176,
];

unsafe extern "C" fn write_msr(index: u32, value: u64) {
    // SAFETY: as the op's caller vouches.
    unsafe {
        match index {
            IA32_FS_BASE => write_fs_base(value as usize),
            IA32_GS_BASE => write_gs_base(value as usize),
            IA32_KERNEL_GS_BASE => write_user_gs_base(value as usize),
            // Where system calls enter, Xen is told by `setup_syscall`; for the rest it has registers of
            // its own.
            index if SYSTEM_CALL_MSRS.contains(&index) => {}
            _ => asm!(
                "wrmsr",
                in("ecx") index,
                in("eax") value as u32,
                in("edx") (value >> 32) as u32,
                options(nostack, preserves_flags),
            ),
        }
    }
}

/// SEGBASE_ and the name.
const FS: u64 = 0;
const GS_USER: u64 = 1;
const GS_KERNEL: u64 = 2;
const GS_USER_SELECTOR: u64 = 3;

unsafe extern "C" fn write_fs_base(base: usize) {
    // SAFETY: as the op's caller vouches.
    unsafe { set_segment_base(FS, base as u64) };
}

unsafe extern "C" fn write_gs_base(base: usize) {
    // SAFETY: as the op's caller vouches.
    unsafe { set_segment_base(GS_KERNEL, base as u64) };
}

unsafe extern "C" fn write_user_gs_base(base: usize) {
    // SAFETY: as the op's caller vouches.
    unsafe { set_segment_base(GS_USER, base as u64) };
}

unsafe extern "C" fn load_gs_selector(selector: u16) {
    // SAFETY: as the op's caller vouches.
    unsafe { set_segment_base(GS_USER_SELECTOR, selector.into()) };
}

/// At once: the next instruction may use the segment, and for as long as a base is not the kernel's,
/// nothing of this CPU's own can be found. Xen refuses only what is not canonical.
unsafe fn set_segment_base(which: u64, value: u64) {
    // SAFETY: as the op's caller vouches.
    let _ = unsafe { hypercall(HypercallNumber::SET_SEGMENT_BASE, [which, value]) };
}

/// HYPERVISOR_stack_switch.
unsafe extern "C" fn load_kernel_stack(_field: *mut usize, stack: usize) {
    let segment = u64::from(KERNEL_STACK_SEGMENT);
    // SAFETY: as the op's caller vouches.
    unsafe { batch::call(HypercallNumber::STACK_SWITCH, [segment, stack as u64]) };
}
