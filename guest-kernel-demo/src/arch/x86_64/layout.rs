//! The kernel in the top 2 GiB.

use core::ops::Range;

/// Distance from a physical address to where the kernel's image sees it: the top 2 GiB.
pub(crate) const KERNEL_OFFSET: usize = 0xffff_ffff_8000_0000;
/// Distance from a physical address to where the kernel sees all memory.
pub(crate) const DIRECT_MAP: usize = 0xffff_8880_0000_0000;
/// What it has room for.
pub(crate) const DIRECT_MAP_BYTES: u64 = 1 << 46;
/// The same distance, with the tables of the first instructions.
pub(crate) const EARLY_MAP: usize = DIRECT_MAP;
/// End of the memory in both; frames beyond are left alone.
pub(crate) const MAPPED: u64 = 4 << 30;
/// Where the addresses begin that are mapped for a purpose each.
pub(crate) const WINDOWS: usize = 0xffff_ffff_c000_0000;

/// Memory that is mapped in small pages.
pub(crate) const SMALL_PAGES: Range<u64> = 0..0;

/// Addresses of programs. The highest page of the lower half is no program's: behind a system call
/// at its end there is no canonical address to return to.
pub(crate) const USER: Range<usize> = 4096..0x7fff_ffff_f000;
