//! Four levels of page tables.

use crate::tables::Flags;

/// Levels of tables.
pub(crate) const LEVELS: u32 = 4;
/// Entries of the first table.
pub(crate) const FIRST_ENTRIES: usize = 512;
/// Those of them that lead to a program's memory; behind them is the kernel's.
pub(crate) const PROGRAM_ENTRIES: usize = 256;
/// Flags that an entry of the first table has.
pub(crate) const FIRST_FLAGS: Flags = Flags::all();
/// Whether the CPU reads the first table only when CR3 is loaded.
pub(crate) const FIRST_IS_CACHED: bool = false;
