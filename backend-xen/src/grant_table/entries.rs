//! The frames of a table, and where in them an entry is.

use core::sync::atomic::AtomicU16;

use super::entry::{Entry, EntryV1, EntryV2};
use super::frames::{TableFrame, TableFrames};
use super::{Error, Version};

pub(super) struct Entries<'memory> {
    version: Version,
    frames: &'memory mut [Option<&'static TableFrame>],
    status_frames: &'memory mut [Option<&'static TableFrame>],
    frames_in_use: usize,
}

impl<'memory> Entries<'memory> {
    pub(super) fn new(
        version: Version,
        frames: &'memory mut [Option<&'static TableFrame>],
        status_frames: &'memory mut [Option<&'static TableFrame>],
    ) -> Result<Self, Error> {
        if ![Version::V1, Version::V2].contains(&version) {
            return Err(Error::UnknownVersion);
        }
        frames.fill(None);
        status_frames.fill(None);
        Ok(Entries {
            version,
            frames,
            status_frames,
            frames_in_use: 0,
        })
    }

    /// How many entries there are.
    pub(super) fn count(&self) -> usize {
        self.frames_in_use * self.per_frame()
    }

    /// Adds a frame of entries, and one of status words if need be.
    pub(super) fn grow(&mut self, source: &mut impl TableFrames) -> Result<(), Error> {
        let index = self.frames_in_use;
        let slot = self.frames.get_mut(index).ok_or(Error::NoReferences)?;
        if self.version == Version::V2 {
            let index = index * ENTRIES_V2 / STATUS_WORDS;
            let slot = self.status_frames.get_mut(index);
            let slot = slot.ok_or(Error::NoReferences)?;
            if slot.is_none() {
                *slot = Some(source.map_status(index as u32)?);
            }
        }
        *slot = Some(source.map_entries(index as u32)?);
        self.frames_in_use += 1;
        Ok(())
    }

    /// Has Xen put all frames where they were.
    pub(super) fn place_again(&mut self, source: &mut impl TableFrames) -> Result<(), Error> {
        for (index, frame) in (0..).zip(self.status_frames.iter().flatten()) {
            source.place_status(index, frame)?;
        }
        for (index, frame) in (0..).zip(self.frames.iter().flatten()) {
            source.place_entries(index, frame)?;
        }
        Ok(())
    }

    pub(super) fn get(&self, index: u32) -> Option<Entry<'_>> {
        let index = index as usize;
        let frame = (*self.frames.get(index / self.per_frame())?)?;
        if self.version == Version::V1 {
            return Some(Entry::V1(&entries_v1(frame)[index % ENTRIES_V1]));
        }
        let status = (*self.status_frames.get(index / STATUS_WORDS)?)?;
        Some(Entry::V2(
            &entries_v2(frame)[index % ENTRIES_V2],
            &status_words(status)[index % STATUS_WORDS],
        ))
    }

    fn per_frame(&self) -> usize {
        match self.version {
            Version::V1 => ENTRIES_V1,
            _ => ENTRIES_V2,
        }
    }
}

const ENTRIES_V1: usize = size_of::<TableFrame>() / size_of::<EntryV1>();
const ENTRIES_V2: usize = size_of::<TableFrame>() / size_of::<EntryV2>();
/// `grant_status_t`.
const STATUS_WORDS: usize = size_of::<TableFrame>() / size_of::<AtomicU16>();

fn entries_v1(frame: &TableFrame) -> &[EntryV1; ENTRIES_V1] {
    // SAFETY: both are as large, the frame is aligned for all, and all bytes are in atomics.
    unsafe { &*(&raw const *frame).cast() }
}

fn entries_v2(frame: &TableFrame) -> &[EntryV2; ENTRIES_V2] {
    // SAFETY: as for `entries_v1`.
    unsafe { &*(&raw const *frame).cast() }
}

fn status_words(frame: &TableFrame) -> &[AtomicU16; STATUS_WORDS] {
    // SAFETY: as for `entries_v1`.
    unsafe { &*(&raw const *frame).cast() }
}
