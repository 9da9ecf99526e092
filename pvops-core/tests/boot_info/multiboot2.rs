//! Multiboot2 information.

use pvops_core::boot_info::{BootInfo, BootInfoError, MemoryMap, Protocol, rsdp};

use super::support::*;

const MAGIC: u32 = 0x36d7_6289;
const INFO: u64 = 0x9000;

fn read(bytes: &[u8]) -> Result<String, BootInfoError> {
    let memory = Memory::default().with(INFO, bytes);
    BootInfo::from_multiboot2(&memory, MAGIC, INFO).map(|info| format!("{info:?}"))
}

fn map_tag(entry_size: u32, entries: &[u8]) -> Vec<u8> {
    tag(6, &[&words(&[entry_size, 0]), entries].concat())
}

/// As it is read of a loader with this map.
pub(crate) fn map_of(entries: &[(u64, u64, u32)]) -> Result<MemoryMap, BootInfoError> {
    let bytes = multiboot2(&[map_tag(24, &map_entries(entries))]);
    let memory = Memory::default().with(INFO, bytes);
    BootInfo::from_multiboot2(&memory, MAGIC, INFO).map(|info| info.memory_map().clone())
}

fn module_tag(start: u32, end: u32, line: &[u8]) -> Vec<u8> {
    tag(3, &[&words(&[start, end]), line].concat())
}

/// What GRUB gives, with tags that are not used among those that are.
fn full() -> Vec<u8> {
    multiboot2(&[
        tag(1, b"selftest pv=native\0"),
        tag(2, b"GRUB 2.06\0"),
        module_tag(0x20_0000, 0x20_1234, b"initrd\0"),
        module_tag(0x30_0000, 0x30_0000, b"\0"),
        tag(4, &words(&[639, 130_048])),
        map_tag(
            24,
            &map_entries(&[
                (0, 0x9fc00, RAM),
                (0x9fc00, 0x400, RESERVED),
                (0x10_0000, 0x7ee_0000, RAM),
            ]),
        ),
        tag(15, &super::rsdp::version_2()),
        tag(14, &super::rsdp::version_1()),
    ])
}

#[test]
fn everything() {
    let memory = Memory::default().with(INFO, full());
    let info = BootInfo::from_multiboot2(&memory, MAGIC, INFO).unwrap();
    assert_eq!(info.protocol(), Protocol::Multiboot2);
    assert_eq!(info.protocol().to_string(), "multiboot2");
    assert_eq!(info.command_line().as_bytes(), b"selftest pv=native");
    assert_eq!(
        regions(info.memory_map()),
        [
            (0, 0x9fc00, RAM),
            (0x9fc00, 0x10_0000, RESERVED),
            (0x10_0000, 0x7fe_0000, RAM)
        ]
    );
    assert!(!info.memory_map_missing());
    let [disk, empty] = info.modules() else {
        panic!("{:?}", info.modules());
    };
    assert_eq!(disk.range(), 0x20_0000..0x20_1234);
    assert_eq!(disk.command_line().as_bytes(), b"initrd");
    assert_eq!(empty.length_bytes(), 0);
    assert_eq!(empty.command_line().as_bytes(), b"");
}

/// The newer copy is taken, whichever comes first.
#[test]
fn rsdp_copies() {
    let [old, new] = [
        tag(14, &super::rsdp::version_1()),
        tag(15, &super::rsdp::version_2()),
    ];
    let new_at = |offset: usize| Some(INFO + 8 + offset as u64 + 8);
    let cases = [
        (vec![], None),
        (vec![old.clone()], new_at(0)),
        (vec![new.clone()], new_at(0)),
        (vec![old.clone(), new.clone()], new_at(old.len())),
        (vec![new, old], new_at(0)),
    ];
    for (tags, expected) in cases {
        let memory = Memory::default().with(INFO, multiboot2(&tags));
        let info = BootInfo::from_multiboot2(&memory, MAGIC, INFO).unwrap();
        assert_eq!(info.rsdp(), expected);
        assert!(expected.is_none_or(|address| rsdp::is_valid(&memory, address)));
    }
}

#[test]
fn no_tags_but_the_end() {
    let memory = Memory::default().with(INFO, multiboot2(&[]));
    let info = BootInfo::from_multiboot2(&memory, MAGIC, INFO).unwrap();
    assert!(info.memory_map_missing());
    assert_eq!(info.memory_map().regions(), []);
    assert_eq!(info.command_line().as_bytes(), b"");
}

#[test]
fn command_line_without_nul() {
    let memory = Memory::default().with(INFO, multiboot2(&[tag(1, b"abc")]));
    let info = BootInfo::from_multiboot2(&memory, MAGIC, INFO).unwrap();
    assert_eq!(info.command_line().as_bytes(), b"abc");
}

