//! Xen, as it sees a grant table: bytes at offsets of public/grant_table.h, and a peer that maps.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::RefCell;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

use pvops_backend_xen::XenError;
use pvops_backend_xen::grant_table::{Error, TableFrame, TableFrames, Version};

const PERMIT: u16 = 1;
const READONLY: u16 = 4;
const READING: u16 = 8;
const WRITING: u16 = 16;

/// The frames of a table that may have so many.
pub(crate) struct Table {
    version: Version,
    max_frames: usize,
    entries: Vec<NonNull<TableFrame>>,
    status: Vec<NonNull<TableFrame>>,
}

impl Table {
    pub(crate) fn new(version: Version, max_frames: usize) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Table {
            version,
            max_frames,
            entries: Vec::new(),
            status: Vec::new(),
        }))
    }

    pub(crate) fn frames(&self) -> (usize, usize) {
        (self.entries.len(), self.status.len())
    }

    pub(crate) fn entry(&self, reference: u32) -> Entry {
        let reference = reference as usize;
        let size = if self.version == Version::V1 { 8 } else { 16 };
        let per_frame = 4096 / size;
        let at = self.entries[reference / per_frame].cast::<u8>();
        // SAFETY: within the frame.
        let entry = unsafe { at.add(reference % per_frame * size) };
        let status = match self.version {
            Version::V1 => entry,
            // SAFETY: within the frame.
            _ => unsafe {
                let frame = self.status[reference / 2048].cast::<u8>();
                frame.add(reference % 2048 * 2)
            },
        };
        Entry {
            version: self.version,
            entry,
            status,
        }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        for frame in self.entries.drain(..).chain(self.status.drain(..)) {
            // SAFETY: it was allocated so, and the grant table is gone.
            unsafe { dealloc(frame.as_ptr().cast(), Layout::new::<TableFrame>()) };
        }
    }
}

/// Maps a table's frames for the kernel.
pub(crate) struct Frames(pub(crate) Rc<RefCell<Table>>);

fn add(
    frames: &mut Vec<NonNull<TableFrame>>,
    index: u32,
    max_frames: usize,
) -> Result<&'static TableFrame, Error> {
    assert_eq!(index as usize, frames.len(), "frames come in order");
    if frames.len() == max_frames {
        return Err(Error::Xen(XenError::INVALID));
    }
    // SAFETY: the layout is not empty.
    let frame = unsafe { alloc_zeroed(Layout::new::<TableFrame>()) };
    let frame = NonNull::new(frame.cast()).unwrap();
    frames.push(frame);
    // SAFETY: it is there until the grant table is gone; zeroes are good for atomics.
    Ok(unsafe { frame.as_ref() })
}

/// What was in the frame is gone.
fn place(
    frames: &[NonNull<TableFrame>],
    index: u32,
    frame: &'static TableFrame,
) -> Result<(), Error> {
    let found = frames[index as usize];
    assert_eq!(found, NonNull::from(frame), "frames are where they were");
    for at in (0..4096).step_by(8) {
        // SAFETY: within the frame.
        unsafe { found.cast::<u8>().add(at).cast::<AtomicU64>().as_ref() }
            .store(0, Ordering::Relaxed);
    }
    Ok(())
}

// SAFETY: the frames are there for as long as the tests' grant tables, and accessed by atomics only.
unsafe impl TableFrames for Frames {
    fn map_entries(&mut self, index: u32) -> Result<&'static TableFrame, Error> {
        let table = &mut *self.0.borrow_mut();
        add(&mut table.entries, index, table.max_frames)
    }

    fn map_status(&mut self, index: u32) -> Result<&'static TableFrame, Error> {
        let table = &mut *self.0.borrow_mut();
        assert_eq!(table.version, Version::V2);
        add(&mut table.status, index, table.max_frames)
    }

    fn place_entries(&mut self, index: u32, frame: &'static TableFrame) -> Result<(), Error> {
        place(&self.0.borrow().entries, index, frame)
    }

    fn place_status(&mut self, index: u32, frame: &'static TableFrame) -> Result<(), Error> {
        place(&self.0.borrow().status, index, frame)
    }
}

/// An entry, as Xen uses it for one peer that maps once at a time.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    version: Version,
    entry: NonNull<u8>,
    status: NonNull<u8>,
}

// SAFETY: accessed by atomics only.
unsafe impl Send for Entry {}
// SAFETY: as for `Send`.
unsafe impl Sync for Entry {}

impl Entry {
    pub(crate) fn flags(&self) -> u16 {
        self.word(0).load(Ordering::Relaxed)
    }

    pub(crate) fn domain(&self) -> u16 {
        self.word(2).load(Ordering::Relaxed)
    }

    pub(crate) fn frame(&self) -> u64 {
        // SAFETY: the entry is as large, and its fields are aligned.
        unsafe {
            match self.version {
                Version::V1 => {
                    let frame = self.entry.add(4).cast::<AtomicU32>();
                    frame.as_ref().load(Ordering::Relaxed).into()
                }
                _ => {
                    let frame = self.entry.add(8).cast::<AtomicU64>();
                    frame.as_ref().load(Ordering::Relaxed)
                }
            }
        }
    }

    /// Whether the peer has it now.
    pub(crate) fn map(&self, to_write: bool) -> bool {
        let marks = if to_write { READING | WRITING } else { READING };
        let may = |flags: u16| flags & 3 == PERMIT && !(to_write && flags & READONLY != 0);
        match self.version {
            Version::V1 => {
                let word = self.word(0);
                let mut flags = self.flags();
                while may(flags) {
                    let (order, relaxed) = (Ordering::SeqCst, Ordering::Relaxed);
                    match word.compare_exchange(flags, flags | marks, order, relaxed) {
                        Ok(_) => return true,
                        Err(now) => flags = now,
                    }
                }
                false
            }
            _ => {
                // Marks first, then a second look.
                self.status().fetch_or(marks, Ordering::SeqCst);
                fence(Ordering::SeqCst);
                let has = may(self.flags());
                if !has {
                    self.unmap();
                }
                has
            }
        }
    }

    pub(crate) fn unmap(&self) {
        let marks = READING | WRITING;
        self.status().fetch_and(!marks, Ordering::SeqCst);
    }

    fn word(&self, offset: usize) -> &AtomicU16 {
        // SAFETY: the entry is as large, and its fields are aligned.
        unsafe { self.entry.add(offset).cast().as_ref() }
    }

    fn status(&self) -> &AtomicU16 {
        // SAFETY: status words are aligned, and there as long as the entry.
        unsafe { self.status.cast().as_ref() }
    }
}
