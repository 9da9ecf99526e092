//! What is known of each frame: whether it is a page table, and whether Xen has it as one.
//!
//! Xen lets no domain write to a frame that is in use as a page table or descriptor table, so all
//! mappings of such a frame must be read-only before it is used.

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use super::translation::Pfn;

/// What one frame is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Note(u32);

impl Note {
    /// Memory like any other.
    pub(super) const MEMORY: Note = Note(0);
    const LEVEL: u32 = 0b111;
    const IN_USE: u32 = 1 << 3;
    /// In use from now on, but not read-only yet.
    const NEW: u32 = 1 << 4;
    /// Not a page table, but read-only just the same.
    const DESCRIPTORS: u32 = 0b111;
    const USER_ROOT_SHIFT: u32 = 5;

    /// A table of a level, 1 to 4, that Xen does not know of.
    pub(super) fn table(level: u32) -> Self {
        Note(level & Self::LEVEL)
    }

    /// A table of descriptors that Xen knows of.
    pub(super) fn descriptors() -> Self {
        Note(Self::DESCRIPTORS | Self::IN_USE)
    }

    /// The same, known to Xen.
    pub(super) fn in_use(self) -> Self {
        Note((self.0 | Self::IN_USE) & !Self::NEW)
    }

    /// The same, to be [in use](Self::in_use) once it is read-only.
    pub(super) fn about_to_be_used(self) -> Self {
        Note(self.0 | Self::IN_USE | Self::NEW)
    }

    /// Whether it is still to be made read-only.
    pub(super) fn is_about_to_be_used(self) -> bool {
        self.0 & Self::NEW != 0
    }

    /// Whether it is a table of pages: of level 1.
    pub(super) fn is_of_pages(self) -> bool {
        self.0 & Self::LEVEL == 1
    }

    /// Whether Xen has it as a table, so that it is read-only.
    pub(super) fn is_in_use(self) -> bool {
        self.0 & Self::IN_USE != 0
    }

    /// The level of a table that Xen does not know of.
    pub(super) fn unused_level(self) -> Option<u32> {
        (self.0 != 0 && !self.is_in_use()).then_some(self.0 & Self::LEVEL)
    }

    /// The same, with the frame of the first table that programs run on.
    pub(super) fn with_user_root(self, root: Option<Pfn>) -> Self {
        let root = root.map_or(0, |root| root.0 as u32);
        Note(self.0 & ((1 << Self::USER_ROOT_SHIFT) - 1) | root << Self::USER_ROOT_SHIFT)
    }

    /// The frame of the first table that programs run on.
    pub(super) fn user_root(self) -> Option<Pfn> {
        let root = self.0 >> Self::USER_ROOT_SHIFT;
        (root != 0).then_some(Pfn(root.into()))
    }
}

/// The note of a frame.
pub(super) fn of(frame: Pfn) -> Note {
    slot(frame).map_or(Note::MEMORY, |note| Note(note.load(Ordering::Relaxed)))
}

/// Notes something of a frame.
pub(super) fn set(frame: Pfn, note: Note) {
    if let Some(slot) = slot(frame) {
        slot.store(note.0, Ordering::Relaxed);
    }
}

/// Bytes that the notes take for so many frames.
pub(super) const fn bytes(frames: u64) -> u64 {
    frames * size_of::<u32>() as u64
}

/// Keeps the notes at `notes`.
///
/// # Safety
///
/// There must be [`bytes`] zeroed bytes for so many frames, for good.
pub(super) unsafe fn start(notes: *mut AtomicU32, frames: u64) {
    NOTES.store(notes, Ordering::Relaxed);
    FRAMES.store(frames, Ordering::Relaxed);
}

static NOTES: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());
static FRAMES: AtomicU64 = AtomicU64::new(0);

fn slot(frame: Pfn) -> Option<&'static AtomicU32> {
    if frame.0 >= FRAMES.load(Ordering::Relaxed) {
        return None;
    }
    // SAFETY: `start` was given that many words, for good.
    Some(unsafe { &*NOTES.load(Ordering::Relaxed).add(frame.0 as usize) })
}
