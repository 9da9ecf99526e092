//! Multiboot information of version 1.

use pvops_core::boot_info::{BootInfo, BootInfoError, MemoryMap, Protocol};

use super::support::*;

const MAGIC: u32 = 0x2bad_b002;
const INFO: u64 = 0x5_0000;
const MEMORY_SIZE: u32 = 1 << 0;
const LINE: u32 = 1 << 2;
const MODULES: u32 = 1 << 3;
const MAP: u32 = 1 << 6;

fn map(entries: &[(u64, u64, u32)]) -> Vec<u8> {
    let entries = entries.iter().map(|&entry| multiboot_entry(20, entry));
    entries.flatten().collect()
}

/// As it is read of a loader with this map.
pub(crate) fn map_of(entries: &[(u64, u64, u32)]) -> Result<MemoryMap, BootInfoError> {
    let map = map(entries);
    let info = MultibootInfo {
        flags: MAP,
        map_length: map.len() as u32,
        ..full().0
    };
    let memory = Memory::default()
        .with(INFO, info.bytes())
        .with(MEMORY_MAP, map);
    read(&memory).map(|info| info.memory_map().clone())
}

/// What QEMU's `-kernel` gives with an initial RAM disk: all flags, the symbols' fields zero.
fn full() -> (MultibootInfo, Memory) {
    let map = map(&[
        (0, 0x9fc00, RAM),
        (0x9fc00, 0x400, RESERVED),
        (0xf_0000, 0x1_0000, RESERVED),
        (0x10_0000, 0x7ee_0000, RAM),
    ]);
    let info = MultibootInfo {
        flags: 0x24f,
        lower_kib: 639,
        upper_kib: 130_048,
        command_line: COMMAND_LINE as u32,
        modules: 2,
        module_list: MODULE_LIST as u32,
        map_length: map.len() as u32,
        map: MEMORY_MAP as u32,
    };
    let modules = [
        words(&[0x20_0000, 0x20_1234, COMMAND_LINE as u32 + 16, 0]),
        words(&[0x30_0000, 0x30_0000, 0, 0]),
    ];
    let memory = Memory::default()
        .with(INFO, info.bytes())
        .with(MEMORY_MAP, map)
        .with(MODULE_LIST, modules.concat())
        .with(COMMAND_LINE, *b"kernel selftest\0initrd\0");
    (info, memory)
}

fn read(memory: &Memory) -> Result<BootInfo<'_>, BootInfoError> {
    BootInfo::from_multiboot(memory, MAGIC, INFO)
}

fn with(info: MultibootInfo) -> Memory {
    Memory::default().with(INFO, info.bytes())
}

#[test]
fn everything() {
    let (_, memory) = full();
    let info = read(&memory).unwrap();
    assert_eq!(info.protocol(), Protocol::Multiboot);
    assert_eq!(info.protocol().to_string(), "multiboot");
    assert_eq!(info.command_line().as_bytes(), b"kernel selftest");
    assert_eq!(info.rsdp(), None);
    assert_eq!(
        regions(info.memory_map()),
        [
            (0, 0x9fc00, RAM),
            (0x9fc00, 0x10_0000, RESERVED),
            (0x10_0000, 0x7fe_0000, RAM)
        ]
    );
    let [disk, empty] = info.modules() else {
        panic!("{:?}", info.modules());
    };
    assert_eq!(disk.range(), 0x20_0000..0x20_1234);
    assert_eq!(disk.command_line().as_bytes(), b"initrd");
    assert_eq!(empty.length_bytes(), 0);
    assert_eq!(empty.command_line().as_bytes(), b"");
}

/// A field without its flag is not looked at, whatever it holds.
#[test]
fn flags_say_what_there_is() {
    let garbage = MultibootInfo {
        flags: 0,
        lower_kib: 1,
        upper_kib: 2,
        command_line: 3,
        modules: 4,
        module_list: 5,
        map_length: 6,
        map: 7,
    };
    let memory = with(garbage);
    let info = read(&memory).unwrap();
    assert!(info.memory_map_missing());
    assert_eq!(info.command_line().as_bytes(), b"");
    assert!(info.modules().is_empty());
}

/// Without a map the two sizes stand for it.
#[test]
fn sizes_instead_of_a_map() {
    let sizes = MultibootInfo {
        flags: MEMORY_SIZE,
        lower_kib: 639,
        upper_kib: 0xfc00,
        ..MultibootInfo::default()
    };
    let memory = with(sizes);
    let info = read(&memory).unwrap();
    let expected = [(0, 0x9_f000), (0x10_0000, 0x400_0000)];
    assert_eq!(usable(info.memory_map()), expected);
    let both = MultibootInfo {
        flags: MEMORY_SIZE | MAP,
        map: MEMORY_MAP as u32,
        map_length: 24,
        ..sizes
    };
    let memory = with(both).with(MEMORY_MAP, map(&[(0x20_0000, 0x1000, RAM)]));
    let info = read(&memory).unwrap();
    assert_eq!(usable(info.memory_map()), [(0x20_0000, 0x20_1000)]);
}

