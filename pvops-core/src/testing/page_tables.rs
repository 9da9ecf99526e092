//! Stores to page tables, which a host may put off.

use std::vec::Vec;

use crate::lazy::LazyDepth;

/// What is put off in lazy mode, as on hosts that gather it: reading it back before it is made is a
/// mistake that shows.
#[derive(Default)]
pub(super) struct PutOff {
    pub(super) depth: LazyDepth,
    stores: Vec<(Entry, u64)>,
}

/// The place of an entry, in 32-bit code without PAE of 4 bytes.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) place: *mut u64,
    pub(super) is_wide: bool,
}

impl Entry {
    /// # Safety
    ///
    /// The place must be that of an entry.
    unsafe fn write(self, value: u64) {
        // SAFETY: as the caller says.
        unsafe {
            match self.is_wide {
                true => self.place.write_volatile(value),
                false => self.place.cast::<u32>().write_volatile(value as u32),
            }
        }
    }

    /// # Safety
    ///
    /// As for [`write`](Self::write).
    unsafe fn read(self) -> u64 {
        // SAFETY: as the caller says.
        unsafe {
            match self.is_wide {
                true => self.place.read_volatile(),
                false => self.place.cast::<u32>().read_volatile().into(),
            }
        }
    }
}

impl PutOff {
    /// Stores an entry, in lazy mode later.
    ///
    /// # Safety
    ///
    /// The place must be that of an entry, until lazy mode ends.
    pub(super) unsafe fn store(&mut self, entry: Entry, value: u64) {
        self.stores.push((entry, value));
        if !self.depth.is_lazy() {
            self.make();
        }
    }

    /// Takes an entry away, and gives what it was.
    ///
    /// # Safety
    ///
    /// The place must be that of an entry.
    pub(super) unsafe fn take(&mut self, entry: Entry) -> u64 {
        self.make();
        // SAFETY: as the caller says.
        unsafe {
            let value = entry.read();
            entry.write(0);
            value
        }
    }

    /// Makes what was put off.
    pub(super) fn make(&mut self) {
        for (entry, value) in self.stores.drain(..) {
            // SAFETY: who stored it has said that the place is good until now.
            unsafe { entry.write(value) };
        }
    }
}
