//! What is behind the kernel's own frames, where it sees all memory: other frames of Xen's, or nothing.

use super::address;
use super::entry;
use super::hidden_frames;
use super::page_table_calls::replace_mapping;
use super::translation::{Mfn, Pfn};
use crate::error::XenError;
use crate::memory::{self, FrameNumber};

/// Has the frame of the machine be at an address of the direct map. The memory that was there is hidden.
///
/// # Safety
///
/// Nobody uses what was there, and the domain may map the frame.
pub(crate) unsafe fn place(frame: FrameNumber, address: usize) -> Result<(), XenError> {
    let (own, _) = address::frame_at(address).ok_or(XenError::BAD_ADDRESS)?;
    let frame = Mfn(frame.0);
    hidden_frames::note(own, address::of(own), frame)?;
    // SAFETY: as the caller vouches. Tables that are made later have the frame there too.
    unsafe {
        replace_mapping(address::of(own), entry::machine(frame, entry::DATA))?;
        own.set_machine(frame);
    }
    Ok(())
}

/// Gives away the memory of frames, by their own numbers. Of how many, the first ones.
///
/// # Safety
///
/// Nobody uses the frames.
pub(crate) unsafe fn decrease(frames: &[FrameNumber]) -> Result<usize, XenError> {
    let mut done = 0;
    for &FrameNumber(own) in frames {
        // SAFETY: as the caller vouches.
        match unsafe { give_away(Pfn(own)) } {
            Ok(()) => done += 1,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// Gets memory for frames. For how many, the first ones.
///
/// # Safety
///
/// They have none.
pub(crate) unsafe fn populate(frames: &[FrameNumber]) -> Result<usize, XenError> {
    let mut done = 0;
    for &own in frames {
        // SAFETY: as the caller vouches.
        let result = unsafe { fill(own) };
        match result {
            Ok(()) => done += 1,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// Gets memory for one frame. On an error all is as before.
///
/// # Safety
///
/// The frame has none.
unsafe fn fill(own: FrameNumber) -> Result<(), XenError> {
    let mut number = [own];
    // SAFETY: as the caller vouches; what is new is mapped where the frame is, or given back.
    unsafe {
        if memory::populate_physmap(&mut number, 0)? == 0 {
            return Err(XenError::OUT_OF_MEMORY);
        }
        place(number[0], address::of(Pfn(own.0))).inspect_err(|_| {
            // It was Xen's, and nobody has it mapped.
            let _ = memory::decrease_reservation(&number, 0);
        })
    }
}

/// Gives the memory of one frame away. On an error all is as before.
///
/// # Safety
///
/// Nobody uses the frame.
unsafe fn give_away(own: Pfn) -> Result<(), XenError> {
    let frame = own.machine().ok_or(XenError::INVALID)?;
    // SAFETY: as the caller vouches.
    unsafe {
        // A frame that is mapped can't be given away.
        replace_mapping(address::of(own), 0)?;
        let result = memory::decrease_reservation(&[FrameNumber(frame.0)], 0);
        if result == Ok(1) {
            own.set_absent();
            return Ok(());
        }
        place(FrameNumber(frame.0), address::of(own))?;
        result.and(Err(XenError::BUSY))
    }
}
