//! Pages that come into being when they are touched.

use core::ops::Range;

use crate::frames;
use crate::layout::{PAGE, SCRATCH};
use crate::paging;
use crate::tables::Flags;

/// The addresses where any page may be touched.
pub(crate) const REGION: Range<usize> = SCRATCH.start + (1 << 20)..SCRATCH.end;

/// Maps a zeroed page if one belongs at the address of a page fault.
pub(crate) fn page_in(address: usize) -> bool {
    REGION.contains(&address)
        && frames::allocate().is_some_and(|(frame, _)| {
            paging::map(address & !(PAGE - 1), frame, Flags::DATA).is_ok()
        })
}
