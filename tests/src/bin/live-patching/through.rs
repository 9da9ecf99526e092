//! Functions that run call sites, for [`call`](pvops_tests::registers::call).

use core::arch::naked_asm;

use pvops_core::{asm_op, asm_site, op};

/// How many sites [`many`] runs.
pub(crate) const MANY: u64 = 150;

macro_rules! through_a_site {
    ($($(#[$doc:meta])* $function:ident = $count:literal of $group:ident::$name:ident;)*) => {
        $(
            $(#[$doc])*
            pub(crate) fn $function() -> usize {
                #[unsafe(naked)]
                unsafe extern "C" fn through() {
                    naked_asm!(
                        // The site lies across two cache lines, which are fetched one after the
                        // other.
                        "jmp 773f",
                        ".balign 64, 0xcc",
                        ".skip 61, 0xcc",
                        "773:",
                        ".rept {count}",
                        asm_site!("op"),
                        ".endr",
                        "ret",
                        count = const $count,
                        op = const asm_op::<op::$group::$name>(),
                    )
                }
                through as *const () as usize
            }
        )*
    };
}

through_a_site! {
    /// `mmu.entry_value`, of a value.
    value = 1 of mmu::entry_value;
    /// `mmu.flush_tlb_page`, of the address of a word.
    count = 1 of mmu::flush_tlb_page;
    /// More sites than a batch holds.
    many = 150 of io::delay;
    /// `apic.eoi`, whose site is longer than a call.
    end = 1 of apic::eoi;
}
