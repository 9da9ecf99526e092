//! The ROM at its place, and what POST has done.

use core::ffi::CStr;

use crate::abi::extension;
use crate::abi::header::{LICENSES, PciHeader, PnpHeader, SEARCHED};
use crate::boot::BootInformation;
use crate::console::{check, say};
use crate::paging::DISTANCE;
use crate::rom::Rom;

pub(super) fn run(rom: Rom, information: &BootInformation) {
    let header = rom.header();
    let virtual_top = header.virtual_top;
    say!(
        "ROM at {:#x}, {} units, virtual top {virtual_top:#x}",
        rom.base - DISTANCE,
        header.length
    );
    let bytes = rom.bytes();
    let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    check!(sum == 0, "the bytes add up to 0 after POST");
    check!(bytes.len() <= 32 * 1024, "at most 32 KiB");
    check!(
        rom.base - DISTANCE + bytes.len() as u32 <= SEARCHED.end,
        "inside the searched memory"
    );
    check!(
        virtual_top & 0x3F_FFFF == 0 && virtual_top != 0,
        "the hole is of whole directory entries"
    );
    let license = CStr::from_bytes_until_nul(&bytes[usize::from(header.license)..]);
    let license = license.unwrap_or_default().to_str().unwrap_or_default();
    check!(LICENSES.contains(&license), "a licence that Linux takes");
    // SAFETY: both are plain bytes in the ROM, as is the extension.
    let (pci, pnp) = unsafe {
        (
            (bytes.as_ptr().add(header.pci_header.into()) as *const PciHeader).read_unaligned(),
            (bytes.as_ptr().add(header.pnp_header.into()) as *const PnpHeader).read_unaligned(),
        )
    };
    check!({ pci.signature } == PciHeader::SIGNATURE, "a PCI header");
    check!(
        { pci.vendor } == PciHeader::VENDOR && { pci.device } == PciHeader::DEVICE,
        "its device"
    );
    check!({ pci.chunks } == u16::from(header.length), "its length");
    check!({ pnp.signature } == PnpHeader::SIGNATURE, "a PnP header");
    let signature = u32::from_le_bytes([0, 1, 2, 3].map(|byte| header.reserved[byte]));
    check!(signature == extension::SIGNATURE, "our own extension");
    post(information);
}

/// The word at 40:13 says how many KiB of memory there are below 640 KiB, and the BIOS's map agrees.
fn post(information: &BootInformation) {
    // SAFETY: the BIOS data area is mapped.
    let kib = unsafe { ((DISTANCE + 0x413) as *const u16).read_volatile() };
    let end = u64::from(kib) * 1024;
    check!(kib <= 607, "POST has taken memory");
    let mut low = information
        .map()
        .filter(|&(base, _, kind)| base < 0xA0000 && kind == 1);
    check!(
        low.all(|(base, length, _)| base + length <= end),
        "the map does not have that memory"
    );
    let high = information
        .map()
        .any(|(base, length, kind)| base == 0x10_0000 && length >= 64 << 20 && kind == 1);
    check!(high, "the map has the memory above");
}
