//! 64-bit mode.

mod context;
mod entry;
pub(crate) mod frame;
pub(crate) mod gdt;
pub(crate) mod hand_over;
pub(crate) mod idt;
pub(crate) mod layout;
mod notes;
pub(crate) mod probe;
mod programs;
pub(crate) mod segment;
mod serialize;
pub(crate) mod tables;
pub(crate) mod trap_entry;

pub(crate) use context::{Context, switch_stacks};
pub(crate) use entry::start_tsc;
pub(crate) use serialize::serialize;
