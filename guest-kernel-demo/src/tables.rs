//! Page tables: what all address spaces are made of.

use bitflags::bitflags;
use pvops_core::mmu;

use crate::arch::tables::{FIRST_ENTRIES, FIRST_FLAGS, FIRST_IS_CACHED, LEVELS, PROGRAM_ENTRIES};
use crate::frames;
use crate::layout::{DIRECT_MAP, PAGE, USER};

bitflags! {
    /// Bits of an entry. Intel SDM volume 3, tables 5-15 to 5-20.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub(crate) struct Flags: u64 {
        const PRESENT = 1 << 0;
        const WRITABLE = 1 << 1;
        const USER = 1 << 2;
        const WRITE_THROUGH = 1 << 3;
        const UNCACHED = 1 << 4;
        const ACCESSED = 1 << 5;
        const DIRTY = 1 << 6;
        const LARGE = 1 << 7;
        const GLOBAL = 1 << 8;
        const NO_EXECUTE = 1 << 63;
    }
}

impl Flags {
    /// Text.
    pub(crate) const EXECUTABLE: Flags = Flags::PRESENT;
    /// Data that nobody writes.
    pub(crate) const READ_ONLY: Flags = Flags::PRESENT.union(Flags::NO_EXECUTE);
    /// Data.
    pub(crate) const DATA: Flags = Flags::READ_ONLY.union(Flags::WRITABLE);
    /// Registers of devices.
    pub(crate) const DEVICE: Flags = Flags::DATA
        .union(Flags::UNCACHED)
        .union(Flags::WRITE_THROUGH);
}

/// The mapping can't be made: no memory is left for a table, or a large page is in the way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MapError;

/// All levels of tables, by the physical address of the first.
pub(crate) struct Tables {
    root: u64,
}

/// How an entry gets other flags: [`protect`].
pub(crate) type Protect = unsafe fn(*mut u64, Flags) -> Option<Flags>;

/// What gives pages other flags.
type Visit<'a> = dyn FnMut(usize, Page) -> Result<Flags, MapError> + 'a;

/// A page as its entry has it: physical address and flags.
#[derive(Clone, Copy)]
pub(crate) struct Page {
    pub(crate) physical: u64,
    pub(crate) flags: Flags,
}

impl Tables {
    /// No tables at all.
    pub(crate) const fn none() -> Self {
        Tables { root: 0 }
    }

    /// Tables that map nothing.
    pub(crate) fn new() -> Result<Self, MapError> {
        let (root, _) = frames::allocate().ok_or(MapError)?;
        // SAFETY: the frame is ours, and changes only by the ops.
        unsafe { mmu::alloc_table(root / PAGE as u64, LEVELS) };
        Ok(Tables { root })
    }

    /// Physical address of the first table.
    pub(crate) fn root(&self) -> u64 {
        self.root
    }

    /// Maps a page; leaves the TLB as it is.
    pub(crate) fn map(
        &mut self,
        address: usize,
        physical: u64,
        flags: Flags,
    ) -> Result<(), MapError> {
        let entry = self.entry(address, 0)?;
        // SAFETY: the entry is in our tables; what is mapped where is our callers' affair.
        unsafe { mmu::set_pte(entry, mmu::make_entry(physical | flags.bits())) };
        Ok(())
    }

    /// Maps 2 MiB.
    pub(crate) fn map_large(
        &mut self,
        address: usize,
        physical: u64,
        flags: Flags,
    ) -> Result<(), MapError> {
        let entry = self.entry(address, 1)?;
        let value = mmu::make_entry(physical | (flags | Flags::LARGE).bits());
        // SAFETY: as for `map`.
        unsafe { mmu::set_pmd(entry, value) };
        Ok(())
    }

    /// The page that is mapped at an address.
    pub(crate) fn page(&mut self, address: usize) -> Option<Page> {
        let entry = self.entry(address, 0).ok()?;
        // SAFETY: the entry is in our tables.
        present(unsafe { entry.read() })
    }

