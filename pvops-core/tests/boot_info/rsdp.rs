//! Finding and checking the ACPI root pointer.

use pvops_core::boot_info::{PhysicalMemory, rsdp};

use super::support::Memory;

/// An ACPI 1.0 RSDP with a right checksum.
pub(crate) fn version_1() -> Vec<u8> {
    let mut bytes = b"RSD PTR \0FIRECK\0".to_vec();
    bytes.extend(0xe_0040_u32.to_le_bytes());
    fix_sum(&mut bytes, 8);
    bytes
}

/// An ACPI 2.0 RSDP with right checksums.
pub(crate) fn version_2() -> Vec<u8> {
    version_2_of_length(36)
}

fn version_2_of_length(length: usize) -> Vec<u8> {
    let mut bytes = version_1();
    bytes[15] = 2;
    bytes[8] = 0;
    fix_sum(&mut bytes, 8);
    bytes.extend((length as u32).to_le_bytes());
    bytes.extend(0xe_0040_u64.to_le_bytes());
    bytes.resize(length.max(36), 0);
    fix_sum(&mut bytes, 32);
    bytes
}

fn fix_sum(bytes: &mut [u8], at: usize) {
    let sum = bytes
        .iter()
        .fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
    bytes[at] = bytes[at].wrapping_sub(sum);
}

/// The BIOS area with `pieces` at offsets from 0xe0000.
fn area(pieces: &[(usize, &[u8])]) -> Memory {
    let mut bytes = vec![0; 0x2_0000];
    for (offset, piece) in pieces {
        bytes[*offset..offset + piece.len()].copy_from_slice(piece);
    }
    Memory::default().with(0xe_0000, bytes)
}

#[test]
fn found_on_every_16_byte_boundary() {
    for offset in [0, 16, 0x1_2340, 0x2_0000 - 48] {
        for bytes in [version_1(), version_2()] {
            let memory = area(&[(offset, &bytes)]);
            assert_eq!(rsdp::find(&memory), Some(0xe_0000 + offset as u64));
        }
    }
    assert_eq!(rsdp::find(&area(&[(8, &version_1())])), None);
    assert_eq!(rsdp::find(&area(&[])), None);
    assert_eq!(rsdp::find(&Memory::default()), None);
}

#[test]
fn only_the_part_that_is_memory_is_searched() {
    let memory = Memory::default().with(0xf_0000, version_2());
    assert_eq!(rsdp::find(&memory), Some(0xf_0000));
}

#[test]
fn an_invalid_one_is_passed_over() {
    let mut damaged = version_2();
    damaged[16] ^= 1;
    let memory = area(&[(0x40, &damaged), (0x80, &version_2())]);
    assert_eq!(rsdp::find(&memory), Some(0xe_0080));
}

#[test]
fn every_damaged_byte_is_seen() {
    for good in [version_1(), version_2()] {
        assert!(rsdp::is_valid(&area(&[(0, &good)]), 0xe_0000));
        for index in 0..good.len() {
            let mut bytes = good.clone();
            bytes[index] ^= 0x40;
            let memory = area(&[(0, &bytes)]);
            assert!(!rsdp::is_valid(&memory, 0xe_0000), "byte {index}");
        }
    }
}

#[test]
fn lengths() {
    for (length, valid) in [
        (0, false),
        (35, false),
        (36, true),
        (256, true),
        (257, false),
    ] {
        let memory = area(&[(0, &version_2_of_length(length))]);
        assert_eq!(rsdp::is_valid(&memory, 0xe_0000), valid, "{length}");
    }
}

#[test]
fn truncated_at_every_byte() {
    for good in [version_1(), version_2(), version_2_of_length(40)] {
        for length in 0..good.len() {
            let memory = Memory::default().with(0xe_0000, &good[..length]);
            assert!(!rsdp::is_valid(&memory, 0xe_0000), "{length}");
        }
    }
    assert!(!rsdp::is_valid(&Memory::default(), u64::MAX));
}

/// A kernel's memory that gives fewer bytes than asked for.
#[test]
fn short_answers_are_no_answers() {
    struct Short([u8; 9]);
    impl PhysicalMemory for Short {
        fn bytes(&self, _address: u64, _length: usize) -> Option<&[u8]> {
            Some(&self.0)
        }
    }
    let mut bytes = *b"RSD PTR \0";
    fix_sum(&mut bytes, 8);
    assert!(!rsdp::is_valid(&Short(bytes), 0xe_0000));
}
