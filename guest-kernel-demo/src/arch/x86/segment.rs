//! The segment by which a CPU finds what is its own, FS, and the one by which a program does, GS.

use core::arch::asm;

use pvops_core::{PerCpuSegment, cpu};

use super::gdt::{self, PER_CPU, PROGRAM};

/// The kernel's.
pub(crate) const SEGMENT: PerCpuSegment = PerCpuSegment::Fs;

/// Lets a CPU's segment begin at an address.
///
/// # Safety
///
/// On that CPU, after [`gdt::load`]; interrupts off, and nobody relies on where it began.
pub(crate) unsafe fn load(cpu: usize, base: usize) {
    // SAFETY: the entry is in the CPU's table; the kernel uses FS for nothing else.
    unsafe {
        cpu::write_gdt_entry(
            gdt::table(cpu),
            usize::from(PER_CPU) / 8,
            gdt::data(base, 0),
        );
        asm!("mov fs, {:e}", in(reg) u32::from(PER_CPU), options(nostack, preserves_flags));
    }
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
            "mov {}, fs:[{offset}]",
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
    const USER: u64 = 3;
    let entries = [gdt::data(base, USER), 0, 0];
    let table = gdt::table(crate::per_cpu::index());
    // SAFETY: the three entries are in the table, and programs' alone. The program's selector is loaded
    // with its other registers.
    unsafe { cpu::load_tls(table, usize::from(PROGRAM) / 8, &raw const entries) };
}