#[test]
fn longer_map_entries_of_a_later_version() {
    let mut entries = map_entries(&[(0x10_0000, 0x1000, RAM)]);
    entries.extend([0xff; 16]);
    let memory = Memory::default().with(INFO, multiboot2(&[map_tag(40, &entries)]));
    let info = BootInfo::from_multiboot2(&memory, MAGIC, INFO).unwrap();
    assert_eq!(usable(info.memory_map()), [(0x10_0000, 0x10_1000)]);
}

#[test]
fn wrong_magic() {
    let memory = Memory::default().with(INFO, full());
    for found in [0, 0x2bad_b002, 0x336e_c578, MAGIC ^ 1] {
        let expected = BootInfoError::BadMagic {
            found,
            expected: MAGIC,
        };
        let result = BootInfo::from_multiboot2(&memory, found, INFO);
        assert_eq!(result.unwrap_err(), expected);
    }
}

#[test]
fn misaligned() {
    let memory = Memory::default().with(INFO + 4, full());
    let address = INFO + 4;
    let result = BootInfo::from_multiboot2(&memory, MAGIC, address);
    assert_eq!(result.unwrap_err(), BootInfoError::Misaligned { address });
}

#[test]
fn memory_truncated_at_every_byte() {
    let whole = full();
    for length in 0..whole.len() {
        let error = read(&whole[..length]).unwrap_err();
        assert!(matches!(error, BootInfoError::Unreadable { .. }), "{error}");
    }
    read(&whole).unwrap();
}

#[test]
fn total_size_truncated_at_every_byte() {
    let mut whole = full();
    for length in 0..whole.len() as u32 {
        whole[..4].copy_from_slice(&length.to_le_bytes());
        let error = read(&whole).unwrap_err();
        match error {
            BootInfoError::BadTotalSize { size_bytes } => assert_eq!(size_bytes, length),
            BootInfoError::BadTag { .. } | BootInfoError::MissingEndTag => assert!(length >= 8),
            _ => panic!("{error}"),
        }
    }
}

#[test]
fn total_size_out_of_bounds() {
    let mut whole = full();
    whole.resize((1 << 20) + 1, 0);
    for size_bytes in [0, 7, (1 << 20) + 1, u32::MAX] {
        whole[..4].copy_from_slice(&size_bytes.to_le_bytes());
        let expected = BootInfoError::BadTotalSize { size_bytes };
        assert_eq!(read(&whole).unwrap_err(), expected);
    }
    whole[..4].copy_from_slice(&(1u32 << 20).to_le_bytes());
    read(&whole).unwrap();
}

/// A tag that claims less than its header, or more than there is.
#[test]
fn tag_sizes() {
    for size in [0u32, 1, 7, 17, 0x7fff_ffff, u32::MAX] {
        for kind in [0u32, 1, 3, 6, 14, 15, 99] {
            let content = words(&[kind, size, 0, 0]);
            let bytes = [words(&[24, 0]), content].concat();
            let expected = BootInfoError::BadTag { kind, offset: 8 };
            assert_eq!(read(&bytes).unwrap_err(), expected);
        }
    }
}

#[test]
fn contents_too_small_for_their_tags() {
    let entry = map_entries(&[(0, 0x1000, RAM)]);
    let cases = [
        tag(3, &[0; 7]),
        tag(6, &[0; 7]),
        map_tag(0, &entry),
        map_tag(23, &entry[..23]),
        map_tag(24, &entry[..23]),
        map_tag(32, &entry),
        map_tag(u32::MAX, &entry),
        tag(14, &[0; 19]),
        tag(15, &[0; 35]),
    ];
    for bytes in cases {
        let kind = bytes[0].into();
        let expected = BootInfoError::BadTag { kind, offset: 8 };
        assert_eq!(read(&multiboot2(&[bytes])).unwrap_err(), expected);
    }
}

#[test]
fn modules_that_end_before_they_start_or_are_too_many() {
    let backwards = [module_tag(0, 1, b""), module_tag(0x2000, 0x1fff, b"x\0")];
    let error = read(&multiboot2(&backwards)).unwrap_err();
    assert_eq!(error, BootInfoError::BadModule { index: 1 });

    let tags: Vec<_> = (0..20).map(|i| module_tag(i, i + 1, b"m\0")).collect();
    let memory = Memory::default().with(INFO, multiboot2(&tags));
    let info = BootInfo::from_multiboot2(&memory, MAGIC, INFO).unwrap();
    assert_eq!(info.modules().len(), 16);
    assert_eq!(info.modules_dropped(), 4);
}

/// The limit holds for all map tags together.
#[test]
fn more_map_entries_than_any_machine_has() {
    let half = map_tag(24, &map_entries(&[(0, 0x1000, RAM); 512]));
    read(&multiboot2(&[half.clone(), half.clone()])).unwrap();
    let one_more = map_tag(24, &map_entries(&[(0, 0x1000, RAM)]));
    let error = read(&multiboot2(&[half.clone(), half, one_more])).unwrap_err();
    assert_eq!(error, BootInfoError::TooManyRegions { count: 1025 });
}