/// No size of memory reaches around the end of the address space.
#[test]
fn sizes_as_large_as_can_be() {
    let memory = with(MultibootInfo {
        flags: MEMORY_SIZE,
        lower_kib: u32::MAX,
        upper_kib: u32::MAX,
        ..MultibootInfo::default()
    });
    let info = read(&memory).unwrap();
    assert_well_formed(info.memory_map());
}

#[test]
fn wrong_magic() {
    let (_, memory) = full();
    for found in [0, 0x36d7_6289, 0x336e_c578, MAGIC ^ 1] {
        let expected = BootInfoError::BadMagic {
            found,
            expected: MAGIC,
        };
        let result = BootInfo::from_multiboot(&memory, found, INFO);
        assert_eq!(result.unwrap_err(), expected);
    }
}

#[test]
fn information_truncated_at_every_byte() {
    let (info, _) = full();
    for length in 0..info.bytes().len() {
        let memory = Memory::default().with(INFO, &info.bytes()[..length]);
        let error = read(&memory).unwrap_err();
        assert!(matches!(error, BootInfoError::Unreadable { .. }), "{error}");
    }
}

#[test]
fn what_is_pointed_to_but_not_there() {
    let (info, memory) = full();
    read(&memory).unwrap();
    for (flags, what, address) in [
        (LINE, "command line", 0xf000_0000),
        (MODULES, "module list", 0xf000_0000),
        (MAP, "memory map", 0xf000_0000),
    ] {
        let info = MultibootInfo {
            flags,
            command_line: address,
            module_list: address,
            map: address,
            ..info
        };
        let address = address.into();
        let expected = BootInfoError::Unreadable { what, address };
        assert_eq!(read(&with(info)).unwrap_err(), expected);
    }
}

#[test]
fn entries_that_do_not_fit() {
    let info = MultibootInfo {
        flags: MAP,
        map: MEMORY_MAP as u32,
        map_length: 48,
        ..MultibootInfo::default()
    };
    let first = multiboot_entry(20, (0, 0x1000, RAM));
    for size in [0, 1, 19, 21, 0xffff_ffe0, u32::MAX - 4, u32::MAX] {
        let second = multiboot_entry(size, (0x1000, 0x1000, RAM));
        let memory = with(info).with(MEMORY_MAP, [first.clone(), second, vec![0; 64]].concat());
        let expected = BootInfoError::BadMapEntry { offset: 24 };
        assert_eq!(read(&memory).unwrap_err(), expected, "{size:#x}");
    }
    // The map ends in the middle of an entry.
    for map_length in 25..48 {
        let info = MultibootInfo { map_length, ..info };
        let memory = with(info).with(MEMORY_MAP, [first.clone(), first.clone()].concat());
        let expected = BootInfoError::BadMapEntry { offset: 24 };
        assert_eq!(read(&memory).unwrap_err(), expected, "{map_length}");
    }
}

#[test]
fn longer_entries() {
    let mut entries = multiboot_entry(28, (0x10_0000, 0x1000, RAM));
    entries.extend([0xff; 8]);
    entries.extend(multiboot_entry(20, (0x30_0000, 0x1000, RAM)));
    let info = MultibootInfo {
        flags: MAP,
        map: MEMORY_MAP as u32,
        map_length: entries.len() as u32,
        ..MultibootInfo::default()
    };
    let memory = with(info).with(MEMORY_MAP, entries);
    let info = read(&memory).unwrap();
    let expected = [(0x10_0000, 0x10_1000), (0x30_0000, 0x30_1000)];
    assert_eq!(usable(info.memory_map()), expected);
}

#[test]
fn more_map_entries_than_any_machine_has() {
    let with_entries = |count: usize| {
        let entries = map(&vec![(0, 0x1000, RAM); count]);
        let info = MultibootInfo {
            flags: MAP,
            map: MEMORY_MAP as u32,
            map_length: entries.len() as u32,
            ..MultibootInfo::default()
        };
        with(info).with(MEMORY_MAP, entries)
    };
    read(&with_entries(1024)).unwrap();
    let error = read(&with_entries(1025)).unwrap_err();
    assert_eq!(error, BootInfoError::TooManyRegions { count: 1025 });
}

#[test]
fn modules_that_end_before_they_start_or_are_too_many() {
    let with_modules = |entries: &[[u32; 2]], modules| {
        let info = MultibootInfo {
            flags: MODULES,
            modules,
            module_list: MODULE_LIST as u32,
            ..MultibootInfo::default()
        };
        let list = entries
            .iter()
            .flat_map(|&[start, end]| words(&[start, end, 0, 0]));
        with(info).with(MODULE_LIST, list.collect::<Vec<_>>())
    };
    let error = read(&with_modules(&[[0, 1], [0x2000, 0x1fff]], 2)).unwrap_err();
    assert_eq!(error, BootInfoError::BadModule { index: 1 });

    let memory = with_modules(&[[1, 2]; 16], u32::MAX);
    let info = read(&memory).unwrap();
    assert_eq!(info.modules().len(), 16);
    assert_eq!(info.modules_dropped(), u32::MAX - 16);
}
