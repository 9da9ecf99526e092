//! Random boot information: any answer, but no panic and a bounded amount of work.

use proptest::collection::vec;
use proptest::prelude::*;
use pvops_core::boot_info::{BootInfo, rsdp};

use super::support::*;

/// The most reads for PVH, and for Multiboot: 17 command lines of 4096 bytes, 16 modules, 1024 map entries, and
/// a few for each structure.
const PVH_READS: usize = 17 * 4100 + 16 + 1024 + 3;

/// A word of memory: mostly a pointer to somewhere, or a small number.
fn word() -> impl Strategy<Value = u64> {
    prop_oneof![16 => 0x1000..0x3000u64, 2 => Just(0), 2 => 1..8u64, 1 => any::<u64>()]
}

/// A count that is mostly small.
fn count() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0..6u32, 2 => 0..2000u32, 1 => any::<u32>()]
}

/// A Multiboot2 tag of any type with random content, or a memory map with random entries.
fn any_tag() -> impl Strategy<Value = Vec<u8>> {
    let content = vec(prop_oneof![Just(0u8), any::<u8>()], 0..120);
    let any = (0..20u32, content).prop_map(|(kind, content)| tag(kind, &content));
    let map = vec((word(), word(), 0..8u32), 0..40).prop_map(|entries| {
        let content = [words(&[24, 0]), map_entries(&entries)].concat();
        tag(6, &content)
    });
    prop_oneof![2 => any, 1 => map]
}

fn check(info: &BootInfo<'_>) {
    assert_well_formed(info.memory_map());
    assert!(info.modules().len() <= 16);
    for module in info.modules() {
        assert!(module.range().start <= module.range().end);
        assert!(module.command_line().as_bytes().len() <= 4096);
    }
    assert!(info.command_line().as_bytes().len() <= 4096);
    assert!(info.command_line().words().count() <= 2048);
    assert!(!info.command_line().to_string().contains('\0'));
    let legacy = info.memory_map().usable();
    assert!(
        legacy
            .into_iter()
            .all(|r| r.end <= 0xa_0000 || r.start >= 0x10_0000)
    );
}

proptest! {
    #[test]
    fn pvh(
        content in vec(word(), 1000..1024),
        version in 0..3u32,
        pointers in proptest::array::uniform4(word()),
        modules in count(),
        map_entries in count(),
    ) {
        let [module_list, command_line, rsdp, map] = pointers;
        let start = StartInfo {
            version,
            modules,
            module_list,
            command_line,
            rsdp,
            map,
            map_entries,
            ..StartInfo::VERSION_1
        };
        let mut bytes: Vec<u8> = content.into_iter().flat_map(u64::to_le_bytes).collect();
        bytes[..56].copy_from_slice(&start.bytes());
        let memory = Memory::default().with(0x1000, bytes);
        if let Ok(info) = BootInfo::from_pvh(&memory, 0x1000) {
            check(&info);
        }
        prop_assert!(memory.reads.get() <= PVH_READS);
    }

    #[test]
    fn pvh_bytes(bytes in vec(any::<u8>(), 0..200), address in word()) {
        let memory = Memory::default().with(0x1000, bytes);
        prop_assert!(BootInfo::from_pvh(&memory, address).is_err());
        prop_assert_eq!(memory.reads.get().max(1), 1);
    }

    #[test]
    fn multiboot(
        content in vec(word(), 1000..1024),
        flags in prop_oneof![4 => Just(0x4d_u32), 1 => any::<u32>()],
        pointers in proptest::array::uniform3(word()),
        modules in count(),
        map_length in prop_oneof![8 => 0..200u32, 2 => 0..40_000u32, 1 => any::<u32>()],
        map_entries in vec((0..60u32, word(), word(), 0..8u32), 0..60),
    ) {
        let [module_list, command_line, map] = pointers.map(|pointer| pointer as u32);
        let info = MultibootInfo {
            flags,
            command_line,
            modules,
            module_list,
            map_length,
            map,
            ..MultibootInfo::default()
        };
        let mut bytes: Vec<u8> = content.into_iter().flat_map(u64::to_le_bytes).collect();
        bytes[..52].copy_from_slice(&info.bytes());
        let entries: Vec<u8> = map_entries
            .iter()
            .flat_map(|&(size, start, length, kind)| multiboot_entry(size, (start, length, kind)))
            .collect();
        bytes[0x400..0x400 + entries.len()].copy_from_slice(&entries);
        let memory = Memory::default().with(0x1000, bytes);
        if let Ok(info) = BootInfo::from_multiboot(&memory, 0x2bad_b002, 0x1000) {
            check(&info);
        }
        prop_assert!(memory.reads.get() <= PVH_READS);
    }

    #[test]
    fn multiboot_bytes(bytes in vec(any::<u8>(), 0..200), address in word()) {
        let memory = Memory::default().with(0x1000, bytes);
        if let Ok(info) = BootInfo::from_multiboot(&memory, 0x2bad_b002, address) {
            check(&info);
        }
        prop_assert!(memory.reads.get() <= PVH_READS);
    }

    /// Good tags and bad, with one byte damaged or none.
    #[test]
    fn multiboot2_tags(
        tags in vec(any_tag(), 0..12),
        damage in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut bytes = multiboot2(&tags);
        if let Some((index, value)) = damage {
            let index = index.index(bytes.len());
            bytes[index] = value;
        }
        read_multiboot2(bytes)?;
    }

    #[test]
    fn multiboot2_bytes(mut bytes in vec(any::<u8>(), 8..400), whole in any::<bool>()) {
        if whole {
            let length = bytes.len() as u32;
            bytes[..4].copy_from_slice(&length.to_le_bytes());
        }
        read_multiboot2(bytes)?;
    }

    #[test]
    fn rsdp_with_a_random_tail(tail in vec(any::<u8>(), 0..300), revision in 0..4u8) {
        let mut bytes = b"RSD PTR \0OEMOEM".to_vec();
        bytes.push(revision);
        bytes.extend(tail);
        let sum = bytes.iter().take(20).fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        bytes[8] = 0u8.wrapping_sub(sum);
        let long_enough = bytes.len() >= 20;
        let memory = Memory::default().with(0xe_0000, bytes);
        let found = rsdp::find(&memory);
        if revision < 2 {
            prop_assert_eq!(found.is_some(), long_enough);
        }
        prop_assert!(memory.reads.get() <= 0x2000 + 2);
    }
}

fn read_multiboot2(bytes: Vec<u8>) -> Result<(), TestCaseError> {
    let memory = Memory::default().with(0x1000, bytes);
    if let Ok(info) = BootInfo::from_multiboot2(&memory, 0x36d7_6289, 0x1000) {
        check(&info);
    }
    prop_assert!(memory.reads.get() <= 2);
    Ok(())
}
