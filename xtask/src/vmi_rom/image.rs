//! The ROM's bytes: from the linked file, with lengths and checksums filled in.

use std::mem::{offset_of, size_of};

use anyhow::{Context, bail, ensure};
use object::read::elf::ElfFile32;
use object::{LittleEndian, Object, ObjectSection, ObjectSymbol};
use pvops_backend_vmi::abi::call;
use pvops_backend_vmi::abi::header::{ALIGNMENT, Header, LENGTH_UNIT, PciHeader, PnpHeader};

const SECTION: &str = ".rom";
/// The symbols of the fields of [`Rom`].
const TABLE: &str = "call_entries";
const POST_SUM: &str = "post_sum";
/// Bytes of a line of that table.
const ENTRY_BYTES: usize = 8;
const MAX_BYTES: usize = 32 * 1024;
/// Of the whole, in a byte that no header uses.
const CHECKSUM: usize = offset_of!(Header, pad);
/// Length of the PnP header in the ROM, in bytes.
const PNP_BYTES: usize = 32;

/// A ROM whose bytes add up to 0.
#[derive(Clone)]
pub(super) struct Rom {
    bytes: Vec<u8>,
    /// Offset of the table of calls.
    table: usize,
    /// Offset of the instruction of POST that clears the sum of all bytes, before it mends the checksum.
    post_sum: usize,
    /// Bytes that mean something.
    used: usize,
}

impl Rom {
    pub(super) fn from_elf(file: &[u8]) -> anyhow::Result<Self> {
        let elf = ElfFile32::<LittleEndian>::parse(file)?;
        let section = elf.section_by_name(SECTION).context("no section .rom")?;
        ensure!(section.address() == 0, "the ROM is not linked at 0");
        let mut bytes = section.data()?.to_vec();
        let used = bytes.len();
        // A BIOS puts the next ROM behind it at a multiple of this.
        bytes.resize(used.next_multiple_of(ALIGNMENT as usize), 0);
        if bytes.len() > MAX_BYTES {
            bail!("{used} bytes, more than {MAX_BYTES}");
        }
        let address_of = |name| {
            let symbol = elf.symbols().find(|symbol| symbol.name() == Ok(name));
            let symbol = symbol.with_context(|| format!("no symbol {name}"))?;
            anyhow::Ok(symbol.address() as usize)
        };
        let (table, post_sum) = (address_of(TABLE)?, address_of(POST_SUM)?);
        ensure!(
            table + call::COUNT as usize * ENTRY_BYTES <= used,
            "the table of calls is outside"
        );
        let mut rom = Self {
            bytes,
            table,
            post_sum,
            used,
        };
        rom.fill_in()?;
        rom.seal();
        Ok(rom)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn description(&self) -> String {
        format!(
            "{} bytes, of which {} are used",
            self.bytes.len(),
            self.used
        )
    }

    fn fill_in(&mut self) -> anyhow::Result<()> {
        let units = self.bytes.len() / LENGTH_UNIT;
        self.put(offset_of!(Header, length), &[units.try_into()?]);
        let pci = self.word(offset_of!(Header, pci_header));
        let chunks = u16::try_from(units)?.to_le_bytes();
        self.put(pci + offset_of!(PciHeader, chunks), &chunks);
        let pnp = self.word(offset_of!(Header, pnp_header));
        let header = self.bytes.get(pnp..pnp + PNP_BYTES);
        let sum = sum(header.context("the PnP header is outside")?);
        self.put(pnp + offset_of!(PnpHeader, checksum), &[sum.wrapping_neg()]);
        Ok(())
    }

    /// Makes the bytes add up to 0.
    pub(super) fn seal(&mut self) {
        let checksum = self.bytes[CHECKSUM].wrapping_sub(sum(&self.bytes));
        self.bytes[CHECKSUM] = checksum;
    }

    /// Overwrites bytes at an offset in the ROM.
    pub(super) fn put(&mut self, offset: usize, bytes: &[u8]) {
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// Where POST begins to sum up all bytes: `xor bx, bx`.
    pub(super) fn post_sum(&self) -> usize {
        self.post_sum
    }

    /// Where the table says how far away the call's code is; its kind is in the byte 4 further on.
    pub(super) fn entry(&self, call: call::Call) -> usize {
        self.table + call.0 as usize * ENTRY_BYTES
    }

    fn word(&self, offset: usize) -> usize {
        u16::from_le_bytes([self.bytes[offset], self.bytes[offset + 1]]).into()
    }
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

const _: () = assert!(size_of::<PnpHeader>() <= PNP_BYTES);

#[cfg(test)]
impl Rom {
    /// As large as a ROM can be, with headers and table but without code: calls are reached by CALL.
    pub(super) fn example() -> Self {
        let mut rom = Self {
            bytes: vec![0; MAX_BYTES],
            table: 0x200,
            post_sum: 0x100,
            used: 0x600,
        };
        for number in 0..call::COUNT {
            rom.put(rom.entry(call::Call(number)) + 4, &[1]);
        }
        rom.put(offset_of!(Header, pci_header), &[0xA0, 0]);
        rom.put(offset_of!(Header, pnp_header), &[0xC0, 0]);
        rom.fill_in().unwrap();
        rom.seal();
        rom
    }

    pub(super) fn sum(&self) -> u8 {
        sum(&self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_checksums_are_filled_in() {
        let rom = Rom::example();
        assert_eq!(rom.bytes[offset_of!(Header, length)], 64);
        assert_eq!(rom.word(0xA0 + offset_of!(PciHeader, chunks)), 64);
        assert_eq!(sum(&rom.bytes[0xC0..0xC0 + PNP_BYTES]), 0);
        assert_eq!(rom.sum(), 0);
    }
}
