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
                "pushf",
                "cli",
                "mov {other}, %cr4",
                "mov {cr4}, %cr4",
                "popf",
                other = in(reg) cr4 & !global,
                cr4 = in(reg) cr4,
                // In which PUSHF is as long as a word.
                options(att_syntax),
            );
        }
    }
}
