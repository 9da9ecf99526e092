//! The kernel's page tables: text executable, data writable, nothing both.

use core::ops::Range;

use pvops_core::boot_info::MemoryMap;
use pvops_core::{OpTable, cpu, mmu};
use spin::Mutex;

use crate::layout::{self, DIRECT_MAP, DIRECT_MAP_BYTES, KERNEL_OFFSET, PAGE, SMALL_PAGES};
use crate::tables::{Flags, MapError, Tables};

/// Makes the kernel's tables and switches to them. They have the usable memory that the
/// direct map has room for, and the module.
///
/// # Errors
///
/// If memory does not suffice.
///
/// # Safety
///
/// Once, on the boot CPU, while the tables of [the entry](crate::arch) are in use.
pub(crate) unsafe fn start(map: &MemoryMap, module: Option<Range<u64>>) -> Result<(), MapError> {
    let mut tables = TABLES.lock();
    *tables = Tables::new()?;
    let root = tables.root();
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
    for region in map.to_map().chain(module) {
        let end = region.end.min(DIRECT_MAP_BYTES);
        map_memory(&mut tables, region.start..end)?;
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

/// The entry for `address` in a table of `level` (0: 4 KiB pages) of the kernel's.
///
/// # Errors
///
/// As for [`map`].
pub(crate) fn entry(address: usize, level: u32) -> Result<*mut u64, MapError> {
    TABLES.lock().entry(address, level)
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

/// Tells the host of the kernel's tables.
#[cfg(target_arch = "x86")]
pub(crate) fn announce() {
    TABLES.lock().announce();
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

/// Physical address of the kernel's first table.
pub(crate) fn root() -> u64 {
    TABLES.lock().root()
}

/// Tables of an address space that has the kernel in it, too.
///
/// # Errors
///
/// If memory does not suffice.
pub(crate) fn tables_with_kernel() -> Result<Tables, MapError> {
    let mut tables = Tables::new()?;
    tables.share_kernel(&TABLES.lock());
    Ok(tables)
}

/// All that the kernel maps at any time lies below entries that its first table has from the
/// beginning: those of the direct map and of the image.
static TABLES: Mutex<Tables> = Mutex::new(Tables::none());

const LARGE_PAGE: u64 = 2 << 20;

/// Maps usable memory, which the image is not part of, in 2 MiB pages; in small ones where the image
/// begins or ends, as it has better mappings elsewhere.
fn map_memory(tables: &mut Tables, region: Range<u64>) -> Result<(), MapError> {
    let image = layout::image();
    let image = (image.start - KERNEL_OFFSET) as u64..(image.end - KERNEL_OFFSET) as u64;
    let first = region.start / LARGE_PAGE * LARGE_PAGE;
    let has_large_pages = has_large_pages();
    for large in (first..region.end).step_by(LARGE_PAGE as usize) {
        let end = large + LARGE_PAGE;
        let is_small = SMALL_PAGES.contains(&large);
        if has_large_pages && !is_small && (end <= image.start || large >= image.end) {
            tables.map_large(DIRECT_MAP + large as usize, large, Flags::DATA)?;
            continue;
        }
        let pages = if is_small {
            large..end
        } else {
            large.max(region.start)..end.min(region.end)
        };
        for page in pages.step_by(PAGE) {
            tables.map(DIRECT_MAP + page as usize, page, Flags::DATA)?;
        }
    }
    Ok(())
}

/// Every 64-bit CPU has them, but not every host lets its guests have them.
pub(crate) fn has_large_pages() -> bool {
    const FEATURES: u32 = 1;
    const EDX_PSE: u32 = 1 << 3;
    cpu::cpuid(FEATURES, 0).edx & EDX_PSE != 0
}
