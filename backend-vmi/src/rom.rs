//! Finding the ROM: what an option ROM must have to be one that speaks VMI 3.0.
//!
//! The rules are those of Linux (vmi_32.c, `probe_vmi_rom` and `check_vmi_rom`), and where Linux reads
//! what is not there, an error.

use core::fmt;
use core::mem::offset_of;
use core::ops::Range;

use pvops_core::boot_info::PhysicalMemory;

use crate::abi::header::{
    ALIGNMENT, API_MAJOR, Header, LENGTH_UNIT, LICENSES, PciHeader, SEARCHED, SIGNATURE,
    VMI_SIGNATURE,
};

/// Looks at every place where a ROM can be, lowest address first, and gives those that say they speak
/// VMI: ROMs that can be used, and why others cannot. Other option ROMs are passed over.
///
/// There may be several, for guests of other versions; a guest takes the first that is good, as
/// Linux does.
pub fn scan<M: PhysicalMemory + ?Sized>(
    memory: &M,
) -> impl Iterator<Item = Result<Rom, BadRom>> + '_ {
    let places = SEARCHED.step_by(ALIGNMENT as usize);
    places.filter_map(move |address| {
        let header = memory.bytes(address.into(), size_of::<Header>())?;
        let is_candidate = u16_at(header, offset_of!(Header, signature)) == Some(SIGNATURE)
            && u32_at(header, offset_of!(Header, vmi_signature)) == Some(VMI_SIGNATURE);
        is_candidate
            .then(|| Rom::read(memory, address, header).map_err(|error| BadRom { address, error }))
    })
}

/// A ROM that speaks VMI 3.0.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rom {
    address: u32,
    length: usize,
    api_minor: u8,
    virtual_top: u32,
    license: &'static str,
    pci: PciIdentity,
    sum: u8,
}

/// What the ROM's PCI header says it belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct PciIdentity {
    is_signed: bool,
    vendor: u16,
    device: u16,
}

impl Rom {
    /// Physical address of its first byte.
    pub fn address(&self) -> u32 {
        self.address
    }

    /// Its length in bytes.
    pub fn length_bytes(&self) -> usize {
        self.length
    }

    /// Virtual addresses that the kernel leaves to the ROM in all address spaces, from before it is
    /// started on: up to 4 GiB. Empty if the ROM wants none.
    pub fn reserved_addresses(&self) -> Range<u64> {
        const END: u64 = 1 << 32;
        match self.virtual_top {
            0 => END..END,
            top => top.into()..END,
        }
    }

    /// Whether its bytes add up to 0, modulo 256. A ROM need not: one that has changed itself does
    /// not any more.
    pub fn checksum_holds(&self) -> bool {
        self.sum == 0
    }

    /// Whether its PCI header is VMware's. A ROM need not have that one.
    pub fn is_of_vmware(&self) -> bool {
        self.pci.is_signed
            && (self.pci.vendor, self.pci.device) == (PciHeader::VENDOR, PciHeader::DEVICE)
    }

    fn read<M: PhysicalMemory + ?Sized>(
        memory: &M,
        address: u32,
        header: &[u8],
    ) -> Result<Self, RomError> {
        let field = |offset| u16_at(header, offset).ok_or(RomError::Unreadable);
        let byte = |offset| header.get(offset).copied().ok_or(RomError::Unreadable);
        let major = byte(offset_of!(Header, api_major))?;
        if major != API_MAJOR {
            return Err(RomError::Major(major));
        }
        let length = usize::from(byte(offset_of!(Header, length))?) * LENGTH_UNIT;
        if length < size_of::<Header>() || length > (SEARCHED.end - address) as usize {
            return Err(RomError::Length(length));
        }
        let rom = memory
            .bytes(address.into(), length)
            .ok_or(RomError::Unreadable)?;
        let pci = PciIdentity::read(rom, field(offset_of!(Header, pci_header))?)?;
        Ok(Rom {
            address,
            length,
            api_minor: byte(offset_of!(Header, api_minor))?,
            virtual_top: u32_at(header, offset_of!(Header, virtual_top))
                .ok_or(RomError::Unreadable)?,
            license: license(rom, field(offset_of!(Header, license))?)?,
            pci,
            sum: rom.iter().fold(0, |sum, &byte| sum.wrapping_add(byte)),
        })
    }
}

