//! Physical memory made of byte arrays, and loaders that fill it.

use std::cell::Cell;

use pvops_core::boot_info::{MemoryMap, PhysicalMemory, RegionKind};

/// Pieces of memory, with nothing between them.
#[derive(Default)]
pub(crate) struct Memory {
    pieces: Vec<(u64, Vec<u8>)>,
    pub(crate) reads: Cell<usize>,
}

impl Memory {
    pub(crate) fn with(mut self, address: u64, bytes: impl Into<Vec<u8>>) -> Self {
        self.pieces.push((address, bytes.into()));
        self
    }
}

impl PhysicalMemory for Memory {
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        self.reads.set(self.reads.get() + 1);
        self.pieces.iter().find_map(|(start, bytes)| {
            let offset = usize::try_from(address.checked_sub(*start)?).ok()?;
            bytes.get(offset..offset.checked_add(length)?)
        })
    }
}

pub(crate) const START_INFO: u64 = 0x6000;
pub(crate) const MEMORY_MAP: u64 = 0x7000;
pub(crate) const MODULE_LIST: u64 = 0x8000;
pub(crate) const COMMAND_LINE: u64 = 0x2_0000;

/// The fields of a PVH start info.
#[derive(Clone, Copy)]
pub(crate) struct StartInfo {
    pub(crate) magic: u32,
    pub(crate) version: u32,
    pub(crate) modules: u32,
    pub(crate) module_list: u64,
    pub(crate) command_line: u64,
    pub(crate) rsdp: u64,
    pub(crate) map: u64,
    pub(crate) map_entries: u32,
}

impl StartInfo {
    pub(crate) const VERSION_1: Self = Self {
        magic: 0x336e_c578,
        version: 1,
        modules: 0,
        module_list: 0,
        command_line: 0,
        rsdp: 0,
        map: 0,
        map_entries: 0,
    };

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = words(&[self.magic, self.version, 0, self.modules]);
        for pointer in [self.module_list, self.command_line, self.rsdp, self.map] {
            bytes.extend(pointer.to_le_bytes());
        }
        bytes.extend(words(&[self.map_entries, 0]));
        bytes
    }
}

/// Memory with a version 1 start info at `START_INFO` that has only a memory map.
pub(crate) fn pvh_with_map(entries: &[(u64, u64, u32)]) -> Memory {
    let start = StartInfo {
        map: MEMORY_MAP,
        map_entries: entries.len() as u32,
        ..StartInfo::VERSION_1
    };
    Memory::default()
        .with(START_INFO, start.bytes())
        .with(MEMORY_MAP, map_entries(entries))
}

pub(crate) fn map_entries(entries: &[(u64, u64, u32)]) -> Vec<u8> {
    let entry = |&(start, length, kind): &(u64, u64, u32)| {
        [
            start.to_le_bytes(),
            length.to_le_bytes(),
            u64::from(kind).to_le_bytes(),
        ]
    };
    entries.iter().flat_map(entry).flatten().collect()
}

pub(crate) fn module_entry(start: u64, size: u64, command_line: u64) -> Vec<u8> {
    [start, size, command_line, 0]
        .into_iter()
        .flat_map(u64::to_le_bytes)
        .collect()
}

/// The fields of Multiboot information that are read.
#[derive(Clone, Copy, Default)]
pub(crate) struct MultibootInfo {
    pub(crate) flags: u32,
    pub(crate) lower_kib: u32,
    pub(crate) upper_kib: u32,
    pub(crate) command_line: u32,
    pub(crate) modules: u32,
    pub(crate) module_list: u32,
    pub(crate) map_length: u32,
    pub(crate) map: u32,
}

impl MultibootInfo {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = words(&[self.flags, self.lower_kib, self.upper_kib, 0x8000_ffff]);
        bytes.extend(words(&[self.command_line, self.modules, self.module_list]));
        bytes.extend(words(&[0, 0, 0, 0, self.map_length, self.map]));
        bytes
    }
}

/// An entry of a Multiboot memory map; `size` is what its first word says.
pub(crate) fn multiboot_entry(size: u32, (start, length, kind): (u64, u64, u32)) -> Vec<u8> {
    let mut bytes = words(&[size]);
    bytes.extend(start.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    bytes.extend(words(&[kind]));
    bytes
}

/// A Multiboot2 tag with padding.
pub(crate) fn tag(kind: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = words(&[kind, 8 + content.len() as u32]);
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// Multiboot2 information made of tags and an end tag.
pub(crate) fn multiboot2(tags: &[Vec<u8>]) -> Vec<u8> {
    let mut content = tags.concat();
    content.extend(tag(0, &[]));
    let mut bytes = words(&[8 + content.len() as u32, 0]);
    bytes.extend(content);
    bytes
}

pub(crate) fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

pub(crate) const RAM: u32 = RegionKind::USABLE.0;
pub(crate) const RESERVED: u32 = RegionKind::RESERVED.0;
pub(crate) const ACPI: u32 = RegionKind::ACPI_RECLAIMABLE.0;

pub(crate) fn regions(map: &MemoryMap) -> Vec<(u64, u64, u32)> {
    let regions = map.regions().iter();
    regions.map(|r| (r.start, r.end, r.kind.0)).collect()
}

pub(crate) fn usable(map: &MemoryMap) -> Vec<(u64, u64)> {
    map.usable().map(|range| (range.start, range.end)).collect()
}

/// Panics unless the map is sorted and without overlaps.
pub(crate) fn assert_well_formed(map: &MemoryMap) {
    let regions = map.regions();
    assert!(regions.len() <= MemoryMap::CAPACITY);
    assert!(regions.iter().all(|r| r.start < r.end), "{map:?}");
    for pair in regions.windows(2) {
        assert!(pair[0].end <= pair[1].start, "{map:?}");
        let touching = pair[0].end == pair[1].start;
        assert!(!touching || pair[0].kind != pair[1].kind, "{map:?}");
    }
}
