//! 32-bit protected mode, with page tables of three levels (PAE).

mod context;
mod entry;
pub(crate) mod frame;
pub(crate) mod gdt;
pub(crate) mod hand_over;
pub(crate) mod idt;
pub(crate) mod layout;
mod loaders;
mod memory;
pub(crate) mod probe;
pub(crate) mod programs;
pub(crate) mod segment;
mod serialize;
mod start;
pub(crate) mod tables;
pub(crate) mod trap_entry;

pub(crate) use context::{Context, switch_stacks};
pub(crate) use entry::start_tsc;
pub(crate) use serialize::serialize;
