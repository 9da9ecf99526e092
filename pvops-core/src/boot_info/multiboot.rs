//! Multiboot information of version 1: what QEMU's `-kernel` and GRUB's `multiboot` give a 32-bit kernel.
//!
//! Layouts are those of the Multiboot Specification 0.6.96, section 3.3 "Boot information format". Flags
//! say which fields there are. Pointers lead to anywhere below 4 GiB; there is none to ACPI's tables.

use zerocopy::FromBytes;

use super::physical_memory::{read as read_struct, read_entry};
use super::pvh::MAX_MEMORY_MAP_ENTRIES;
use super::{BootInfo, BootInfoError, PhysicalMemory, Protocol, RegionKind, command_line, module};

/// Reads the information at `address`, if `magic` says that there is some.
pub(super) fn read<M: PhysicalMemory + ?Sized>(
    memory: &M,
    magic: u32,
    address: u64,
) -> Result<BootInfo<'_>, BootInfoError> {
    if magic != MAGIC {
        return Err(BootInfoError::BadMagic {
            found: magic,
            expected: MAGIC,
        });
    }
    let loader: Info = read_struct(memory, address, "Multiboot information")?;
    let has = |flag| loader.flags & flag != 0;
    let mut info = BootInfo::new(Protocol::Multiboot);
    if has(FLAG_COMMAND_LINE) {
        let address = loader.command_line_address.into();
        info.command_line = command_line::read(memory, address, "command line")?;
    }
    if has(FLAG_MODULES) {
        read_modules(memory, &loader, &mut info)?;
    }
    if has(FLAG_MEMORY_MAP) {
        read_memory_map(memory, &loader, &mut info)?;
    } else if has(FLAG_MEMORY_SIZE) {
        let map = info.memory_map_mut();
        for (start, kib) in [(0, loader.lower_kib), (UPPER_MEMORY, loader.upper_kib)] {
            map.insert(start, u64::from(kib) << 10, RegionKind::USABLE);
        }
    }
    info.reserve_legacy_area();
    Ok(info)
}

fn read_modules<'m, M: PhysicalMemory + ?Sized>(
    memory: &'m M,
    loader: &Info,
    info: &mut BootInfo<'m>,
) -> Result<(), BootInfoError> {
    let kept = loader.module_count.min(module::CAPACITY as u32);
    for index in 0..kept {
        let list = loader.module_list_address.into();
        let entry: ModuleEntry = read_entry(memory, list, index, "module list")?;
        let line = entry.command_line_address.into();
        let line = command_line::read(memory, line, "module command line")?;
        let end = Some(entry.end.into());
        info.modules.push(entry.start.into(), end, line)?;
    }
    info.modules.drop_rest(loader.module_count - kept);
    Ok(())
}

/// Each entry begins with the size of what follows of it.
fn read_memory_map<M: PhysicalMemory + ?Sized>(
    memory: &M,
    loader: &Info,
    info: &mut BootInfo<'_>,
) -> Result<(), BootInfoError> {
    const SIZE_FIELD: u32 = size_of::<u32>() as u32;
    const LEAST_SIZE: u32 = size_of::<MemoryMapEntry>() as u32 - SIZE_FIELD;
    let length = loader.memory_map_length;
    let (mut offset, mut count) = (0, 0);
    while offset < length {
        let malformed = BootInfoError::BadMapEntry { offset };
        count += 1;
        if count > MAX_MEMORY_MAP_ENTRIES {
            return Err(BootInfoError::TooManyRegions {
                count: count.into(),
            });
        }
        let address = u64::from(loader.memory_map_address) + u64::from(offset);
        let entry: MemoryMapEntry = read_struct(memory, address, "memory map")?;
        let next = entry
            .size
            .checked_add(SIZE_FIELD)
            .and_then(|size| offset.checked_add(size));
        offset = next
            .filter(|&next| entry.size >= LEAST_SIZE && next <= length)
            .ok_or(malformed)?;
        let start = u64::from(entry.start_high) << 32 | u64::from(entry.start_low);
        let length_bytes = u64::from(entry.length_high) << 32 | u64::from(entry.length_low);
        info.memory_map
            .insert(start, length_bytes, RegionKind::reported(entry.kind));
    }
    Ok(())
}

/// What is in EAX at the entry (3.2 "Machine state").
const MAGIC: u32 = 0x2bad_b002;

const FLAG_MEMORY_SIZE: u32 = 1 << 0;
const FLAG_COMMAND_LINE: u32 = 1 << 2;
const FLAG_MODULES: u32 = 1 << 3;
const FLAG_MEMORY_MAP: u32 = 1 << 6;

/// Where upper memory begins.
const UPPER_MEMORY: u64 = 1 << 20;

/// As far as the memory map.
#[derive(FromBytes)]
#[repr(C)]
struct Info {
    flags: u32,
    lower_kib: u32,
    upper_kib: u32,
    _boot_device: u32,
    command_line_address: u32,
    module_count: u32,
    module_list_address: u32,
    _symbols: [u32; 4],
    memory_map_length: u32,
    memory_map_address: u32,
}

#[derive(FromBytes)]
#[repr(C)]
struct ModuleEntry {
    start: u32,
    end: u32,
    command_line_address: u32,
    _reserved: u32,
}

/// Of words, as the size in front keeps the wider ones from their alignment.
#[derive(FromBytes)]
#[repr(C)]
struct MemoryMapEntry {
    size: u32,
    start_low: u32,
    start_high: u32,
    length_low: u32,
    length_high: u32,
    kind: u32,
}

const _: () = assert!(size_of::<Info>() == 52);
const _: () = assert!(size_of::<ModuleEntry>() == 16);
const _: () = assert!(size_of::<MemoryMapEntry>() == 24);