impl PciIdentity {
    fn read(rom: &[u8], offset: u16) -> Result<Self, RomError> {
        if offset == 0 {
            return Err(RomError::NoPciHeader);
        }
        let outside = RomError::PciHeaderOutside(offset);
        let header = rom.get(offset.into()..).ok_or(outside)?;
        if header.len() < size_of::<PciHeader>() {
            return Err(outside);
        }
        Ok(PciIdentity {
            is_signed: u32_at(header, offset_of!(PciHeader, signature))
                == Some(PciHeader::SIGNATURE),
            vendor: u16_at(header, offset_of!(PciHeader, vendor)).ok_or(outside)?,
            device: u16_at(header, offset_of!(PciHeader, device)).ok_or(outside)?,
        })
    }
}

/// The licence at `offset`, if it is one that a guest accepts.
fn license(rom: &[u8], offset: u16) -> Result<&'static str, RomError> {
    let text = rom
        .get(offset.into()..)
        .and_then(|rest| {
            rest.split(|&byte| byte == 0)
                .next()
                .filter(|text| text.len() < rest.len())
        })
        .ok_or(RomError::LicenseOutside(offset))?;
    let accepted = LICENSES.iter().find(|accepted| accepted.as_bytes() == text);
    accepted.copied().ok_or(RomError::License)
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    let bytes = bytes.get(offset..)?.first_chunk()?;
    Some(u16::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let bytes = bytes.get(offset..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

impl fmt::Display for Rom {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "VMI ROM at {:#x}: API {API_MAJOR}.{}, {} bytes, licence {}, device {:04x}:{:04x}",
            self.address,
            self.api_minor,
            self.length,
            self.license,
            self.pci.vendor,
            self.pci.device,
        )?;
        if self.virtual_top != 0 {
            write!(
                formatter,
                ", addresses from {:#x} on are its own",
                self.virtual_top
            )?;
        }
        if !self.is_of_vmware() {
            formatter.write_str(", not VMware's PCI header")?;
        }
        if !self.checksum_holds() {
            write!(formatter, ", the checksum is {:#x} and not 0", self.sum)?;
        }
        Ok(())
    }
}

/// A ROM that says it speaks VMI, and can't be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BadRom {
    /// Physical address of its first byte.
    pub address: u32,
    /// Why not.
    pub error: RomError,
}

/// Why a ROM can't be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RomError {
    /// The memory behind its header can't be read.
    Unreadable,
    /// It speaks another major version of the API, which is another interface.
    Major(u8),
    /// This many bytes do not hold the header, or do not end where ROMs end.
    Length(usize),
    /// It has no PCI header, so it may be anything.
    NoPciHeader,
    /// The PCI header at this offset is not in the ROM.
    PciHeaderOutside(u16),
    /// The licence at this offset is not in the ROM, or does not end there.
    LicenseOutside(u16),
    /// The licence is not the GPL.
    License,
}

impl fmt::Display for BadRom {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "VMI ROM at {:#x} is not used: {}",
            self.address, self.error
        )
    }
}

impl fmt::Display for RomError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            RomError::Unreadable => formatter.write_str("its memory can't be read"),
            RomError::Major(major) => {
                write!(
                    formatter,
                    "it speaks API {major}, and this guest API {API_MAJOR}"
                )
            }
            RomError::Length(length) => write!(formatter, "its length of {length} bytes can't be"),
            RomError::NoPciHeader => formatter.write_str("it has no PCI header"),
            RomError::PciHeaderOutside(offset) => {
                write!(formatter, "its PCI header at {offset:#x} is not in the ROM")
            }
            RomError::LicenseOutside(offset) => {
                write!(formatter, "its licence at {offset:#x} is not in the ROM")
            }
            RomError::License => formatter.write_str("its licence is not the GPL"),
        }
    }
}

impl core::error::Error for BadRom {}
impl core::error::Error for RomError {}
