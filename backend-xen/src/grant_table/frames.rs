//! Where the frames of a grant table are mapped.

use core::ptr::NonNull;
use core::sync::atomic::AtomicU8;

use pvops_core::Kernel;

use super::Error;
use crate::memory::{self, FrameNumber, MapSpace};

/// One frame of a grant table, of entries or of status words.
#[repr(C, align(4096))]
pub struct TableFrame([AtomicU8; 4096]);

/// Maps the frames of a grant table, which Xen owns.
///
/// # Safety
///
/// What is returned is the frame that was asked for, mapped writable for good (a frame of status words
/// may be read-only), and only accessed atomically.
pub unsafe trait TableFrames {
    /// Maps frame `index` of the entries; the table grows to have it.
    ///
    /// # Errors
    ///
    /// Xen refuses, or there is no room.
    fn map_entries(&mut self, index: u32) -> Result<&'static TableFrame, Error>;

    /// Maps frame `index` of the status words. Only with [`Version::V2`](super::Version::V2).
    ///
    /// # Errors
    ///
    /// As for [`map_entries`](Self::map_entries).
    fn map_status(&mut self, index: u32) -> Result<&'static TableFrame, Error>;
}

/// How guests with frame numbers of their own (PVH and HVM) do it: Xen puts the table's frames where
/// frames of the kernel were, whose memory goes back to Xen.
pub struct TranslatedFrames<'kernel> {
    kernel: &'kernel dyn Kernel,
    /// One that Xen did not take.
    spare: Option<NonNull<TableFrame>>,
}

impl<'kernel> TranslatedFrames<'kernel> {
    /// With frames of `kernel`, which it never gets back.
    pub fn new(kernel: &'kernel dyn Kernel) -> Self {
        TranslatedFrames {
            kernel,
            spare: None,
        }
    }

    fn map(&mut self, index: u64) -> Result<&'static TableFrame, Error> {
        let frame = self
            .spare
            .take()
            .or_else(|| Some(self.kernel.shared_frame()?.cast()))
            .ok_or(Error::NoFrame)?;
        let physical = self.kernel.virtual_to_physical(frame.addr().get());
        let number = FrameNumber(physical.ok_or(Error::NoFrame)? / 4096);
        // SAFETY: nobody uses the frame.
        if let Err(error) = unsafe { memory::add_to_physmap(MapSpace::GRANT_TABLE, index, number) }
        {
            self.spare = Some(frame);
            return Err(error.into());
        }
        // SAFETY: the frame stays mapped, is page-aligned, and is the table's now. All of it is in
        // atomics.
        Ok(unsafe { frame.as_ref() })
    }
}

/// XENMAPIDX_grant_table_status of Xen's public/memory.h.
const STATUS: u64 = 0x8000_0000;

// SAFETY: Xen puts the frame of that index there, or refuses.
unsafe impl TableFrames for TranslatedFrames<'_> {
    fn map_entries(&mut self, index: u32) -> Result<&'static TableFrame, Error> {
        self.map(index.into())
    }

    fn map_status(&mut self, index: u32) -> Result<&'static TableFrame, Error> {
        self.map(STATUS | u64::from(index))
    }
}

// SAFETY: the spare frame is nobody's but its owner's.
unsafe impl Send for TranslatedFrames<'_> {}
