//! The kernel's page tables: text executable, data writable, nothing both.

use core::ops::Range;

use bitflags::bitflags;
use pvops_core::boot_info::MemoryMap;
use pvops_core::{OpTable, mmu};
use spin::Mutex;

use crate::frames;
use crate::layout::{self, DIRECT_MAP, KERNEL_OFFSET, PAGE};

bitflags! {
    /// Bits of an entry. Intel SDM volume 3, tables 5-15 to 5-20.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub(crate) struct Flags: u64 {
        const PRESENT = 1 << 0;
        const WRITABLE = 1 << 1;
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

/// Makes the kernel's tables and switches to them.
///
/// # Errors
///
/// If memory does not suffice.
///
/// # Safety
///
/// Once, on the boot CPU, while the tables of [`entry`](crate::entry) are in use.
pub(crate) unsafe fn start(map: &MemoryMap) -> Result<(), MapError> {
    let (root, _) = frames::allocate().ok_or(MapError)?;
    let mut tables = TABLES.lock();
    tables.root = root;
    // SAFETY: the frame is ours, and changes only by the ops.
    unsafe { mmu::alloc_table(root / PAGE as u64, 4) };
    let lazy = mmu::lazy();
    for (range, flags) in [
        (layout::text(), Flags::EXECUTABLE),
        (
            layout::rodata_start()..layout::data_start(),
            Flags::READ_ONLY,
        ),
        (layout::data_start()..layout::image_end(), Flags::DATA),
    ] {
        for page in range.step_by(PAGE) {
            if page != layout::stack_guard() {
                tables.map(page, (page - KERNEL_OFFSET) as u64, flags)?;
            }
        }
    }
    for region in map.usable() {
        tables.map_memory(region)?;
    }
    drop(lazy);
    // SAFETY: the tables map the running code, its stack, and all memory that the frames are from.
    unsafe {
        mmu::activate_tables(root / PAGE as u64);
        mmu::write_cr3(root as usize);
    }
    Ok(())
}

/// Maps a page.
///
/// # Errors
///
/// If memory does not suffice, or a large page is there.
pub(crate) fn map(address: usize, physical: u64, flags: Flags) -> Result<(), MapError> {
    TABLES.lock().map(address, physical, flags)?;
    mmu::flush_tlb_page(address);
    Ok(())
}

/// Maps another frame to a page that is mapped, and leaves the TLB as it is.
///
/// # Errors
///
/// As for [`map`].
pub(crate) fn replace(address: usize, physical: u64, flags: Flags) -> Result<(), MapError> {
    TABLES.lock().map(address, physical, flags)
}

/// Gives a mapped page other flags and returns those that it had, accessed and dirty included; the
/// latter two stay. `None` if nothing is mapped there.
pub(crate) fn protect(address: usize, flags: Flags) -> Option<Flags> {
    let old = TABLES.lock().protect(address, flags)?;
    mmu::flush_tlb_page(address);
    Some(old)
}

/// Unmaps a page and returns the frame it had.
pub(crate) fn unmap(address: usize) -> Option<u64> {
    let physical = TABLES.lock().unmap(address)?;
    mmu::flush_tlb_page(address);
    Some(physical)
}

/// Makes the op table read-only.
///
/// # Errors
///
/// If memory does not suffice.
pub(crate) fn seal_op_table() -> Result<(), MapError> {
    let table = (&raw const *OpTable::get()).addr();
    for page in (table..table + size_of::<OpTable>()).step_by(PAGE) {
        map(page, (page - KERNEL_OFFSET) as u64, Flags::READ_ONLY)?;
    }
    Ok(())
}

static TABLES: Mutex<Tables> = Mutex::new(Tables { root: 0 });

/// Four levels of tables, by the physical address of the first.
struct Tables {
    root: u64,
}

const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const LARGE_PAGE: u64 = 2 << 20;

impl Tables {
    /// Everything but the 2 MiB pages with the image, which has better mappings elsewhere.
    fn map_memory(&mut self, region: Range<u64>) -> Result<(), MapError> {
        let image = layout::image();
        let image = (image.start - KERNEL_OFFSET) as u64..(image.end - KERNEL_OFFSET) as u64;
        let first = region.start / LARGE_PAGE * LARGE_PAGE;
        for page in (first..region.end).step_by(LARGE_PAGE as usize) {
            if page + LARGE_PAGE > image.start && page < image.end {
                continue;
            }
            let entry = self.entry(DIRECT_MAP + page as usize, 1)?;
            let value = mmu::make_entry(page | (Flags::DATA | Flags::LARGE).bits());
            // SAFETY: the entry is in our tables, and maps memory to where only we look for it.
            unsafe { mmu::set_pmd(entry, value) };
        }
        Ok(())
    }

    fn map(&mut self, address: usize, physical: u64, flags: Flags) -> Result<(), MapError> {
        let entry = self.entry(address, 0)?;
        // SAFETY: the entry is in our tables; what is mapped where is our callers' affair.
        unsafe { mmu::set_pte(entry, mmu::make_entry(physical | flags.bits())) };
        Ok(())
    }

    fn protect(&mut self, address: usize, flags: Flags) -> Option<Flags> {
        let entry = self.entry(address, 0).ok()?;
        // SAFETY: the entry is in our tables, which are locked, and the commit follows.
        unsafe {
            let old = mmu::entry_value(mmu::start_protection(entry));
            let old_flags = Flags::from_bits_truncate(old);
            let kept = old_flags & (Flags::ACCESSED | Flags::DIRTY);
            let present = old_flags.contains(Flags::PRESENT);
            let new = if present {
                old & ADDRESS | (flags | kept).bits()
            } else {
                old
            };
            mmu::commit_protection(entry, mmu::make_entry(new));
            present.then_some(old_flags)
        }
    }

    fn unmap(&mut self, address: usize) -> Option<u64> {
        let entry = self.entry(address, 0).ok()?;
        // SAFETY: the entry is in our tables.
        let value = mmu::entry_value(unsafe { entry.read() });
        if value & Flags::PRESENT.bits() == 0 {
            return None;
        }
        // SAFETY: as above, and the caller does not use the page any more.
        unsafe { mmu::set_pte(entry, 0) };
        Some(value & ADDRESS)
    }

    /// The entry for `address` in a table of `level` (0: 4 KiB pages), with all tables above it.
    fn entry(&mut self, address: usize, level: u32) -> Result<*mut u64, MapError> {
        let mut table = self.root;
        for above in (level + 1..4).rev() {
            let entry = entry(table, address, above);
            // SAFETY: the entry is in our tables.
            let value = mmu::entry_value(unsafe { entry.read() });
            if value & Flags::LARGE.bits() != 0 {
                return Err(MapError);
            }
            if value & Flags::PRESENT.bits() != 0 {
                table = value & ADDRESS;
                continue;
            }
            table = frames::allocate().ok_or(MapError)?.0;
            let value = mmu::make_entry(table | (Flags::PRESENT | Flags::WRITABLE).bits());
            // SAFETY: the entry is in our tables and leads to an empty table, which is ours.
            unsafe {
                mmu::alloc_table(table / PAGE as u64, above);
                match above {
                    3 => mmu::set_p4d(entry, value),
                    2 => mmu::set_pud(entry, value),
                    _ => mmu::set_pmd(entry, value),
                }
            }
        }
        Ok(entry(table, address, level))
    }
}

fn entry(table: u64, address: usize, level: u32) -> *mut u64 {
    let index = address >> (12 + 9 * level) & 511;
    (DIRECT_MAP + table as usize + index * size_of::<u64>()) as *mut u64
}
