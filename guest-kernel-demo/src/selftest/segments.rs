//! Entries of descriptor tables, and the stack that they lead to.

use pvops_core::descriptor::DescriptorTablePointer;
use pvops_core::{cpu, irq};

use super::Outcome;
use crate::arch::probe::{base_of, bases};
use crate::layout::{PAGE, SCRATCH};
use crate::text::{ensure, text};
use crate::{frames, gdt};

/// The CPU goes by the entries that are stored in a global and a local descriptor table.
pub(super) fn entries() -> Outcome {
    with_room(|table, first| {
        let [tls @ .., local_base] = bases();
        let Some((local_frame, local)) = frames::allocate() else {
            return Err(text!("no memory"));
        };
        let local = local.cast::<u64>().as_ptr();
        let descriptor = local_table(local.addr() as u64, PAGE);
        // SAFETY: the entries are in the table and nobody's; what is loaded is taken back.
        unsafe {
            cpu::start_context_switch();
            cpu::load_tls(table, first, &tls.map(|base| data_segment(base as u64)));
            cpu::end_context_switch();
            for (slot, base) in tls.into_iter().enumerate() {
                let found = base_of((first + slot) as u16 * 8);
                ensure!(found == base, "slot {slot} has base {found:#x}");
            }
            cpu::write_ldt_entry(local, 1, data_segment(local_base as u64));
            cpu::write_gdt_entry(table, first + 4, descriptor[1]);
            cpu::write_gdt_entry(table, first + 3, descriptor[0]);
            cpu::load_ldt((first as u16 + 3) * 8);
            let found = base_of(LOCAL);
            cpu::load_ldt(0);
            frames::free(local_frame);
            ensure!(found == local_base, "the local entry has base {found:#x}");
        }
        Ok(text!("three by load_tls, a local table, an entry of that"))
    })
}

/// The stack for entries from user mode is where a task state segment has it.
pub(super) fn kernel_stack() -> Outcome {
    /// Intel SDM volume 3, figures 9-2 and 9-11: RSP0 and ESP0 are at 4.
    #[repr(C, align(8))]
    struct TaskState([u32; 26]);
    const STACK: usize = SCRATCH.start + 0x5670;
    const WORDS: usize = size_of::<usize>() / size_of::<u32>();
    let mut task = TaskState([0; 26]);
    // SAFETY: the field is in our segment, which no CPU uses.
    unsafe { cpu::load_kernel_stack((&raw mut task.0[1]).cast(), STACK) };
    let words = task.0.map(u64::from);
    let stack = if WORDS == 2 { words[2] << 32 } else { 0 } | words[1];
    ensure!(stack == STACK as u64, "the stack is {stack:#x}");
    ensure!(words[0] | words[1 + WORDS] == 0, "a neighbour has changed");
    Ok(text!("the stack is {stack:#x}"))
}

/// In the local table: entry 1, table indicator.
pub(super) const LOCAL: u16 = 1 << 3 | 1 << 2;

pub(super) const ROOM: usize = 5;

/// Runs `body`, interrupts off, on a copy of this CPU's descriptor table that has [`ROOM`] free
/// entries from the index on that it gets.
pub(super) fn with_room(body: impl FnOnce(*mut u64, usize) -> Outcome) -> Outcome {
    const ENTRIES: usize = 64;
    irq::without(|| {
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

/// A flat, writable data segment of the kernel's. Intel SDM volume 3, figure 3-8.
pub(super) fn data_segment(base: u64) -> u64 {
    0x00cf_9300_0000_ffff | (base & 0xff_ffff) << 16 | (base >> 24 & 0xff) << 56
}

/// The two entries that describe a local descriptor table. Intel SDM volume 3, section 9.2.3: as a
/// task state segment's, of type 2.
pub(super) fn local_table(base: u64, bytes: usize) -> [u64; 2] {
    let limit = bytes as u64 - 1;
    let low = limit | (base & 0xff_ffff) << 16 | 0x82 << 40 | (base >> 24 & 0xff) << 56;
    [low, base >> 32]
}
