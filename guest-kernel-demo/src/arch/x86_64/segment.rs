//! The segment by which a CPU finds what is its own, and the one by which a program does: bases of GS and
//! FS.

use core::arch::asm;

use pvops_core::{PerCpuSegment, cpu};

/// The kernel's.
pub(crate) const SEGMENT: PerCpuSegment = PerCpuSegment::Gs;

/// Lets the segment begin at an address.
///
/// # Safety
///
/// Interrupts off, and nobody relies on where it began.
pub(crate) unsafe fn load(base: usize) {
    // SAFETY: as the caller vouches.
    unsafe { cpu::write_gs_base(base) };
}

/// The word at an offset.
///
/// # Safety
///
/// The segment is loaded, has a word there, and nobody writes to it.
pub(crate) unsafe fn word<const OFFSET: usize>() -> usize {
    let word;
    // SAFETY: as the caller vouches.
    unsafe {
        asm!(
            "mov {}, gs:[{offset}]",
            out(reg) word,
            offset = const OFFSET,
            options(nostack, preserves_flags, readonly, pure),
        );
    }
    word
}

/// Lets the segment of programs begin at an address.
///
/// # Safety
///
/// Interrupts off, in a switch to a program.
pub(crate) unsafe fn load_program(base: usize) {
    // SAFETY: the kernel does not use FS.
    unsafe { cpu::write_fs_base(base) };
}
