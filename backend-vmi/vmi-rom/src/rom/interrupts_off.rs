//! A stretch of code that no interrupt of this CPU breaks into.

use core::arch::asm;

/// Interrupts are off while this lives, and then as they were.
pub(super) struct InterruptsOff {
    flags: u32,
}

impl InterruptsOff {
    pub(super) fn new() -> Self {
        let flags;
        // SAFETY: the ROM is in ring 0; interrupts that wait do no harm.
        unsafe { asm!("pushfd", "pop {}", "cli", out(reg) flags) };
        Self { flags }
    }
}

impl Drop for InterruptsOff {
    fn drop(&mut self) {
        // SAFETY: these are the flags of before.
        unsafe { asm!("push {}", "popfd", in(reg) self.flags) };
    }
}
