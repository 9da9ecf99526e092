//! The programs: a page of text that each gets a copy of.

use core::slice;

use crate::address_space::TEXT;
use crate::scheduler::{self, TaskId};

/// A program: where its label is in the kernel's image.
#[derive(Clone, Copy)]
pub(crate) struct Program(usize);

/// What a program ends with that has found something wrong.
pub(crate) const WRONG: u64 = usize::MAX as u64;
/// What [`fork`]'s child and parent end with.
pub(crate) const FORKED: u64 = 9;

macro_rules! programs {
    ($($(#[$doc:meta])* $name:ident = $symbol:ident;)*) => {
        $($(#[$doc])*
        pub(crate) fn $name() -> Program {
            unsafe extern "C" {
                safe static $symbol: u8;
            }
            Program((&raw const $symbol).addr())
        })*
    };
}

programs! {
    /// Counts in its memory until its time was over five times, and ends with its count. Its argument,
    /// which it keeps on its heap, is its name.
    count = program_count;
    /// Writes to as many pages as its argument says, forks, and both write again.
    fork = program_fork;
    /// Ends with what so many system calls cost, in ticks.
    syscalls = program_syscalls;
    /// The same, of system calls that yield.
    yields = program_yields;
    /// The same, of writes to new pages.
    faults = program_faults;
    /// Ends with what a fork costs, with so many pages.
    fork_cost = program_fork_cost;
    /// Makes system calls by SYSENTER, and forks.
    #[cfg(target_arch = "x86")]
    fast = program_fast;
    /// Does what it has no right to, of one kind or another.
    wild = program_wild;
}

/// Begins a program.
pub(crate) fn spawn(program: Program, argument: u64) -> Option<TaskId> {
    let (text, entry) = place(program);
    scheduler::spawn_program(text, entry, argument)
}

/// The same with a selector for its stack that may be wrong.
#[cfg(target_arch = "x86_64")]
pub(crate) fn spawn_on_stack_segment(program: Program, selector: u16) -> Option<TaskId> {
    let (text, entry) = place(program);
    scheduler::spawn_on_stack_segment(text, entry, selector)
}

/// The text of all programs, and where this one begins.
fn place(program: Program) -> (&'static [u8], usize) {
    unsafe extern "C" {
        safe static programs_start: u8;
        safe static programs_end: u8;
    }
    let start = (&raw const programs_start).addr();
    // SAFETY: between the symbols are the programs.
    let text = unsafe {
        slice::from_raw_parts(
            &raw const programs_start,
            (&raw const programs_end).addr() - start,
        )
    };
    (text, TEXT + program.0 - start)
}
