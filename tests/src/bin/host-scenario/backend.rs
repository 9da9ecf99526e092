//! A backend whose CPU is made of variables, with an op of every outcome and shape.

use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use pvops_backend_native as native;
use pvops_core::backend::Backend;
use pvops_core::binding::Binding;
use pvops_core::lazy::LazyDepth;
use pvops_core::probe::CpuIdResult;
use pvops_core::{Bindings, bindings, call, inline, op, preserve};

use crate::exits::{return_from_call, return_from_jump};

/// The backend.
pub(crate) static BACKEND: Backend = Backend {
    name: "host",
    signature: None,
    bind: |_| Ok(bindings()),
    bring_up_cpu: |_| Ok(()),
    take_down_cpu: |_| {},
};

/// What it binds.
pub(crate) fn bindings() -> Bindings {
    let native = native::typical();
    Bindings {
        cpu: bindings::cpu {
            cpuid: preserve!(cpu::cpuid, cpuid),
            read_msr: preserve!(cpu::read_msr, read_msr),
            write_msr: preserve!(cpu::write_msr, write_msr),
            read_tsc: preserve!(cpu::read_tsc, read_tsc),
            #[cfg(target_arch = "x86_64")]
            read_fs_base: preserve!(cpu::read_fs_base, read_base),
            #[cfg(target_arch = "x86_64")]
            write_fs_base: preserve!(cpu::write_fs_base, write_base),
            write_gdt_entry: preserve!(cpu::write_gdt_entry, write_descriptor),
            load_tls: call!(cpu::load_tls, load_tls),
            // SAFETY: the second is the instruction, the first as well but for the return address.
            interrupt_return: unsafe { Binding::exit_by_jump(return_from_call, return_from_jump) },
            ..native.cpu
        },
        irq: bindings::irq {
            save_flags: preserve!(irq::save_flags, save_flags),
            restore_flags: preserve!(irq::restore_flags, restore_flags),
            disable: preserve!(irq::disable, disable),
            enable: LONG_ENABLE,
            ..native.irq
        },
        mmu: bindings::mmu {
            flush_tlb: Binding::nothing(),
            set_pte: preserve!(mmu::set_pte, set_entry),
            enter_lazy: preserve!(mmu::enter_lazy, enter_lazy),
            leave_lazy: preserve!(mmu::leave_lazy, leave_lazy),
            flush_lazy: preserve!(mmu::flush_lazy, flush_lazy),
            pause_lazy: preserve!(mmu::pause_lazy, pause_lazy),
            resume_lazy: preserve!(mmu::resume_lazy, resume_lazy),
            ..native.mmu
        },
        io: bindings::io {
            in8: preserve!(io::in8, in8),
            out8: preserve!(io::out8, out8),
            // Too long for the site: called, not inlined.
            delay: inline!(io::delay, "mov eax, 1", "mov eax, 2"),
            ..native.io
        },
        apic: bindings::apic {
            eoi: Binding::unavailable(),
            ..native.apic
        },
        system: bindings::system {
            console_byte: call!(system::console_byte, console_byte),
            ..native.system
        },
        ..native
    }
}

/// Inline, though longer than the shape's plainest form: the site's length to the byte.
#[cfg(target_arch = "x86_64")]
const LONG_ENABLE: Binding<op::irq::enable> = inline!(
    irq::enable,
    "pushfq",
    "pushfq",
    "pop rax",
    "pop rax",
    "mov eax, eax"
);
#[cfg(target_arch = "x86")]
const LONG_ENABLE: Binding<op::irq::enable> = inline!(
    irq::enable,
    "pushfd",
    "popfd",
    "pushfd",
    "popfd",
    "cld",
    "cld"
);

pub(crate) const FLAGS_ENABLED: usize = 0x200;

