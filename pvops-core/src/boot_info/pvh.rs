//! PVH start information: the smallest direct boot protocol, spoken by most small VMMs.
//!
//! Layouts and rules are those of public/arch-x86/hvm/start_info.h in the Xen sources. All fields
//! are little-endian and the structures have no padding.

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::physical_memory::{read as read_struct, read_entry};
use super::{
    BootInfo, BootInfoError, MemoryMap, PhysicalMemory, Protocol, RegionKind, command_line, module,
};

/// Writes start information of version 1 for another kernel, into memory that is at physical
/// `address`: for a kernel that loads another and hands the machine to it. It has no modules. The
/// other kernel finds `address` in EBX.
///
/// A `rsdp` of `None` leaves the search to the other kernel. Returns how many bytes were written, or
/// `None` if they do not fit into `memory` or below the end of the address space: 57 bytes, 24 for each
/// region of the map, and the command line.
pub fn write_pvh(
    memory: &mut [u8],
    address: u64,
    memory_map: &MemoryMap,
    command_line: &[u8],
    rsdp: Option<u64>,
) -> Option<usize> {
    let regions = memory_map.regions();
    let header_bytes = size_of::<StartInfo>() + size_of::<MemoryMapPointer>();
    let map_bytes = regions.len() * size_of::<MemoryMapEntry>();
    let map_address = address.checked_add(header_bytes as u64)?;
    let start = StartInfo {
        magic: MAGIC,
        version: 1,
        _flags: 0,
        module_count: 0,
        module_list_address: 0,
        command_line_address: map_address.checked_add(map_bytes as u64)?,
        rsdp_address: rsdp.unwrap_or(0),
    };
    let map = MemoryMapPointer {
        address: map_address,
        entry_count: regions.len() as u32,
        _reserved: 0,
    };
    let length = memory.len();
    let mut rest = put(memory, start.as_bytes())?;
    rest = put(rest, map.as_bytes())?;
    for region in regions {
        let entry = MemoryMapEntry {
            address: region.start,
            size_bytes: region.length_bytes(),
            kind: region.kind.0,
            _reserved: 0,
        };
        rest = put(rest, entry.as_bytes())?;
    }
    rest = put(rest, command_line)?;
    let unused = put(rest, &[0])?.len();
    Some(length - unused)
}

/// Puts bytes at the front of memory, and returns what is behind them.
fn put<'m>(memory: &'m mut [u8], bytes: &[u8]) -> Option<&'m mut [u8]> {
    let (front, rest) = memory.split_at_mut_checked(bytes.len())?;
    front.copy_from_slice(bytes);
    Some(rest)
}

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
        let kind = RegionKind::reported(entry.kind);
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
#[derive(FromBytes, Immutable, IntoBytes)]
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
#[derive(FromBytes, Immutable, IntoBytes)]
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
#[derive(FromBytes, Immutable, IntoBytes)]
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
