//! Where the frames of a grant table are mapped.

use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU8;

use pvops_core::Kernel;

use super::Error;
#[cfg(target_arch = "x86_64")]
use super::calls;
use crate::memory::{self, FrameNumber, MapSpace};
use crate::word::Word;

/// One frame of a grant table, of entries or of status words.
#[repr(C, align(4096))]
pub struct TableFrame([AtomicU8; 4096]);

impl fmt::Debug for TableFrame {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TableFrame").finish_non_exhaustive()
    }
}

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

    /// Maps frame `index` of the entries where it was mapped before the domain has moved.
    ///
    /// # Errors
    ///
    /// Xen refuses.
    fn place_entries(&mut self, index: u32, frame: &'static TableFrame) -> Result<(), Error>;

    /// The same with a frame of the status words.
    ///
    /// # Errors
    ///
    /// As for [`place_entries`](Self::place_entries).
    fn place_status(&mut self, index: u32, frame: &'static TableFrame) -> Result<(), Error>;
}

/// Puts the table's frames where frames of the kernel were. In PVH and HVM guests the memory of these goes
/// back to Xen; in PV guests it is lost, and the frames must be in the direct map.
pub struct KernelFrames<'kernel> {
    kernel: &'kernel dyn Kernel,
    /// One that Xen did not take.
    spare: Option<NonNull<TableFrame>>,
}

impl fmt::Debug for KernelFrames<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = formatter.debug_struct("KernelFrames");
        fields.field("spare", &self.spare).finish_non_exhaustive()
    }
}

impl<'kernel> KernelFrames<'kernel> {
    /// With frames of `kernel`, which it never gets back.
    pub fn new(kernel: &'kernel dyn Kernel) -> Self {
        KernelFrames {
            kernel,
            spare: None,
        }
    }

    fn map(&mut self, index: Word) -> Result<&'static TableFrame, Error> {
        let frame = self
            .spare
            .take()
            .or_else(|| Some(self.kernel.shared_frame()?.cast()))
            .ok_or(Error::NoFrame)?;
        if let Err(error) = self.place(index, frame) {
            self.spare = Some(frame);
            return Err(error);
        }
        // SAFETY: the frame stays mapped, is page-aligned, and is the table's now. All of it is in
        // atomics.
        Ok(unsafe { frame.as_ref() })
    }

    /// Has the table's frame be where `frame` is, which is nobody's.
    fn place(&self, index: Word, frame: NonNull<TableFrame>) -> Result<(), Error> {
        let address = frame.addr().get();
        #[cfg(target_arch = "x86_64")]
        if crate::is_pv() {
            // SAFETY: nobody uses the frame, and the table is this domain's.
            unsafe { crate::pv::own_frames::place(machine_number(index)?, address)? };
            return Ok(());
        }
        let physical = self.kernel.virtual_to_physical(address);
        let number = physical.and_then(FrameNumber::of_guest);
        let number = number.ok_or(Error::NoFrame)?;
        // SAFETY: nobody uses the frame.
        unsafe { memory::add_to_physmap(MapSpace::GRANT_TABLE, index, number)? };
        Ok(())
    }
}

#[cfg(target_arch = "x86_64")]
/// The machine's number of a frame of the table, which grows to have it.
fn machine_number(index: Word) -> Result<FrameNumber, Error> {
    /// Xen's own limit is 64 frames, unless its administrator has said otherwise.
    const FRAMES_MAX: usize = 64;
    let mut numbers = [FrameNumber(0); FRAMES_MAX];
    let setup = match index & STATUS {
        0 => calls::setup_table,
        _ => calls::setup_status_frames,
    };
    let last = usize::try_from(index & !STATUS).map_err(|_| Error::NoFrame)?;
    setup(numbers.get_mut(..=last).ok_or(Error::NoFrame)?)?;
    Ok(numbers[last])
}

/// XENMAPIDX_grant_table_status of Xen's public/memory.h.
const STATUS: Word = 0x8000_0000;

// SAFETY: Xen puts the frame of that index there, or refuses.
unsafe impl TableFrames for KernelFrames<'_> {
    fn map_entries(&mut self, index: u32) -> Result<&'static TableFrame, Error> {
        self.map(index.into())
    }

    fn map_status(&mut self, index: u32) -> Result<&'static TableFrame, Error> {
        self.map(STATUS | Word::from(index))
    }

    fn place_entries(&mut self, index: u32, frame: &'static TableFrame) -> Result<(), Error> {
        self.place(index.into(), frame.into())
    }

    fn place_status(&mut self, index: u32, frame: &'static TableFrame) -> Result<(), Error> {
        self.place(STATUS | Word::from(index), frame.into())
    }
}

// SAFETY: the spare frame is nobody's but its owner's.
unsafe impl Send for KernelFrames<'_> {}
