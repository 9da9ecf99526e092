//! Three levels of page tables, with entries of 64 bits (PAE).
//!
//! The first table has four entries, which the CPU reads only when CR3 is loaded. Intel SDM volume 3,
//! section 5.4.1.

use crate::tables::Flags;

/// Levels of tables.
pub(crate) const LEVELS: u32 = 3;
/// Entries of the first table.
pub(crate) const FIRST_ENTRIES: usize = 4;
/// Those of them that lead to a program's memory; behind them is the kernel's.
pub(crate) const PROGRAM_ENTRIES: usize = 3;
/// Flags that an entry of the first table has.
pub(crate) const FIRST_FLAGS: Flags = Flags::PRESENT;
/// Whether the CPU reads the first table only when CR3 is loaded.
pub(crate) const FIRST_IS_CACHED: bool = true;
