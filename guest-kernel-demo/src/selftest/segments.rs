//! Segment bases and selectors, and entries of descriptor tables.

use core::arch::asm;

use pvops_core::cpu;
use pvops_core::descriptor::DescriptorTablePointer;

use super::Outcome;
use crate::layout::PAGE;
use crate::text::{ensure, text};
use crate::{frames, gdt, interrupts};

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
    let (before, written, after) = interrupts::without(|| {
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
    let (once, twice) = interrupts::without(|| {
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

/// The CPU goes by the entries that are stored in a global and a local descriptor table.
pub(super) fn entries() -> Outcome {
    /// In the local table: entry 1, table indicator.
    const LOCAL: u16 = 1 << 3 | 1 << 2;
    with_room(|table, first| {
        let tls = [0x1111_1000, 0x2222_2000, 0x3333_3000];
        let Some((local_frame, local)) = frames::allocate() else {
            return Err(text!("no memory"));
        };
        let local = local.cast::<u64>().as_ptr();
        let descriptor = local_table(local.addr() as u64, PAGE);
        // SAFETY: the entries are in the table and nobody's; what is loaded is taken back.
        unsafe {
            cpu::start_context_switch();
            cpu::load_tls(table, first, &tls.map(data_segment));
            cpu::end_context_switch();
            for (slot, base) in tls.into_iter().enumerate() {
                let found = fs_base_of((first + slot) as u16 * 8);
                ensure!(found == base as usize, "slot {slot} has base {found:#x}");
            }
            cpu::write_ldt_entry(local, 1, data_segment(0x4444_4000));
            cpu::write_gdt_entry(table, first + 4, descriptor[1]);
            cpu::write_gdt_entry(table, first + 3, descriptor[0]);
            cpu::load_ldt((first as u32 + 3) * 8);
            let found = fs_base_of(LOCAL);
            cpu::load_ldt(0);
            frames::free(local_frame);
            ensure!(found == 0x4444_4000, "the local entry has base {found:#x}");
        }
        Ok(text!("three by load_tls, a local table, an entry of that"))
    })
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
            cpu::load_gs_selector(u32::from(selector));
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

/// The stack for entries from user mode is where a task state segment has it.
pub(super) fn kernel_stack() -> Outcome {
    /// Intel SDM volume 3, figure 9-11: RSP0 is at 4.
    #[repr(C, align(8))]
    struct TaskState([u32; 26]);
    const STACK: usize = 0xffff_8880_1234_5670;
    let mut task = TaskState([0; 26]);
    // SAFETY: the field is in our segment, which no CPU uses.
    unsafe { cpu::load_kernel_stack((&raw mut task.0[1]).cast(), STACK) };
    let words = task.0.map(|word| word as usize);
    let stack = words[2] << 32 | words[1];
    ensure!(stack == STACK, "RSP0 is {stack:#x}");
    ensure!(words[0] | words[3] == 0, "a neighbour has changed");
    Ok(text!("RSP0 {stack:#x}"))
}

const ROOM: usize = 5;

/// Runs `body`, interrupts off, on a copy of this CPU's descriptor table that has [`ROOM`] free
/// entries from the index on that it gets.
fn with_room(body: impl FnOnce(*mut u64, usize) -> Outcome) -> Outcome {
    const ENTRIES: usize = 64;
    interrupts::without(|| {
        let mut table = [0_u64; ENTRIES];
        let old = gdt::pointer();
        let used = (usize::from(old.limit) + 1) / size_of::<u64>();
        ensure!(used + ROOM <= ENTRIES, "the table has {used} entries");
        let new = DescriptorTablePointer {
            limit: size_of_val(&table) as u16 - 1,
            base: table.as_mut_ptr().addr(),
        };
        // SAFETY: the old table is in use, so it can be read, and its entries are good in the new
        // one, which lives until the old one is back.
        unsafe {
            let from = old.base as *const u64;
            from.copy_to_nonoverlapping(table.as_mut_ptr(), used);
            cpu::load_gdt(&raw const new);
            let outcome = body(table.as_mut_ptr(), used);
            cpu::load_gdt(&raw const old);
            outcome
        }
    })
}

/// The base that FS has with a selector.
///
/// # Safety
///
/// The selector names a data segment; nobody uses FS meanwhile.
unsafe fn fs_base_of(selector: u16) -> usize {
    let before = cpu::read_fs_base();
    // SAFETY: the caller vouches for the selector, and FS ends as it was.
    unsafe {
        asm!("mov fs, {:x}", in(reg) selector, options(nostack));
        let base = cpu::read_fs_base();
        asm!("mov fs, {:x}", in(reg) 0_u16, options(nostack));
        cpu::write_fs_base(before);
        base
    }
}

/// A flat, writable data segment of the kernel's. Intel SDM volume 3, figure 3-8.
fn data_segment(base: u64) -> u64 {
    0x00cf_9300_0000_ffff | (base & 0xff_ffff) << 16 | (base >> 24 & 0xff) << 56
}

/// The two entries that describe a local descriptor table. Intel SDM volume 3, section 9.2.3: as a
/// task state segment's, of type 2.
fn local_table(base: u64, bytes: usize) -> [u64; 2] {
    let limit = bytes as u64 - 1;
    let low = limit | (base & 0xff_ffff) << 16 | 0x82 << 40 | (base >> 24 & 0xff) << 56;
    [low, base >> 32]
}
