//! PVH start information, versions 0 and 1.

use pvops_core::boot_info::{BootInfo, BootInfoError, MemoryMap, Protocol, write_pvh};

use super::support::*;

const FULL: StartInfo = StartInfo {
    modules: 2,
    module_list: MODULE_LIST,
    command_line: COMMAND_LINE,
    rsdp: 0xa0000,
    map: MEMORY_MAP,
    map_entries: 1,
    ..StartInfo::VERSION_1
};

fn full_memory(start: &[u8]) -> Memory {
    let modules = [
        module_entry(0x100_0000, 0x1234, 0),
        module_entry(0x200_0000, 0x1000, COMMAND_LINE + 0x100),
    ];
    Memory::default()
        .with(START_INFO, start)
        .with(MEMORY_MAP, map_entries(&[(0x10_0000, 0x70_0000, RAM)]))
        .with(MODULE_LIST, modules.concat())
        .with(COMMAND_LINE, *b"hello pvh\0")
        .with(COMMAND_LINE + 0x100, *b"symbols\0")
}

fn error(start: StartInfo) -> BootInfoError {
    let memory = full_memory(&start.bytes());
    BootInfo::from_pvh(&memory, START_INFO).unwrap_err()
}

#[test]
fn version_1() {
    let memory = full_memory(&FULL.bytes());
    let info = BootInfo::from_pvh(&memory, START_INFO).unwrap();
    assert_eq!(info.protocol(), Protocol::Pvh { version: 1 });
    assert_eq!(info.protocol().to_string(), "pvh v1");
    assert_eq!(info.command_line().as_bytes(), b"hello pvh");
    assert_eq!(info.rsdp(), Some(0xa0000));
    assert!(!info.memory_map_missing());
    assert_eq!(usable(info.memory_map()), [(0x10_0000, 0x80_0000)]);
    let [disk, symbols] = info.modules() else {
        panic!("{:?}", info.modules());
    };
    assert_eq!(disk.range(), 0x100_0000..0x100_1234);
    assert_eq!(disk.length_bytes(), 0x1234);
    assert_eq!(disk.command_line().as_bytes(), b"");
    assert_eq!(symbols.command_line().as_bytes(), b"symbols");
    assert_eq!(info.modules_dropped(), 0);
}

/// Xen 4.17's PVH dom0: memory ends where version 0 does.
#[test]
fn version_0_has_no_memory_map() {
    let start = StartInfo { version: 0, ..FULL };
    let memory = full_memory(&start.bytes()[..40]);
    let mut info = BootInfo::from_pvh(&memory, START_INFO).unwrap();
    assert_eq!(info.protocol().to_string(), "pvh v0");
    assert!(info.memory_map_missing());
    assert_eq!(info.memory_map().regions(), []);
    assert_eq!(info.command_line().as_bytes(), b"hello pvh");
    assert_eq!(info.modules().len(), 2);

    let usable_kind = pvops_core::boot_info::RegionKind::USABLE;
    info.memory_map_mut().insert(0, 0x1000, usable_kind);
    assert!(!info.memory_map_missing());
}

#[test]
fn version_1_with_no_entries() {
    let memory = Memory::default().with(START_INFO, StartInfo::VERSION_1.bytes());
    let info = BootInfo::from_pvh(&memory, START_INFO).unwrap();
    assert!(info.memory_map_missing());
    assert_eq!(info.memory_map().regions(), []);
    assert_eq!(info.rsdp(), None);
    assert_eq!(info.command_line().as_bytes(), b"");
    assert_eq!(info.modules(), []);
}

#[test]
fn later_versions_extend_version_1() {
    let start = StartInfo { version: 7, ..FULL };
    let memory = full_memory(&start.bytes());
    let info = BootInfo::from_pvh(&memory, START_INFO).unwrap();
    assert_eq!(info.protocol().to_string(), "pvh v7");
    assert_eq!(usable(info.memory_map()), [(0x10_0000, 0x80_0000)]);
}

#[test]
fn every_wrong_bit_of_the_magic_is_seen() {
    for bit in 0..32 {
        let found = 0x336e_c578 ^ (1 << bit);
        let expected = BootInfoError::BadMagic {
            found,
            expected: 0x336e_c578,
        };
        let magic = StartInfo {
            magic: found,
            ..FULL
        };
        assert_eq!(error(magic), expected);
    }
    let message = error(StartInfo { magic: 0, ..FULL }).to_string();
    assert_eq!(message, "boot magic is 0x00000000, not 0x336ec578");
}

/// A null pointer is no table, though address 0 is memory.
#[test]
fn counts_without_a_table() {
    let error = |start: StartInfo| {
        let memory = full_memory(&start.bytes()).with(0, [0; 4096]);
        BootInfo::from_pvh(&memory, START_INFO).unwrap_err()
    };
    let unreadable = |what| BootInfoError::Unreadable { what, address: 0 };
    let no_modules = StartInfo {
        module_list: 0,
        ..FULL
    };
    assert_eq!(error(no_modules), unreadable("module list"));
    let no_map = StartInfo { map: 0, ..FULL };
    assert_eq!(error(no_map), unreadable("memory map"));
}

