//! Page tables of 64-bit mode, whose entries are words.

use pvops_core::binding::Binding;
use pvops_core::{bindings, call, inline, preserve};

use super::flush_tlb_all;
use crate::shootdown;

pub(crate) const BINDINGS: bindings::mmu = bindings::mmu {
    read_cr2: inline!(mmu::read_cr2, "mov rax, cr2"),
    write_cr2: inline!(mmu::write_cr2, "mov cr2, rdi"),
    read_cr3: inline!(mmu::read_cr3, "mov rax, cr3"),
    write_cr3: inline!(mmu::write_cr3, "mov cr3, rdi"),
    flush_tlb: inline!(mmu::flush_tlb, "mov rax, cr3", "mov cr3, rax"),
    flush_tlb_all: preserve!(mmu::flush_tlb_all, flush_tlb_all),
    flush_tlb_page: inline!(mmu::flush_tlb_page, "invlpg [rdi]"),
    flush_tlb_multi: call!(mmu::flush_tlb_multi, shootdown::flush_tlb_multi),
    set_pte: inline!(mmu::set_pte, "mov [rdi], rsi"),
    set_pmd: inline!(mmu::set_pmd, "mov [rdi], rsi"),
    set_pud: inline!(mmu::set_pud, "mov [rdi], rsi"),
    set_p4d: inline!(mmu::set_p4d, "mov [rdi], rsi"),
    set_p5d: inline!(mmu::set_p5d, "mov [rdi], rsi"),
    // One atomic access: XCHG with memory is locked.
    start_protection: inline!(mmu::start_protection, "xor eax, eax", "xchg [rdi], rax"),
    commit_protection: inline!(mmu::commit_protection, "mov [rdi], rsi"),
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
    make_entry: inline!(mmu::make_entry, "mov rax, rdi"),
    entry_value: inline!(mmu::entry_value, "mov rax, rdi"),
};

/// The bindings in the mode that the CPU is in; there is one.
pub(crate) fn bindings() -> bindings::mmu {
    BINDINGS
}
