//! Page tables and the TLB.

use core::arch::asm;

use pvops_core::binding::Binding;
use pvops_core::{call, inline, preserve};
use x86::controlregs::Cr4;

use crate::shootdown;

pub(crate) const BINDINGS: pvops_core::bindings::mmu = pvops_core::bindings::mmu {
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

/// Changing CR4.PGE drops all translations; without global pages, reloading CR3 does.
/// Intel SDM volume 3, section 5.10.4.1.
unsafe extern "C" fn flush_tlb_all() {
    let global = Cr4::CR4_ENABLE_GLOBAL_PAGES.bits();
    // SAFETY: the translations in the page tables stay as they are, CR4 ends as it was, and no
    // interrupt handler sees it otherwise.
    unsafe {
        let cr4: usize;
        asm!("mov {}, cr4", out(reg) cr4, options(nostack));
        if cr4 & global == 0 {
            asm!("mov {0}, cr3", "mov cr3, {0}", out(reg) _, options(nostack));
        } else {
            asm!(
                "pushfq",
                "cli",
                "mov cr4, {other}",
                "mov cr4, {cr4}",
                "popfq",
                other = in(reg) cr4 & !global,
                cr4 = in(reg) cr4,
            );
        }
    }
}