    /// Gives a mapped page other flags and returns those that it had, accessed and dirty included; the
    /// latter two stay. `None` if nothing is mapped there. Leaves the TLB as it is.
    pub(crate) fn protect(&mut self, address: usize, flags: Flags) -> Option<Flags> {
        let entry = self.entry(address, 0).ok()?;
        // SAFETY: the entry is in our tables.
        unsafe { protect(entry, flags) }
    }

    /// Unmaps a page and returns the frame it had; leaves the TLB as it is.
    pub(crate) fn unmap(&mut self, address: usize) -> Option<u64> {
        let entry = self.entry(address, 0).ok()?;
        // SAFETY: the entry is in our tables.
        let page = present(unsafe { entry.read() })?;
        // SAFETY: as above, and the caller does not use the page any more.
        unsafe { mmu::set_pte(entry, 0) };
        Some(page.physical)
    }

    /// Tells the host of these tables, which were made before it was known that it wants to hear of them.
    #[cfg(target_arch = "x86")]
    pub(crate) fn announce(&self) {
        // SAFETY: the tables are ours, and change only by the ops.
        unsafe { announce(self.root, FIRST) };
    }

    /// Lets these tables have what `other` has where the kernel is.
    pub(crate) fn share_kernel(&mut self, other: &Tables) {
        for index in PROGRAM_ENTRIES..FIRST_ENTRIES {
            // SAFETY: the entries are in tables of ours, and those that they lead to stay for good.
            unsafe {
                let value = entry_at(other.root, index).read();
                if value != 0 {
                    store(entry_at(self.root, index), FIRST, value);
                }
            }
        }
    }

    /// Calls `visit` with the address of each page where programs are, and the page; what it returns
    /// are the page's flags from then on. `protect` gives it others.
    pub(crate) fn update_program(
        &mut self,
        protect: Protect,
        visit: &mut Visit<'_>,
    ) -> Result<(), MapError> {
        // SAFETY: the tables are ours.
        unsafe { update(self.root, FIRST, 0, protect, visit) }
    }

    /// The entry for `address` in a table of `level` (0: 4 KiB pages), with all tables above it.
    pub(crate) fn entry(&mut self, address: usize, level: u32) -> Result<*mut u64, MapError> {
        let mut table = self.root;
        for above in (level + 1..LEVELS).rev() {
            let entry = entry(table, address, above);
            // SAFETY: the entry is in our tables.
            if let Some(found) = present(unsafe { entry.read() }) {
                if found.flags.contains(Flags::LARGE) {
                    return Err(MapError);
                }
                table = found.physical;
                continue;
            }
            table = frames::allocate().ok_or(MapError)?.0;
            let mut flags = Flags::PRESENT | Flags::WRITABLE;
            flags.set(Flags::USER, USER.contains(&address));
            if above == FIRST {
                flags &= FIRST_FLAGS;
            }
            let value = mmu::make_entry(table | flags.bits());
            // SAFETY: the entry is in our tables and leads to an empty table, which is ours.
            unsafe {
                mmu::alloc_table(table / PAGE as u64, above);
                store(entry, above, value);
            }
            // It will be read again, perhaps by a caller who is in lazy mode.
            mmu::flush_lazy();
            if above == FIRST && FIRST_IS_CACHED {
                mmu::flush_tlb();
            }
        }
        Ok(entry(table, address, level))
    }
}

impl Drop for Tables {
    /// Gives back the tables, and all frames that are mapped where programs are. No CPU uses them any
    /// more.
    fn drop(&mut self) {
        if self.root != 0 {
            // SAFETY: the tables are ours, and whoever has used them has gone on to others.
            unsafe { release(self.root, FIRST) };
        }
    }
}

const ENTRIES: usize = 512;
/// Level of the first table.
const FIRST: u32 = LEVELS - 1;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// What a stored entry leads to, if anything.
fn present(stored: u64) -> Option<Page> {
    let value = mmu::entry_value(stored);
    let flags = Flags::from_bits_truncate(value);
    flags.contains(Flags::PRESENT).then_some(Page {
        physical: value & ADDRESS,
        flags,
    })
}

