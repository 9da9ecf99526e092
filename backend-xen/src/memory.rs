//! Which frames of memory this domain has, and what is behind the numbers of its frames.
//!
//! Source: Xen's public/memory.h.

use core::mem::offset_of;

use crate::domain::DomainId;
use crate::error::XenError;
use crate::hypercall::{self, HypercallNumber};
use crate::word::{Word, by_word_size};

/// Number of a frame of 4096 bytes. In PVH and HVM guests the guest's own (GFN). In PV guests the
/// machine's (MFN), but where a function says that it wants the guest's (PFN).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(transparent)]
pub struct FrameNumber(pub Word);

impl FrameNumber {
    /// What Xen calls the frame at an address that the kernel takes for physical, as grants want it. `None`
    /// if a PV guest has no such frame. Any context.
    pub fn at_physical(address: u64) -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if crate::is_pv() {
            let own = crate::pv::Pfn(address / 4096);
            return own.machine().map(|frame| FrameNumber(frame.0));
        }
        Self::of_guest(address)
    }

    /// The guest's own number of the frame at a physical address; `None` if it is too large for a word,
    /// as Xen takes it. Any context.
    pub fn of_guest(address: u64) -> Option<Self> {
        Word::try_from(address / 4096).ok().map(FrameNumber)
    }

    /// The other way round: where the frame begins that has this number of the guest's. Any context.
    pub const fn guest_address(self) -> u64 {
        // A word may be 32 bits.
        self.0 as usize as u64 * 4096
    }
}

/// How many frames this domain has. Any context.
///
/// # Errors
///
/// Xen refuses.
pub fn current_reservation() -> Result<u64, XenError> {
    // SAFETY: the structure is the command's, and is not written.
    unsafe { call(CURRENT_RESERVATION, &mut { DomainId::SELF }) }
}

/// Puts new memory at frames. `frames` are the guest's own numbers (PFN in PV guests too) of the first
/// frames of pieces of `2^order` each. How many pieces have memory now, the first ones; their numbers in
/// `frames` become those that Xen has for them: in PV guests the machine's, which the library does not note;
/// [`KernelReservation`](crate::balloon::KernelReservation) does. Any context.
///
/// # Errors
///
/// Xen can't do any.
///
/// # Safety
///
/// There is no memory at the frames yet.
pub unsafe fn populate_physmap(frames: &mut [FrameNumber], order: u32) -> Result<usize, XenError> {
    let mut reservation = Reservation::of(frames.as_mut_ptr(), frames.len(), order);
    // SAFETY: the structure is the command's; Xen writes integers to `frames`.
    let count = unsafe { call(POPULATE_PHYSMAP, &mut reservation)? };
    Ok(bounded(count, frames))
}

/// Gives memory back to Xen: pieces of `2^order` frames, by the first of each. How many pieces, the first
/// ones. Any context.
///
/// # Errors
///
/// Xen can't do any.
///
/// # Safety
///
/// Nobody uses the memory any more. In a PV guest it is not mapped, and the frame has no more memory in the
/// library's own list: [`KernelReservation`](crate::balloon::KernelReservation) sees to both.
pub unsafe fn decrease_reservation(frames: &[FrameNumber], order: u32) -> Result<usize, XenError> {
    let mut reservation = Reservation::of(frames.as_ptr(), frames.len(), order);
    // SAFETY: the structure is the command's; Xen only reads `frames`.
    let count = unsafe { call(DECREASE_RESERVATION, &mut reservation)? };
    Ok(bounded(count, frames))
}

/// Where something comes from that Xen puts at a frame. XENMAPSPACE_ and the name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(transparent)]
pub struct MapSpace(pub u32);

impl MapSpace {
    /// The shared page; index 0.
    pub const SHARED_INFO: Self = MapSpace(0);
    /// The grant table: the index is that of a frame, with bit 31 of a frame of status words.
    pub const GRANT_TABLE: Self = MapSpace(1);
    /// A frame of this domain: the index is its number.
    pub const GMFN: Self = MapSpace(2);
}

/// PVH and HVM guests only: has Xen put something at a frame. Memory that was there is Xen's again. Any
/// context.
///
/// # Errors
///
/// There is no such thing, or Xen refuses.
///
/// # Safety
///
/// Nobody uses what is at the frame.
pub unsafe fn add_to_physmap(
    space: MapSpace,
    index: Word,
    frame: FrameNumber,
) -> Result<(), XenError> {
    let mut place = AddToPhysmap {
        domain: DomainId::SELF,
        size: 0,
        space,
        index,
        frame,
    };
    // SAFETY: the structure is the command's, and of integers.
    unsafe { call(ADD_TO_PHYSMAP, &mut place)? };
    Ok(())
}

// XENMEM_ and the name.
const DECREASE_RESERVATION: u32 = 1;
const CURRENT_RESERVATION: u32 = 3;
const POPULATE_PHYSMAP: u32 = 6;
const ADD_TO_PHYSMAP: u32 = 7;

/// # Safety
///
/// As for [`hypercall::command`].
unsafe fn call<T>(command: u32, structure: &mut T) -> Result<u64, XenError> {
    // SAFETY: as the caller vouches.
    unsafe { hypercall::command(HypercallNumber::MEMORY_OP, command, structure) }
}

/// Xen's count of pieces, of which there are not more than were given.
fn bounded(count: u64, frames: &[FrameNumber]) -> usize {
    usize::try_from(count).map_or(frames.len(), |count| count.min(frames.len()))
}

/// `struct xen_memory_reservation`.
#[repr(C)]
struct Reservation {
    extents: Word,
    extent_count: Word,
    extent_order: u32,
    flags: u32,
    domain: DomainId,
}

impl Reservation {
    fn of(extents: *const FrameNumber, count: usize, order: u32) -> Self {
        Reservation {
            extents: extents.expose_provenance() as Word,
            extent_count: count as Word,
            extent_order: order,
            flags: 0,
            domain: DomainId::SELF,
        }
    }
}

/// `struct xen_add_to_physmap`.
#[repr(C)]
struct AddToPhysmap {
    domain: DomainId,
    size: u16,
    space: MapSpace,
    index: Word,
    frame: FrameNumber,
}

const _: () = {
    assert!(size_of::<Reservation>() == by_word_size(32, 20));
    assert!(offset_of!(Reservation, extent_count) == by_word_size(8, 4));
    assert!(offset_of!(Reservation, extent_order) == by_word_size(16, 8));
    assert!(offset_of!(Reservation, flags) == by_word_size(20, 12));
    assert!(offset_of!(Reservation, domain) == by_word_size(24, 16));
    assert!(size_of::<AddToPhysmap>() == by_word_size(24, 16));
    assert!(offset_of!(AddToPhysmap, size) == 2);
    assert!(offset_of!(AddToPhysmap, space) == 4);
    assert!(offset_of!(AddToPhysmap, index) == 8);
    assert!(offset_of!(AddToPhysmap, frame) == by_word_size(16, 12));
};
