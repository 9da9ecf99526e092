//! What a program sees of memory: its text, and a heap and a stack whose pages come when they are
//! touched. A fork shares all pages; whoever writes to one first gets a copy of its own.

use core::ops::Range;
use core::ptr::NonNull;

use pvops_core::mmu;

use crate::layout::{PAGE, USER};
use crate::tables::{self, Flags, MapError, Page, Protect, Tables};
use crate::{frames, paging};

/// Where the text begins.
pub(crate) const TEXT: usize = 0x40_0000;
/// Addresses of the heap.
pub(crate) const HEAP: Range<usize> = 0x1000_0000..0x1400_0000;
/// Addresses of the stack.
pub(crate) const STACK: Range<usize> = USER.end - (1 << 20)..USER.end - PAGE;

/// Tables that have the kernel in them, and are known to the host.
pub(crate) struct AddressSpace {
    tables: Tables,
}

impl AddressSpace {
    /// One with a copy of `text`.
    ///
    /// # Errors
    ///
    /// If memory does not suffice.
    pub(crate) fn new(text: &[u8]) -> Result<Self, MapError> {
        let mut tables = paging::tables_with_kernel()?;
        for (address, part) in (TEXT..).step_by(PAGE).zip(text.chunks(PAGE)) {
            let (physical, frame) = frames::allocate().ok_or(MapError)?;
            // SAFETY: the frame is ours, and the part not longer.
            unsafe { frame.copy_from_nonoverlapping(NonNull::from(part).cast(), part.len()) };
            give(
                &mut tables,
                address,
                physical,
                Flags::EXECUTABLE | Flags::USER,
            )?;
        }
        Ok(Self::activate(tables))
    }

    /// Another one, with the same memory in it.
    ///
    /// # Errors
    ///
    /// If memory does not suffice.
    pub(crate) fn fork(&mut self) -> Result<Self, MapError> {
        self.fork_by(tables::protect)
    }

    /// The same, with another way to make pages read-only.
    pub(crate) fn fork_by(&mut self, protect: Protect) -> Result<Self, MapError> {
        let mut child = paging::tables_with_kernel()?;
        let lazy = mmu::lazy();
        let result = self.tables.update_program(protect, &mut |address, page| {
            if !frames::share(page.physical) {
                return Err(MapError);
            }
            let flags = page.flags - Flags::WRITABLE;
            give(&mut child, address, page.physical, flags)?;
            Ok(flags)
        });
        drop(lazy);
        // Other CPUs have forgotten all of it when they went on to another address space.
        mmu::flush_tlb();
        result.map(|()| Self::activate(child))
    }

    /// Sees to the page fault of a program that runs here. `false` if it has no right to what it
    /// wants, or memory is full.
    pub(crate) fn page_fault(&mut self, address: usize, error: usize) -> bool {
        /// Bits of the error code. Intel SDM volume 3, figure 5-12.
        const WRITE: usize = 1 << 1;
        const FETCH: usize = 1 << 4;
        let is_data = HEAP.contains(&address) || STACK.contains(&address);
        if !is_data || error & FETCH != 0 {
            return false;
        }
        let address = address & !(PAGE - 1);
        match self.tables.page(address) {
            None => self.give_zeroed(address).is_ok(),
            Some(page) => error & WRITE != 0 && self.give_own(address, page).is_ok(),
        }
    }

    /// Physical address of the first table.
    pub(crate) fn root(&self) -> u64 {
        self.tables.root()
    }

    fn activate(tables: Tables) -> Self {
        // SAFETY: the tables come from `Tables::new`, and are complete.
        unsafe { mmu::activate_tables(tables.root() / PAGE as u64) };
        AddressSpace { tables }
    }

    fn give_zeroed(&mut self, address: usize) -> Result<(), MapError> {
        let (physical, _) = frames::allocate().ok_or(MapError)?;
        give(&mut self.tables, address, physical, DATA)
    }

    /// Makes a page writable that this address space may have in common with others.
    fn give_own(&mut self, address: usize, page: Page) -> Result<(), MapError> {
        if frames::is_shared(page.physical) {
            let (physical, copy) = frames::allocate().ok_or(MapError)?;
            let original = frames::at(page.physical).ok_or(MapError)?;
            // SAFETY: one frame is ours, and nobody can write to the other while it is shared.
            unsafe { copy.copy_from_nonoverlapping(original, PAGE) };
            give(&mut self.tables, address, physical, DATA)?;
            mmu::flush_tlb_page(address);
            // SAFETY: nothing here leads to the frame any more.
            unsafe { frames::free(page.physical) };
        } else {
            self.tables.protect(address, DATA);
            mmu::flush_tlb_page(address);
        }
        Ok(())
    }
}

impl Drop for AddressSpace {
    /// No CPU runs in it any more. The tables, and all that they map, go afterwards.
    fn drop(&mut self) {
        // SAFETY: `activate` has made it known, and nobody uses it.
        unsafe { mmu::exit_tables(self.tables.root() / PAGE as u64) };
    }
}

const DATA: Flags = Flags::DATA.union(Flags::USER);

/// Maps a frame, which is the tables' from then on; it is free if there is an error.
fn give(tables: &mut Tables, address: usize, physical: u64, flags: Flags) -> Result<(), MapError> {
    let result = tables.map(address, physical, flags);
    if result.is_err() {
        // SAFETY: the caller has given the frame away.
        unsafe { frames::free(physical) };
    }
    result
}
