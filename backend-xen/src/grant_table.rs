//! Grants: which frames of this domain another may use, and the use of other domains' frames.
//!
//! [`GrantTable`] gives frames away and takes them back. A peer is told the [`GrantReference`], by
//! xenstore as a rule. [`map()`] and [`copy()`] are what a domain does with references that others have
//! told it.
//!
//! Source: Xen's public/grant_table.h.

mod calls;
mod copy;
mod entries;
mod entry;
mod error;
mod frames;
mod map;
mod references;

use core::fmt;

use crate::domain::DomainId;
use crate::memory::FrameNumber;
use entries::Entries;
use references::References;

#[cfg(target_pointer_width = "64")]
pub use calls::setup_status_frames;
pub use calls::{Size, get_version, set_version, setup_table, size};
pub use copy::{CopyEnd, CopyOperation, copy};
pub use error::{EndError, Error, GrantStatus};
pub use frames::{KernelFrames, TableFrame, TableFrames};
pub use map::{MapOperation, Mapping, UnmapOperation, map, unmap};

/// Names a grant of a domain.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(transparent)]
pub struct GrantReference(pub u32);

impl GrantReference {
    /// GNTTAB_RESERVED_CONSOLE: the toolstack has granted the console's page by it.
    pub const CONSOLE: Self = GrantReference(0);
    /// GNTTAB_RESERVED_XENSTORE: likewise xenstore's.
    pub const XENSTORE: Self = GrantReference(1);
}

/// GNTTAB_NR_RESERVED_ENTRIES: the first references are the toolstack's.
const RESERVED: u32 = 8;

/// The form of a table's entries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(transparent)]
pub struct Version(pub u32);

impl Version {
    /// Frame numbers of 32 bits, 512 entries in a frame. What each domain starts with.
    pub const V1: Self = Version(1);
    /// Frame numbers of 64 bits, 256 entries in a frame. For hosts with 16 TiB of memory or more.
    pub const V2: Self = Version(2);
}

/// What a peer may do with a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// Read.
    ReadOnly,
    /// Read and write.
    ReadWrite,
}

/// What a table needs of the kernel's memory. It grows to as many references as all three have room
/// for, and as Xen allows.
#[derive(Debug)]
pub struct TableMemory<'memory> {
    /// One for each reference.
    pub links: &'memory mut [u32],
    /// One for each frame of entries.
    pub frames: &'memory mut [Option<&'static TableFrame>],
    /// One for each frame of status words, of 2048 references: [`Version::V2`] only.
    pub status_frames: &'memory mut [Option<&'static TableFrame>],
}

/// This domain's grants. The kernel keeps it behind a lock. `F` maps its frames as it grows.
pub struct GrantTable<'memory, F> {
    references: References<'memory>,
    entries: Entries<'memory>,
    frames: F,
}

impl<F> fmt::Debug for GrantTable<'_, F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("GrantTable").finish_non_exhaustive()
    }
}

impl<'memory, F: TableFrames> GrantTable<'memory, F> {
    /// A table without a grant.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownVersion`].
    ///
    /// # Safety
    ///
    /// The table is this domain's only one, and `version` is [in effect](get_version).
    pub unsafe fn new(
        version: Version,
        memory: TableMemory<'memory>,
        frames: F,
    ) -> Result<Self, Error> {
        Ok(GrantTable {
            references: References::new(memory.links),
            entries: Entries::new(version, memory.frames, memory.status_frames)?,
            frames,
        })
    }

    /// Goes on after the domain has [moved](crate::suspend), with its frames in their places and without a
    /// grant: the references of before name nothing any more, until they are given anew. A table of
    /// [`Version::V2`] is [set](set_version) to that first.
    ///
    /// # Errors
    ///
    /// Xen does not give the frames back. The table is of no use until this is called again.
    ///
    /// # Safety
    ///
    /// The domain has moved since the table was made or went on: then no domain has a grant of it. Else one
    /// could keep a frame whose reference is given anew.
    pub unsafe fn resume(&mut self) -> Result<(), Error> {
        self.references.clear();
        self.entries.place_again(&mut self.frames)?;
        self.references.extend_to(self.entries.count());
        Ok(())
    }

    /// Lets a domain use a frame, whenever it likes, until [`end`](Self::end) says that it can't any
    /// more. `frame` is as Xen numbers the frames of this guest: [`FrameNumber::at_physical`]. Not in an
    /// interrupt handler, as the table may grow.
    ///
    /// # Errors
    ///
    /// [`Error::FrameTooLarge`]; else what keeps a full table from growing.
    ///
    /// # Safety
    ///
    /// The domain may read all of the frame at any time, and change it if it may write. So nothing
    /// else is in it, the kernel only accesses it by atomics or volatile accesses, and uses it for
    /// nothing else before `end` returns `Ok`.
    pub unsafe fn grant(
        &mut self,
        domain: DomainId,
        frame: FrameNumber,
        access: Access,
    ) -> Result<GrantReference, Error> {
        if self.references.is_empty() {
            self.entries.grow(&mut self.frames)?;
            self.references.extend_to(self.entries.count());
        }
        let index = self.references.first().ok_or(Error::NoReferences)?;
        let entry = self.entries.get(index).ok_or(Error::NoReferences)?;
        entry.grant(domain, frame, access)?;
        self.references.take_first();
        Ok(GrantReference(index))
    }

    /// Takes a grant back. Then the frame is the kernel's own again, and the reference free.
    ///
    /// # Errors
    ///
    /// [`EndError::StillInUse`] while the other domain has the frame mapped or copies it. The grant
    /// stays: keep the frame, and try again later. With [`Version::V2`] nobody can map it anew
    /// meanwhile. A peer may never let go; such a frame is lost until its domain is gone.
    pub fn end(&mut self, reference: GrantReference) -> Result<(), EndError> {
        let GrantReference(index) = reference;
        if !self.references.is_taken(index) {
            return Err(EndError::NotGranted);
        }
        let entry = self.entries.get(index).ok_or(EndError::NotGranted)?;
        if !entry.end() {
            return Err(EndError::StillInUse);
        }
        self.references.give_back(index);
        Ok(())
    }

    /// Whether a domain uses a grant of this table now, by its status as Xen has written it.
    pub fn is_in_use(&self, reference: GrantReference) -> bool {
        let entry = self.entries.get(reference.0);
        entry.is_some_and(|entry| entry.is_in_use())
    }
}
