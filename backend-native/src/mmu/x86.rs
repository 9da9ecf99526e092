//! Page tables of 32-bit mode: their entries have 8 bytes with physical-address extension, else 4.
//!
//! A value has 64 bits in either case. Intel SDM volume 3, sections 5.3 and 5.4.

use core::arch::naked_asm;
use core::sync::atomic::{AtomicU32, Ordering};

use pvops_core::binding::Binding;
use pvops_core::op::{ErasedFunction, PreserveOp};
use pvops_core::{bindings, call, cpu, inline, preserve};
use x86::controlregs::Cr4;

use super::flush_tlb_all;
use crate::shootdown;

/// What works in both modes: each use looks at CR4.
pub(crate) const BINDINGS: bindings::mmu = bindings::mmu {
    read_cr2: inline!(mmu::read_cr2, "mov eax, cr2"),
    write_cr2: inline!(mmu::write_cr2, "mov cr2, eax"),
    read_cr3: inline!(mmu::read_cr3, "mov eax, cr3"),
    write_cr3: inline!(mmu::write_cr3, "mov cr3, eax"),
    flush_tlb: inline!(mmu::flush_tlb, "mov eax, cr3", "mov cr3, eax"),
    flush_tlb_all: preserve!(mmu::flush_tlb_all, flush_tlb_all),
    flush_tlb_page: inline!(mmu::flush_tlb_page, "invlpg [eax]"),
    flush_tlb_multi: call!(mmu::flush_tlb_multi, shootdown::flush_tlb_multi),
    set_pte: exchange(exchange_by_mode),
    set_pmd: exchange(exchange_by_mode),
    set_pud: exchange(exchange_by_mode),
    set_p4d: exchange(exchange_by_mode),
    set_p5d: exchange(exchange_by_mode),
    start_protection: exchange(clear_by_mode),
    commit_protection: exchange(exchange_by_mode),
    // Tables are memory like any other, and every store is made at once.
    alloc_table: Binding::nothing(),
    release_table: Binding::nothing(),
    activate_tables: Binding::nothing(),
    exit_tables: Binding::nothing(),
    enter_lazy: Binding::nothing(),
    leave_lazy: Binding::nothing(),
    flush_lazy: Binding::nothing(),
    pause_lazy: Binding::nothing(),
    resume_lazy: Binding::nothing(),
    // The result goes where the argument is.
    make_entry: inline!(mmu::make_entry, "nop"),
    entry_value: inline!(mmu::entry_value, "nop"),
};

/// The bindings in the mode that the CPU is in.
pub(crate) fn bindings() -> bindings::mmu {
    if cpu::read_cr4() & Cr4::CR4_ENABLE_PAE.bits() == 0 {
        SHORT
    } else {
        WIDE
    }
}

const WIDE: bindings::mmu = bindings::mmu {
    set_pte: exchange(exchange_wide),
    set_pmd: exchange(exchange_wide),
    set_pud: exchange(exchange_wide),
    set_p4d: exchange(exchange_wide),
    set_p5d: exchange(exchange_wide),
    start_protection: exchange(clear_wide),
    commit_protection: exchange(exchange_wide),
    ..BINDINGS
};

/// A template can't refuse a value that does not fit, so in debug builds there is none.
macro_rules! set_short {
    ($name:ident) => {
        if cfg!(debug_assertions) {
            preserve!(mmu::$name, set_short)
        } else {
            inline!(mmu::$name, "mov [eax], edx")
        }
    };
}

const SHORT: bindings::mmu = bindings::mmu {
    set_pte: set_short!(set_pte),
    set_pmd: set_short!(set_pmd),
    set_pud: set_short!(set_pud),
    set_p4d: set_short!(set_p4d),
    set_p5d: set_short!(set_p5d),
    start_protection: preserve!(mmu::start_protection, clear_short),
    commit_protection: set_short!(commit_protection),
    ..BINDINGS
};

unsafe extern "C" fn set_short(entry: *mut u64, value: u64) {
    debug_assert!(
        value >> 32 == 0,
        "an entry above 32 bits, without physical-address extension"
    );
    // SAFETY: the op's caller vouches for the entry, of 4 bytes.
    unsafe { AtomicU32::from_ptr(entry.cast()).store(value as u32, Ordering::Relaxed) };
}

unsafe extern "C" fn clear_short(entry: *mut u64) -> u64 {
    // SAFETY: as above.
    let old = unsafe { AtomicU32::from_ptr(entry.cast()).swap(0, Ordering::Relaxed) };
    u64::from(old)
}

/// Binds an op to a function that takes an entry's address in eax, perhaps a value in ecx:edx, and
/// returns what was there in edx:eax.
const fn exchange<O: PreserveOp>(function: ErasedFunction) -> Binding<O> {
    // SAFETY: that is where the shape has operands and result, and the functions below change
    // nothing else that it keeps.
    unsafe { Binding::preserve(function) }
}

/// Stores the value at once, so that neither another CPU nor its page walker sees half of it.
#[unsafe(naked)]
unsafe extern "C" fn exchange_wide() {
    naked_asm!(
        "push ebx",
        "push esi",
        "mov esi, eax",
        "mov ebx, edx",
        "mov eax, [esi]",
        "mov edx, [esi + 4]",
        // Compares edx:eax, stores ecx:ebx.
        "2: lock cmpxchg8b [esi]",
        "jnz 2b",
        "pop esi",
        "pop ebx",
        "ret",
    )
}

#[unsafe(naked)]
unsafe extern "C" fn clear_wide() {
    naked_asm!(
        "xor edx, edx",
        "xor ecx, ecx",
        "jmp {exchange}",
        exchange = sym exchange_wide,
    )
}

#[unsafe(naked)]
unsafe extern "C" fn exchange_by_mode() {
    naked_asm!(
        "push ecx",
        "mov ecx, cr4",
        "test ecx, {pae}",
        "pop ecx",
        "jnz {wide}",
        // As `set_short` refuses it.
        "test ecx, ecx",
        "jz 2f",
        "ud2",
        // XCHG with memory is locked.
        "2: xchg [eax], edx",
        "mov eax, edx",
        "xor edx, edx",
        "ret",
        pae = const Cr4::CR4_ENABLE_PAE.bits(),
        wide = sym exchange_wide,
    )
}

#[unsafe(naked)]
unsafe extern "C" fn clear_by_mode() {
    naked_asm!(
        "xor edx, edx",
        "xor ecx, ecx",
        "jmp {exchange}",
        exchange = sym exchange_by_mode,
    )
}

#[cfg(test)]
mod tests;
