//! The ACPI root pointer, for hosts that do not say where it is (Firecracker 1.17 gives 0).
//!
//! Source: ACPI 6.5 sections 5.2.5.1 "Finding the RSDP on IA-PC Systems" and 5.2.5.3 "Root System
//! Description Pointer (RSDP) Structure".

use core::ops::Range;

use super::PhysicalMemory;
use super::physical_memory::read_bytes;

/// The physical address of the first valid RSDP in the BIOS area, 0xe0000 to 0xfffff.
///
/// The other place that the specification names, the extended BIOS data area, is not searched.
pub fn find<M: PhysicalMemory + ?Sized>(memory: &M) -> Option<u64> {
    BIOS_AREA
        .step_by(ALIGNMENT_BYTES)
        .find(|&address| is_valid(memory, address))
}

/// Whether there is an RSDP at the physical address `address`: its signature and checksums hold.
pub fn is_valid<M: PhysicalMemory + ?Sized>(memory: &M, address: u64) -> bool {
    let Ok(version_1) = read_bytes(memory, address, LENGTH_V1_BYTES, WHAT) else {
        return false;
    };
    if !version_1.starts_with(SIGNATURE) || !sums_to_zero(version_1) {
        return false;
    }
    version_1[REVISION_OFFSET] < 2 || extended_checksum_holds(memory, address)
}

fn extended_checksum_holds<M: PhysicalMemory + ?Sized>(memory: &M, address: u64) -> bool {
    let Ok(version_2) = read_bytes(memory, address, LENGTH_V2_BYTES, WHAT) else {
        return false;
    };
    let length = &version_2[LENGTH_OFFSET..LENGTH_OFFSET + 4];
    let length = length
        .iter()
        .rev()
        .fold(0, |value: usize, &byte| value << 8 | usize::from(byte));
    (LENGTH_V2_BYTES..=MAX_LENGTH_BYTES).contains(&length)
        && read_bytes(memory, address, length, WHAT).is_ok_and(sums_to_zero)
}

fn sums_to_zero(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .fold(0, |sum: u8, &byte| sum.wrapping_add(byte))
        == 0
}

const WHAT: &str = "RSDP";
const BIOS_AREA: Range<u64> = 0xe_0000..0x10_0000;
const ALIGNMENT_BYTES: usize = 16;
const SIGNATURE: &[u8] = b"RSD PTR ";
const REVISION_OFFSET: usize = 15;
const LENGTH_OFFSET: usize = 20;

/// The length of an ACPI 1.0 RSDP.
pub(super) const LENGTH_V1_BYTES: usize = 20;
/// The length of an ACPI 2.0 RSDP.
pub(super) const LENGTH_V2_BYTES: usize = 36;
/// A longer one is taken for damaged: no version of ACPI has made it longer than 36 bytes.
const MAX_LENGTH_BYTES: usize = 256;
