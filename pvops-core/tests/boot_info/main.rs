//! Boot information: good, odd and hostile.

mod command_line;
mod hostile;
mod machines;
mod memory_map;
mod multiboot;
mod multiboot2;
mod pvh;
mod rsdp;
mod support;
