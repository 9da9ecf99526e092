//! Where a shared record may lie.

use core::ptr::NonNull;

/// Why a record can not be shared with a host at its address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PlacementError {
    /// The address is not a multiple of the record's alignment.
    Misaligned,
    /// The record reaches into the next 4 KiB page, which need not follow this
    /// one in guest-physical memory.
    CrossesPage,
}

/// Checks the address of a record of `size` bytes, at most a page.
///
/// The offset in a page is the same in virtual and in guest-physical addresses,
/// so the check holds for both.
pub(super) fn check<T>(record: NonNull<T>, size: usize) -> Result<(), PlacementError> {
    if !record.is_aligned() {
        return Err(PlacementError::Misaligned);
    }
    if record.addr().get() % PAGE_SIZE > PAGE_SIZE - size {
        return Err(PlacementError::CrossesPage);
    }
    Ok(())
}

impl core::fmt::Display for PlacementError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Misaligned => "record is misaligned",
            Self::CrossesPage => "record crosses a page boundary",
        })
    }
}

impl core::error::Error for PlacementError {}

const PAGE_SIZE: usize = 4096;
