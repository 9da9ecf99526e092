//! Where this domain's memory is. Xen's public/memory.h, XENMEM_memory_map.

use pvops_core::boot_info::{LEGACY_AREA, MemoryMap, RegionKind};

use crate::error::XenError;
use crate::hypercall::{self, HypercallNumber};
use crate::word::{Word, by_word_size};

/// Adds what Xen says of this domain's memory to a map, for boot information that has
/// [none](pvops_core::boot_info::BootInfo::memory_map_missing): of a PVH dom0, whose start information
/// is of version 0. Any context.
///
/// # Errors
///
/// If Xen can't be called, or has no map for this domain: then `map` has not changed.
pub fn add_memory_map(map: &mut MemoryMap) -> Result<(), XenError> {
    let mut entries = [Entry::default(); MemoryMap::CAPACITY];
    let mut answer = XenMemoryMap {
        entry_count: entries.len() as u32,
        entries: entries.as_mut_ptr().expose_provenance() as Word,
    };
    // SAFETY: the structure is the command's, with room for as many entries as it says.
    unsafe { hypercall::command(HypercallNumber::MEMORY_OP, MEMORY_MAP, &mut answer) }?;
    let count = entries.len().min(answer.entry_count as usize);
    for entry in &entries[..count] {
        let [start, length_bytes] = [entry.start, entry.length_bytes].map(u64::from_le_bytes);
        let kind = RegionKind(u32::from_le_bytes(entry.kind));
        map.insert(start, length_bytes, kind);
    }
    map.reserve(LEGACY_AREA);
    Ok(())
}

const MEMORY_MAP: u32 = 9;

/// `struct xen_memory_map`.
#[repr(C)]
struct XenMemoryMap {
    entry_count: u32,
    entries: Word,
}

/// An E820 entry, which is packed. ACPI 6.5, table 15.5.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Entry {
    start: [u8; 8],
    length_bytes: [u8; 8],
    kind: [u8; 4],
}

const _: () = assert!(size_of::<Entry>() == 20 && size_of::<XenMemoryMap>() == by_word_size(16, 8));
