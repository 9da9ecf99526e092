//! PVH start information: the smallest direct boot protocol, spoken by most small VMMs.
//!
//! Layouts and rules are those of public/arch-x86/hvm/start_info.h in the Xen sources. All fields
//! are little-endian and the structures have no padding.

use zerocopy::FromBytes;

use super::physical_memory::{read as read_struct, read_entry};
use super::{BootInfo, BootInfoError, PhysicalMemory, Protocol, RegionKind, command_line, module};

/// Reads the start information at `address`.
pub(super) fn read<M: PhysicalMemory + ?Sized>(
    memory: &M,
    address: u64,
) -> Result<BootInfo<'_>, BootInfoError> {
    let start: StartInfo = read_struct(memory, address, "start information")?;
    if start.magic != MAGIC {
        return Err(BootInfoError::BadMagic {
            found: start.magic,
            expected: MAGIC,
        });
    }
    let mut info = BootInfo::new(Protocol::Pvh {
        version: start.version,
    });
    info.command_line = command_line::read(memory, start.command_line_address, "command line")?;
    info.rsdp = (start.rsdp_address != 0).then_some(start.rsdp_address);
    read_modules(memory, &start, &mut info)?;
    if start.version >= 1 {
        let end_of_version_0 = address.saturating_add(size_of::<StartInfo>() as u64);
        let map = read_struct(memory, end_of_version_0, "start information")?;
        read_memory_map(memory, &map, &mut info)?;
    }
    Ok(info)
}

fn read_modules<'m, M: PhysicalMemory + ?Sized>(
    memory: &'m M,
    start: &StartInfo,
    info: &mut BootInfo<'m>,
) -> Result<(), BootInfoError> {
    let kept = start.module_count.min(module::CAPACITY as u32);
    for index in 0..kept {
        let entry: ModuleEntry =
            read_entry(memory, start.module_list_address, index, "module list")?;
        let line = command_line::read(memory, entry.command_line_address, "module command line")?;
        let end = entry.address.checked_add(entry.size_bytes);
        info.modules.push(entry.address, end, line)?;
    }
    info.modules.drop_rest(start.module_count - kept);
    Ok(())
}

fn read_memory_map<M: PhysicalMemory + ?Sized>(
    memory: &M,
    map: &MemoryMapPointer,
    info: &mut BootInfo<'_>,
) -> Result<(), BootInfoError> {
    if map.entry_count > MAX_MEMORY_MAP_ENTRIES {
        return Err(BootInfoError::TooManyRegions {
            count: map.entry_count.into(),
        });
    }
    for index in 0..map.entry_count {
        let entry: MemoryMapEntry = read_entry(memory, map.address, index, "memory map")?;
        let kind = RegionKind(entry.kind);
        info.memory_map
            .insert(entry.address, entry.size_bytes, kind);
    }
    info.reserve_legacy_area();
    Ok(())
}

/// `XEN_HVM_START_MAGIC_VALUE`.
const MAGIC: u32 = 0x336e_c578;

/// More entries than this are taken for a damaged count; real maps have a few dozen at most.
pub(super) const MAX_MEMORY_MAP_ENTRIES: u32 = 1024;

/// `struct hvm_start_info` as far as version 0 goes.
#[derive(FromBytes)]
#[repr(C)]
struct StartInfo {
    magic: u32,
    version: u32,
    _flags: u32,
    module_count: u32,
    module_list_address: u64,
    command_line_address: u64,
    rsdp_address: u64,
}

/// What version 1 adds to `struct hvm_start_info`.
#[derive(FromBytes)]
#[repr(C)]
struct MemoryMapPointer {
    address: u64,
    entry_count: u32,
    _reserved: u32,
}

/// `struct hvm_modlist_entry`.
#[derive(FromBytes)]
#[repr(C)]
struct ModuleEntry {
    address: u64,
    size_bytes: u64,
    command_line_address: u64,
    _reserved: u64,
}

/// `struct hvm_memmap_table_entry`.
#[derive(FromBytes)]
#[repr(C)]
struct MemoryMapEntry {
    address: u64,
    size_bytes: u64,
    kind: u32,
    _reserved: u32,
}

const _: () = assert!(size_of::<StartInfo>() == 40);
const _: () = assert!(size_of::<MemoryMapPointer>() == 16);
const _: () = assert!(size_of::<ModuleEntry>() == 32);
const _: () = assert!(size_of::<MemoryMapEntry>() == 24);
