//! Bindings whose results tell which one ran.

use std::sync::atomic::{AtomicU64, Ordering};

use pvops_backend_native as native;
use pvops_core::backend::Backend;
use pvops_core::binding::Binding;
use pvops_core::live::Change;
use pvops_core::{Bindings, bindings, inline, op, preserve};

/// The backend.
pub(crate) static BACKEND: Backend = Backend {
    name: "live",
    signature: None,
    bind: |_| Ok(bindings()),
    bring_up_cpu: |_| Ok(()),
    take_down_cpu: |_| {},
};

/// What it binds at first.
pub(crate) fn bindings() -> Bindings {
    let native = native::typical();
    Bindings {
        apic: bindings::apic {
            eoi: preserve!(apic::eoi, end_one),
            ..native.apic
        },
        mmu: bindings::mmu {
            entry_value: value_a(),
            flush_tlb_page: count(),
            ..native.mmu
        },
        io: bindings::io {
            delay: preserve!(io::delay, delay),
            ..native.io
        },
        ..native
    }
}

const MASK_A: u64 = 0xaaaa_0000_0000_0000;
const MASK_B: u64 = 0x0000_bbbb_0000_0000;

/// What the bindings of `mmu.entry_value` make of a value.
pub(crate) fn a(value: u64) -> u64 {
    value ^ MASK_A
}

pub(crate) fn b(value: u64) -> u64 {
    value ^ MASK_B
}

pub(crate) fn in_line(value: u64) -> u64 {
    match cfg!(target_arch = "x86_64") {
        true => value.wrapping_add(0x11),
        // One instruction does it to the low word.
        false => value >> 32 << 32 | u64::from((value as u32).wrapping_add(0x11)),
    }
}

pub(crate) fn value_a() -> Binding<op::mmu::entry_value> {
    preserve!(mmu::entry_value, function_a)
}

pub(crate) fn value_b() -> Binding<op::mmu::entry_value> {
    preserve!(mmu::entry_value, function_b)
}

pub(crate) fn value_inline() -> Binding<op::mmu::entry_value> {
    cfg_if::cfg_if! {
        if #[cfg(target_arch = "x86_64")] {
            inline!(mmu::entry_value, "lea rax, [rdi + 0x11]")
        } else {
            inline!(mmu::entry_value, "lea eax, [eax + 0x11]")
        }
    }
}

/// Two bindings for `mmu.flush_tlb_page`: it adds one to the word at the address, or does nothing.
pub(crate) fn count() -> Binding<op::mmu::flush_tlb_page> {
    preserve!(mmu::flush_tlb_page, add_one)
}

pub(crate) fn nothing() -> Binding<op::mmu::flush_tlb_page> {
    Binding::nothing()
}

/// Another binding for `apic.eoi`, whose site is longer than a call.
pub(crate) fn end_two() -> Change {
    Change::to(preserve!(apic::eoi, add_two))
}

/// Counts the ends of interrupts, by ones and twos.
pub(crate) static ENDS: AtomicU64 = AtomicU64::new(0);

/// Counts delays.
pub(crate) static DELAYS: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" fn delay() {
    DELAYS.fetch_add(1, Ordering::Relaxed);
}

/// Uses vector registers, as any function may.
unsafe extern "C" fn function_a(value: u64) -> u64 {
    let words = std::hint::black_box([MASK_A as u128; 4]);
    value ^ words.iter().fold(0, |all, word| all | word) as u64
}

unsafe extern "C" fn function_b(value: u64) -> u64 {
    value ^ MASK_B
}

unsafe extern "C" fn add_one(address: usize) {
    // SAFETY: the threads pass the address of a word of their own.
    unsafe { *(address as *mut u64) += 1 };
}

unsafe extern "C" fn end_one() {
    ENDS.fetch_add(1, Ordering::Relaxed);
}

unsafe extern "C" fn add_two() {
    ENDS.fetch_add(2, Ordering::Relaxed);
}
