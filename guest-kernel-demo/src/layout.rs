//! Where things are in the address space.

use core::ops::Range;

use crate::arch::layout::WINDOWS;
pub(crate) use crate::arch::layout::{
    DIRECT_MAP, DIRECT_MAP_BYTES, EARLY_MAP, KERNEL_OFFSET, MAPPED, SMALL_PAGES, USER,
};

/// Device registers are mapped from here on, in reach of 32-bit absolute addresses.
pub(crate) const DEVICES: Range<usize> = WINDOWS..WINDOWS + 0x20_0000;
/// Addresses that the self-test maps and unmaps.
pub(crate) const SCRATCH: Range<usize> = DEVICES.end..DEVICES.end + 0x20_0000;
/// Stacks of the CPUs but the first, and of tasks.
pub(crate) const STACKS: Range<usize> = SCRATCH.end..SCRATCH.end + 0x20_0000;

/// Where measuring puts a table of its own.
#[cfg(target_arch = "x86_64")]
pub(crate) const SPARE_TABLE: usize = STACKS.end;

/// Where Xen's trace is mapped.
pub(crate) const XEN_TRACE: Range<usize> = WINDOWS + 0x80_0000..WINDOWS + 0x100_0000;

/// The image again, where its text is written: 0 to 16 MiB of it.
pub(crate) const WRITABLE_ALIAS: Range<usize> = XEN_TRACE.end..XEN_TRACE.end + 0x100_0000;

/// Bytes in a page.
pub(crate) const PAGE: usize = 4096;

macro_rules! linker_addresses {
    ($($(#[$doc:meta])* $function:ident = $symbol:ident;)*) => {
        $($(#[$doc])*
        pub(crate) fn $function() -> usize {
            unsafe extern "C" {
                safe static $symbol: u8;
            }
            (&raw const $symbol).addr()
        })*
    };
}

linker_addresses! {
    /// Start of the text; it ends where the read-only data start.
    text_start = __text_start;
    /// Start of the read-only data; they end where the data start.
    rodata_start = __rodata_start;
    /// Start of the data.
    data_start = __data_start;
    /// End of the image with its zeroed data.
    image_end = __image_end;
    /// A page below the boot stack that is not mapped.
    stack_guard = entry_stack_guard;
}

/// The kernel's text.
pub(crate) fn text() -> Range<usize> {
    text_start()..rodata_start()
}

/// The whole image.
pub(crate) fn image() -> Range<usize> {
    text_start()..image_end()
}