/// Interrupts of the CPU that there is not.
pub(crate) static FLAGS: AtomicUsize = AtomicUsize::new(FLAGS_ENABLED);
/// The only model-specific register: its last index and value.
pub(crate) static MSR_INDEX: AtomicU32 = AtomicU32::new(0);
pub(crate) static MSR: AtomicU64 = AtomicU64::new(0);
/// The only segment base.
#[cfg(target_arch = "x86_64")]
pub(crate) static BASE: AtomicUsize = AtomicUsize::new(0);
/// The only port: its last number and value.
pub(crate) static PORT: AtomicU16 = AtomicU16::new(0);
pub(crate) static PORT_VALUE: AtomicU32 = AtomicU32::new(0);
/// The last byte on the console.
pub(crate) static CONSOLE: AtomicU32 = AtomicU32::new(0);

/// The CPU's lazy mode, and how often it was flushed.
pub(crate) static LAZY: LazyDepth = LazyDepth::new();
pub(crate) static FLUSHES: AtomicU32 = AtomicU32::new(0);

/// What the time-stamp counter reads as.
pub(crate) const TSC: u64 = 0x0123_4567_89ab_cdef;

unsafe extern "C" fn save_flags() -> usize {
    FLAGS.load(Ordering::Relaxed)
}

unsafe extern "C" fn restore_flags(flags: usize) {
    FLAGS.store(flags, Ordering::Relaxed);
}

/// Uses vector registers and wants an aligned stack, as any function may.
unsafe extern "C" fn disable() {
    let words = std::hint::black_box([1_u128; 8]);
    let sum: u128 = words.iter().sum();
    FLAGS.store((sum - 8) as usize, Ordering::Relaxed);
}

unsafe extern "C" fn cpuid(leaf: u32, subleaf: u32, result: *mut CpuIdResult) {
    let answer = CpuIdResult {
        eax: leaf,
        ebx: 0xb,
        ecx: subleaf,
        edx: 0xd,
    };
    // SAFETY: the thunk passes a place for the result.
    unsafe { result.write(answer) };
}

unsafe extern "C" fn read_msr(index: u32) -> u64 {
    MSR_INDEX.store(index, Ordering::Relaxed);
    MSR.load(Ordering::Relaxed)
}

unsafe extern "C" fn write_msr(index: u32, value: u64) {
    MSR_INDEX.store(index, Ordering::Relaxed);
    MSR.store(value, Ordering::Relaxed);
}

unsafe extern "C" fn read_tsc() -> u64 {
    TSC
}

#[cfg(target_arch = "x86_64")]
unsafe extern "C" fn read_base() -> usize {
    BASE.load(Ordering::Relaxed)
}

#[cfg(target_arch = "x86_64")]
unsafe extern "C" fn write_base(base: usize) {
    BASE.store(base, Ordering::Relaxed);
}

unsafe extern "C" fn write_descriptor(table: *mut u64, index: usize, entry: u64) {
    // SAFETY: the op's caller vouches for the entry.
    unsafe { table.add(index).write(entry) };
}

unsafe extern "C" fn load_tls(table: *mut u64, first: usize, entries: *const [u64; 3]) {
    // SAFETY: as above.
    unsafe { table.add(first).cast::<[u64; 3]>().write(*entries) };
}

unsafe extern "C" fn set_entry(entry: *mut u64, value: u64) {
    // SAFETY: the op's caller vouches for the entry.
    unsafe { entry.write(value) };
}

unsafe extern "C" fn enter_lazy() {
    LAZY.enter();
}

unsafe extern "C" fn leave_lazy() {
    FLUSHES.fetch_add(u32::from(LAZY.leave()), Ordering::Relaxed);
}

unsafe extern "C" fn flush_lazy() {
    FLUSHES.fetch_add(1, Ordering::Relaxed);
}

unsafe extern "C" fn pause_lazy() {
    FLUSHES.fetch_add(u32::from(LAZY.pause()), Ordering::Relaxed);
}

unsafe extern "C" fn resume_lazy() {
    LAZY.resume();
}

unsafe extern "C" fn in8(port: u16) -> u8 {
    PORT.store(port, Ordering::Relaxed);
    PORT_VALUE.load(Ordering::Relaxed) as u8
}

unsafe extern "C" fn out8(port: u16, value: u8) {
    PORT.store(port, Ordering::Relaxed);
    PORT_VALUE.store(u32::from(value), Ordering::Relaxed);
}

unsafe extern "C" fn console_byte(byte: u32) {
    CONSOLE.store(byte, Ordering::Relaxed);
}