#[test]
fn pointers_to_nowhere() {
    for address in [0x666_0000, u64::MAX, u64::MAX - 20] {
        let unreadable = |what| BootInfoError::Unreadable { what, address };
        let command_line = StartInfo {
            command_line: address,
            ..FULL
        };
        assert_eq!(error(command_line), unreadable("command line"));
        let module_list = StartInfo {
            module_list: address,
            ..FULL
        };
        assert_eq!(error(module_list), unreadable("module list"));
        let map = StartInfo {
            map: address,
            ..FULL
        };
        assert_eq!(error(map), unreadable("memory map"));
        let memory = full_memory(&FULL.bytes());
        assert_eq!(
            BootInfo::from_pvh(&memory, address).unwrap_err(),
            unreadable("start information")
        );
    }
}

#[test]
fn more_modules_than_there_is_room_for() {
    let start = StartInfo {
        modules: u32::MAX,
        module_list: MODULE_LIST,
        ..StartInfo::VERSION_1
    };
    let modules: Vec<u8> = (0..20).flat_map(|i| module_entry(i << 20, 5, 0)).collect();
    let memory = Memory::default()
        .with(START_INFO, start.bytes())
        .with(MODULE_LIST, modules);
    let info = BootInfo::from_pvh(&memory, START_INFO).unwrap();
    assert_eq!(info.modules().len(), 16);
    assert_eq!(info.modules()[15].range(), 0xf0_0000..0xf0_0005);
    assert_eq!(info.modules_dropped(), u32::MAX - 16);
}

#[test]
fn a_module_that_wraps() {
    let start = StartInfo {
        modules: 1,
        module_list: MODULE_LIST,
        ..StartInfo::VERSION_1
    };
    let memory = Memory::default()
        .with(START_INFO, start.bytes())
        .with(MODULE_LIST, module_entry(0x1000, u64::MAX, 0));
    let error = BootInfo::from_pvh(&memory, START_INFO).unwrap_err();
    assert_eq!(error, BootInfoError::BadModule { index: 0 });
}

#[test]
fn more_map_entries_than_any_machine_has() {
    for map_entries in [1025, u32::MAX] {
        let start = StartInfo {
            map_entries,
            ..FULL
        };
        let count = map_entries.into();
        assert_eq!(error(start), BootInfoError::TooManyRegions { count });
    }
    let entries = [(0x10_0000, 0x1000, RAM); 1024];
    let memory = pvh_with_map(&entries);
    let info = BootInfo::from_pvh(&memory, START_INFO).unwrap();
    assert_eq!(usable(info.memory_map()), [(0x10_0000, 0x10_1000)]);
}

/// Everything in one piece of memory, which is cut off at every byte.
#[test]
fn truncated_at_every_byte() {
    let start = StartInfo {
        modules: 1,
        module_list: START_INFO + 56,
        map: START_INFO + 88,
        map_entries: 2,
        command_line: START_INFO + 136,
        ..StartInfo::VERSION_1
    };
    let map = map_entries(&[(0, 0x1000, RAM), (0x1000, 0x1000, RESERVED)]);
    let line = b"pv=native";
    let parts = [&start.bytes(), &module_entry(0x1000, 1, 0), &map, &line[..]];
    let whole = parts.concat();
    for length in 0..=whole.len() {
        let memory = Memory::default().with(START_INFO, &whole[..length]);
        let result = BootInfo::from_pvh(&memory, START_INFO);
        // The line has no NUL: it ends with the memory, but must begin in it.
        match length.checked_sub(136) {
            None | Some(0) => {
                let error = result.unwrap_err();
                assert!(matches!(error, BootInfoError::Unreadable { .. }), "{error}");
            }
            Some(read) => assert_eq!(result.unwrap().command_line().as_bytes(), &line[..read]),
        }
    }
}

/// A kernel that another kernel has started reads what that one has written.
#[test]
fn what_is_written_is_read() {
    let source = pvh_with_map(&[
        (0x1000, 0x8_0000, RAM),
        (0x10_0000, 0x700_0000, RAM),
        (0x20_0000, 0x1000, ACPI),
    ]);
    let source = BootInfo::from_pvh(&source, START_INFO).unwrap();
    for rsdp in [None, Some(0xf_5000)] {
        let mut bytes = [0xff; 4096];
        let map = source.memory_map();
        let line = b"handed-over=0x1000";
        let length = write_pvh(&mut bytes, START_INFO, map, line, rsdp).unwrap();
        assert_eq!(length, 56 + 24 * map.regions().len() + line.len() + 1);
        let memory = Memory::default().with(START_INFO, &bytes[..length]);
        let info = BootInfo::from_pvh(&memory, START_INFO).unwrap();
        assert_eq!(info.protocol(), Protocol::Pvh { version: 1 });
        assert_eq!(info.command_line().as_bytes(), line);
        assert_eq!(info.rsdp(), rsdp);
        assert_eq!(info.modules(), []);
        assert_eq!(regions(info.memory_map()), regions(map));
        for too_short in 0..length {
            let written = write_pvh(&mut bytes[..too_short], START_INFO, map, line, rsdp);
            assert_eq!(written, None, "{too_short} of {length} bytes");
        }
    }
    assert_eq!(
        write_pvh(&mut [0; 57], START_INFO, &MemoryMap::new(), b"", None),
        Some(57)
    );
    for beyond in [u64::MAX, u64::MAX - 55] {
        let written = write_pvh(&mut [0; 57], beyond, &MemoryMap::new(), b"", None);
        assert_eq!(written, None, "at {beyond:#x}");
    }
}
