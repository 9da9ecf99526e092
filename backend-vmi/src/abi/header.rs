//! The ROM's headers: the option ROM's own, which VMI extends, and the PCI and PnP ones it points to.

use core::mem::{offset_of, size_of};

/// Physical addresses where a ROM can lie (vmi_32.c, `probe_vmi_rom`). The specification (section 4)
/// begins at 0xC8000, but a BIOS without a graphics card's ROM puts the first one at 0xC0000.
pub const SEARCHED: core::ops::Range<u32> = 0xC0000..0xE0000;
/// A ROM begins at a multiple of this many bytes.
pub const ALIGNMENT: u32 = 2048;
/// [`Header::length`] counts units of this many bytes. The bytes of the whole ROM add up to 0, modulo
/// 256; a BIOS looks at that sum, and a guest should.
pub const LENGTH_UNIT: usize = 512;

/// The first two bytes of any option ROM: 55 AA (PCI Firmware Specification, section 5.2.1).
pub const SIGNATURE: u16 = 0xAA55;
/// "cVmi" (vmi.h, `VMI_SIGNATURE`).
pub const VMI_SIGNATURE: u32 = 0x696D_5663;
/// The only major version that guests of this interface speak (vmi.h, `VMI_API_REV_MAJOR`).
pub const API_MAJOR: u8 = 3;
/// The smallest minor version (vmi.h, `VMI_API_REV_MINOR`).
pub const API_MINOR: u8 = 0;

/// From the ROM's beginning to the code of `VMI_Init`: no arguments, EAX is 0 for success; else the ROM
/// has changed nothing, and the guest goes on without it.
pub const INIT_OFFSET: usize = offset_of!(Header, init);
/// From the ROM's beginning to the code of `VMI_GetRelocationInfo`: EAX is a
/// [call's number](super::call::Call), EDX:EAX is where it is, see
/// [`Relocation`](super::relocation::Relocation). Callable after `VMI_Init`, as often as one likes, on
/// any CPU.
pub const GET_RELOCATION_OFFSET: usize = offset_of!(Header, get_relocation);

/// The first bytes of a ROM (vmi.h, `struct vrom_header`).
#[derive(Clone, Copy, Debug)]
#[repr(C, packed)]
pub struct Header {
    /// [`SIGNATURE`].
    pub signature: u16,
    /// The ROM's length in [`LENGTH_UNIT`]s.
    pub length: u8,
    /// Code that the BIOS calls in real mode.
    pub bios_entry: [u8; 4],
    /// Unused.
    pub pad: u8,
    /// [`VMI_SIGNATURE`].
    pub vmi_signature: u32,
    /// Minor version.
    pub api_minor: u8,
    /// Major version: [`API_MAJOR`].
    pub api_major: u8,
    /// Number of jump slots; no guest reads it.
    pub jump_slots: u8,
    /// Reserved.
    pub reserved1: u8,
    /// The guest leaves virtual addresses from here to 4 GiB to the ROM, from before `VMI_Init` on and
    /// in all address spaces.
    pub virtual_top: u32,
    /// Reserved.
    pub reserved2: u16,
    /// Offset of the licence, a string that ends with 0.
    pub license: u16,
    /// Offset of the [`PciHeader`], or 0.
    pub pci_header: u16,
    /// Offset of the [`PnpHeader`], or 0.
    pub pnp_header: u16,
    /// Padding.
    pub pad3: u32,
    /// Reserved. Our own ROM has its [extension](super::extension) there.
    pub reserved: [u8; 96],
    /// Code, see [`INIT_OFFSET`].
    pub init: [u8; 8],
    /// Code, see [`GET_RELOCATION_OFFSET`].
    pub get_relocation: [u8; 8],
}

/// What a licence must be for Linux to use the ROM (vmi_32.c, `check_vmi_rom`).
pub const LICENSES: [&str; 2] = ["GPL", "GPL v2"];

/// The header that says which device the ROM is of (vmi.h, `struct pci_header`; PCI Firmware Specification,
/// section 5.2.1.2.)
#[derive(Clone, Copy, Debug)]
#[repr(C, packed)]
pub struct PciHeader {
    /// [`PciHeader::SIGNATURE`].
    pub signature: u32,
    /// [`PciHeader::VENDOR`]; another one deserves a warning.
    pub vendor: u16,
    /// [`PciHeader::DEVICE`].
    pub device: u16,
    /// Offset of vital product data, or 0.
    pub vital_product_data: u16,
    /// Size of this header in bytes.
    pub size: u16,
    /// Revision of this header.
    pub revision: u8,
    /// PCI class.
    pub class: u8,
    /// PCI subclass.
    pub subclass: u8,
    /// PCI programming interface.
    pub interface: u8,
    /// The ROM's length in [`LENGTH_UNIT`]s.
    pub chunks: u16,
    /// The ROM's own minor version.
    pub rom_minor: u8,
    /// The ROM's own major version.
    pub rom_major: u8,
    /// Kind of code: 0 is for PCs.
    pub code_type: u8,
    /// Bit 7: the last image.
    pub last_image: u8,
    /// Reserved.
    pub reserved: u16,
}

impl PciHeader {
    /// "PCIR".
    pub const SIGNATURE: u32 = 0x5249_4350;
    /// VMware's PCI vendor (vmi.h, `PCI_VENDOR_ID_VMWARE`).
    pub const VENDOR: u16 = 0x15AD;
    /// The VMI device (vmi.h, `PCI_DEVICE_ID_VMWARE_VMI`).
    pub const DEVICE: u16 = 0x0801;
}

/// The header by which a BIOS finds the ROM again (vmi.h, `struct pnp_header`; Plug and Play BIOS
/// Specification 1.0A, section 3.2.)
#[derive(Clone, Copy, Debug)]
#[repr(C, packed)]
pub struct PnpHeader {
    /// [`PnpHeader::SIGNATURE`].
    pub signature: u32,
    /// Revision of this header.
    pub revision: u8,
    /// Size of this header in units of 16 bytes.
    pub size: u8,
    /// Offset of the next such header, or 0.
    pub next: u16,
    /// Reserved.
    pub reserved: u8,
    /// Makes the bytes of this header add up to 0, modulo 256.
    pub checksum: u8,
    /// Identifier of the device.
    pub device: u32,
    /// Offset of the manufacturer's name, a string that ends with 0, or 0.
    pub manufacturer: u16,
    /// Offset of the product's name, a string that ends with 0, or 0.
    pub product: u16,
}

impl PnpHeader {
    /// "$PnP".
    pub const SIGNATURE: u32 = 0x506E_5024;
}

const _: () = {
    assert!(size_of::<Header>() == 0x90);
    assert!(offset_of!(Header, vmi_signature) == 0x08);
    assert!(offset_of!(Header, virtual_top) == 0x10);
    assert!(offset_of!(Header, license) == 0x16);
    assert!(offset_of!(Header, pci_header) == 0x18);
    assert!(offset_of!(Header, pnp_header) == 0x1A);
    assert!(offset_of!(Header, reserved) == 0x20);
    assert!(INIT_OFFSET == 0x80);
    assert!(GET_RELOCATION_OFFSET == 0x88);
    assert!(size_of::<PciHeader>() == 24);
    assert!(size_of::<PnpHeader>() == 18);
    assert!(offset_of!(PnpHeader, manufacturer) == 14);
    assert!(offset_of!(PnpHeader, product) == 16);
};
