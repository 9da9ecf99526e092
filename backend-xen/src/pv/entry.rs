//! Bits of page-table entries. Intel SDM volume 3, tables 5-15 to 5-20.

use super::translation::{Mfn, Pfn};

pub(super) const PRESENT: u64 = 1 << 0;
pub(super) const WRITABLE: u64 = 1 << 1;
pub(super) const USER: u64 = 1 << 2;
pub(super) const LARGE: u64 = 1 << 7;
/// There are no global pages in PV guests.
const GLOBAL: u64 = 1 << 8;
/// By which Xen marks a page of the kernel's, which it lets programs see, too, as both are in ring 3:
/// `_PAGE_GUEST_KERNEL` of its arch/x86/include/asm/x86_64/page.h.
const GUEST_KERNEL: u64 = 1 << 52;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const NO_EXECUTE: u64 = 1 << 63;

/// A page of data that nobody writes.
pub(super) const READ_ONLY: u64 = PRESENT | USER | ACCESSED | NO_EXECUTE;
/// A page of data.
pub(super) const DATA: u64 = READ_ONLY | WRITABLE | DIRTY;
/// A table below.
pub(super) const TABLE: u64 = PRESENT | WRITABLE | USER | ACCESSED | DIRTY;

const FRAME: u64 = 0x000f_ffff_ffff_f000;

/// Entries of a table.
pub(super) const ENTRIES: usize = 512;
/// Entries of the first table that are Xen's own: ROOT_PAGETABLE_FIRST_XEN_SLOT and up to the last one.
pub(super) const XEN_ENTRIES: core::ops::Range<usize> = 256..272;

/// An entry with the machine's number of its frame.
pub(super) fn machine(frame: Mfn, flags: u64) -> u64 {
    frame.0 << 12 | flags
}

/// The frame that a stored entry leads to, if it is present and the frame is the domain's own.
pub(super) fn own_frame(entry: u64) -> Option<Pfn> {
    (entry & PRESENT != 0).then_some(())?;
    Mfn((entry & FRAME) >> 12).own()
}

/// For the op `mmu.make_entry`. A frame that is not the domain's is the machine's: a device.
pub(super) unsafe extern "C" fn make(entry: u64) -> u64 {
    if entry & PRESENT == 0 {
        return entry;
    }
    let frame = (entry & FRAME) >> 12;
    let machine = Pfn(frame).machine().map_or(frame, |machine| machine.0);
    entry & !(FRAME | GLOBAL) | machine << 12
}

/// For the op `mmu.entry_value`.
pub(super) unsafe extern "C" fn value(entry: u64) -> u64 {
    if entry & PRESENT == 0 {
        return entry;
    }
    let frame = (entry & FRAME) >> 12;
    let own = Mfn(frame).own().map_or(frame, |own| own.0);
    let hidden = match entry & GUEST_KERNEL {
        0 => 0,
        _ => GUEST_KERNEL | USER,
    };
    entry & !(FRAME | hidden) | own << 12
}
