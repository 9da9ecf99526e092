//! What only 64-bit mode has: bases of FS and GS in model-specific registers, SWAPGS, and CR8.

use core::arch::asm;

use pvops_core::{cpu, irq, time};

use super::Outcome;
use super::segments::{data_segment, with_room};
use crate::text::{ensure, text};
use crate::trap::{self, SELF_VECTOR};

/// The bases of FS, of GS and behind SWAPGS take an address each and give it back.
pub(super) fn bases() -> Outcome {
    const BASES: [usize; 3] = [
        0xffff_8880_1111_1000,
        0xffff_8880_2222_2000,
        0x7fff_3333_3000,
    ];
    let read = || {
        [
            cpu::read_fs_base(),
            cpu::read_gs_base(),
            cpu::read_kernel_gs_base(),
        ]
    };
    // SAFETY: with interrupts off nobody uses the segments before the bases are back; all are
    // canonical.
    let write = |[fs, gs, kernel_gs]: [usize; 3]| unsafe {
        cpu::write_fs_base(fs);
        cpu::write_gs_base(gs);
        cpu::write_kernel_gs_base(kernel_gs);
    };
    let (before, written, after) = irq::without(|| {
        let before = read();
        write(BASES);
        let written = read();
        write(before);
        (before, written, read())
    });
    ensure!(written == BASES, "wrote {BASES:x?}, read {written:x?}");
    ensure!(after == before, "{before:x?} became {after:x?}");
    Ok(text!(
        "fs {:#x}, gs {:#x} and {:#x}",
        before[0],
        before[1],
        before[2]
    ))
}

/// SWAPGS exchanges two bases, and a second time back.
pub(super) fn swapgs() -> Outcome {
    const BASES: [usize; 2] = [0xffff_8880_2222_2000, 0x7fff_3333_3000];
    let read = || [cpu::read_gs_base(), cpu::read_kernel_gs_base()];
    let (once, twice) = irq::without(|| {
        let before = read();
        // SAFETY: with interrupts off nobody uses GS before the bases are back.
        unsafe {
            cpu::write_gs_base(BASES[0]);
            cpu::write_kernel_gs_base(BASES[1]);
            cpu::swapgs();
            let once = read();
            cpu::swapgs();
            let twice = read();
            cpu::write_gs_base(before[0]);
            cpu::write_kernel_gs_base(before[1]);
            (once, twice)
        }
    });
    ensure!(once == [BASES[1], BASES[0]], "once gives {once:x?}");
    ensure!(twice == BASES, "twice gives {twice:x?}");
    Ok(text!("exchanged, and back"))
}

/// Loading the user's GS selector sets the user's base and leaves the kernel's alone.
pub(super) fn gs_selector() -> Outcome {
    const BASE: usize = 0x5555_5000;
    with_room(|table, first| {
        let selector = first as u16 * 8;
        let before = [cpu::read_gs_base(), cpu::read_kernel_gs_base()];
        let loaded: u16;
        // SAFETY: the entry is nobody's, interrupts are off, and all is taken back.
        let found = unsafe {
            cpu::write_gdt_entry(table, first, data_segment(BASE as u64));
            cpu::write_kernel_gs_base(0);
            cpu::load_gs_selector(selector);
            asm!("mov {:x}, gs", out(reg) loaded, options(nomem, nostack));
            let found = [cpu::read_gs_base(), cpu::read_kernel_gs_base()];
            cpu::load_gs_selector(0);
            cpu::write_gs_base(before[0]);
            cpu::write_kernel_gs_base(before[1]);
            found
        };
        ensure!(loaded & !3 == selector, "the selector is {loaded:#x}");
        ensure!(found == [before[0], BASE], "the bases are {found:x?}");
        Ok(text!("selector {selector:#x}, base {BASE:#x}"))
    })
}

/// CR8 holds interrupts back; when it lets them in they come.
pub(super) fn priority() -> Outcome {
    let before = trap::count(SELF_VECTOR);
    // SAFETY: all vectors have handlers.
    unsafe { cpu::write_cr8(15) };
    super::apic::send_self(SELF_VECTOR);
    let start = time::clock_ns();
    while time::clock_ns() - start < 100_000 {}
    let (held_back, cr8) = (trap::count(SELF_VECTOR) == before, cpu::read_cr8());
    // SAFETY: as above.
    unsafe { cpu::write_cr8(0) };
    ensure!(held_back, "an interrupt came in spite of cr8");
    ensure!(cr8 == 15, "cr8 became {cr8}");
    let came = super::apic::wait_for(SELF_VECTOR, before + 1);
    ensure!(came, "the interrupt did not come when cr8 let it in");
    ensure!(cpu::read_cr8() == 0, "cr8 stays {}", cpu::read_cr8());
    Ok(text!("held back for 100 us, then let in"))
}