/// Gives the page of an entry other flags, and returns those that it had.
///
/// # Safety
///
/// The entry is one of a page, in tables of the caller's that nobody else changes.
pub(crate) unsafe fn protect(entry: *mut u64, flags: Flags) -> Option<Flags> {
    // SAFETY: as the caller vouches, and the commit follows.
    unsafe {
        let old = mmu::start_protection(entry);
        let page = present(old);
        let new = page.map_or(old, |page| {
            let kept = page.flags & (Flags::ACCESSED | Flags::DIRTY);
            mmu::make_entry(page.physical | (flags | kept).bits())
        });
        mmu::commit_protection(entry, new);
        page.map(|page| page.flags)
    }
}

/// # Safety
///
/// The table is of `level` and the caller's; so is what it leads to.
unsafe fn update(
    table: u64,
    level: u32,
    start: usize,
    protect: Protect,
    visit: &mut Visit<'_>,
) -> Result<(), MapError> {
    for index in 0..owned_entries(level) {
        let address = start + (index << (12 + 9 * level));
        let entry = entry_at(table, index);
        // SAFETY: the entry is in the table, which leads to tables one level below.
        unsafe {
            match present(entry.read()) {
                None => {}
                Some(below) if level > 0 => {
                    update(below.physical, level - 1, address, protect, visit)?;
                }
                Some(page) => {
                    let flags = visit(address, page)?;
                    if flags != page.flags {
                        protect(entry, flags);
                    }
                }
            }
        }
    }
    Ok(())
}

/// # Safety
///
/// The table is of `level`, ours, and changes only by the ops; so is what it leads to.
#[cfg(target_arch = "x86")]
unsafe fn announce(table: u64, level: u32) {
    let entries = if level == FIRST {
        FIRST_ENTRIES
    } else {
        ENTRIES
    };
    for index in 0..if level > 0 { entries } else { 0 } {
        // SAFETY: the entry is in the table.
        let found = present(unsafe { entry_at(table, index).read() });
        if let Some(below) = found.filter(|below| !below.flags.contains(Flags::LARGE)) {
            // SAFETY: it is a table of ours.
            unsafe { announce(below.physical, level - 1) };
        }
    }
    // SAFETY: as the caller vouches.
    unsafe { mmu::alloc_table(table / PAGE as u64, level + 1) };
}

/// # Safety
///
/// The table is of `level` and the caller's; so is what it leads to. No CPU uses it.
unsafe fn release(table: u64, level: u32) {
    for index in 0..owned_entries(level) {
        // SAFETY: the entry is in the table; nobody uses what it leads to.
        unsafe {
            match present(entry_at(table, index).read()) {
                None => {}
                Some(below) if level > 0 => release(below.physical, level - 1),
                Some(page) => frames::free(page.physical),
            }
        }
    }
    // SAFETY: nothing leads to the table any more but a table that is released too.
    unsafe {
        mmu::release_table(table / PAGE as u64, level + 1);
        frames::free(table);
    }
}

/// The kernel's entries of the first table lead to tables that all address spaces share.
fn owned_entries(level: u32) -> usize {
    if level == FIRST {
        PROGRAM_ENTRIES
    } else {
        ENTRIES
    }
}

/// Stores an entry of a table of `level`.
///
/// # Safety
///
/// As for [`mmu::set_pte`].
unsafe fn store(entry: *mut u64, level: u32, value: u64) {
    // SAFETY: as the caller vouches.
    unsafe {
        match level {
            3 => mmu::set_p4d(entry, value),
            2 => mmu::set_pud(entry, value),
            1 => mmu::set_pmd(entry, value),
            _ => mmu::set_pte(entry, value),
        }
    }
}

fn entry(table: u64, address: usize, level: u32) -> *mut u64 {
    entry_at(table, address >> (12 + 9 * level) & (ENTRIES - 1))
}

fn entry_at(table: u64, index: usize) -> *mut u64 {
    (DIRECT_MAP + table as usize + index * size_of::<u64>()) as *mut u64
}
