//! The kernel in the last GiB.

use core::ops::Range;

/// Distance from a physical address to where the kernel's image sees it.
pub(crate) const KERNEL_OFFSET: usize = 0xc000_0000;
/// Distance from a physical address to where the kernel sees all memory.
pub(crate) const DIRECT_MAP: usize = KERNEL_OFFSET;
/// What it has room for.
pub(crate) const DIRECT_MAP_BYTES: u64 = MAPPED;
/// The same distance, with the tables of the first instructions, which have more of memory.
pub(crate) const EARLY_MAP: usize = 0;
/// End of the memory in both; frames beyond are left alone.
pub(crate) const MAPPED: u64 = 0x3000_0000;
/// Where the addresses begin that are mapped for a purpose each.
pub(crate) const WINDOWS: usize = DIRECT_MAP + MAPPED as usize;

/// Memory that is mapped in small pages: option ROMs may be executed.
pub(crate) const SMALL_PAGES: Range<u64> = 0..0x20_0000;

/// Addresses of programs.
pub(crate) const USER: Range<usize> = 4096..KERNEL_OFFSET;
