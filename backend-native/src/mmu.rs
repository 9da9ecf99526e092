//! Page tables and the TLB.

use core::arch::asm;

use ::x86::controlregs::Cr4;

cfg_if::cfg_if! {
    if #[cfg(target_arch = "x86_64")] {
        mod x86_64;
        pub(crate) use x86_64::{BINDINGS, bindings};
    } else {
        mod x86;
        pub(crate) use x86::{BINDINGS, bindings};
    }
}

/// Changing CR4.PGE drops all translations, of all PCIDs; on a CPU that need not have the bit, as it uses
/// neither, reloading CR3 does. Intel SDM volume 3, section 5.10.4.1.
///
/// With interrupts off: no handler sees CR4 otherwise, and both registers are this CPU's.
unsafe extern "C" fn flush_tlb_all() {
    // SAFETY: the translations in the page tables stay as they are, and CR4 and the flags end as they were.
    unsafe {
        asm!(
            "pushf",
            "cli",
            "mov %cr4, {value}",
            "test ${global_or_pcid}, {value}",
            "jz 2f",
            "xor ${global}, {value}",
            "mov {value}, %cr4",
            "xor ${global}, {value}",
            "mov {value}, %cr4",
            "jmp 3f",
            "2: mov %cr3, {value}",
            "mov {value}, %cr3",
            "3: popf",
            value = out(reg) _,
            global = const Cr4::CR4_ENABLE_GLOBAL_PAGES.bits(),
            global_or_pcid = const (Cr4::CR4_ENABLE_GLOBAL_PAGES.bits() | Cr4::CR4_ENABLE_PCID.bits()),
            // In which PUSHF is as long as a word.
            options(att_syntax),
        );
    }
}
