//! ROMs with one thing wrong, made from the good one: a guest has to refuse them, or what they say.

use std::mem::offset_of;

use anyhow::bail;
use pvops_backend_vmi::abi::call::Call;
use pvops_backend_vmi::abi::header::{Header, INIT_OFFSET, SIGNATURE};

use super::image::Rom;

/// One way to be malformed.
pub(crate) struct Malformed {
    pub(crate) name: &'static str,
    /// What is wrong.
    pub(crate) meaning: &'static str,
    damage: fn(&mut Rom),
    /// Whether the BIOS takes it: its bytes add up to 0.
    sealed: bool,
}

/// Every way.
pub(crate) static ALL: &[Malformed] = &[
    // A BIOS drops a ROM with a wrong sum, so POST spoils it: mov bl, 1.
    wrong(
        "bad-checksum",
        "after POST, its bytes do not add up to 0",
        |rom| {
            rom.put(rom.post_sum(), &[0xB3, 1]);
        },
    ),
    Malformed {
        sealed: false,
        ..wrong("no-length", "its length is 0", |rom| {
            rom.put(offset_of!(Header, length), &[0]);
        })
    },
    wrong("long", "its length is more than there is", |rom| {
        rom.put(offset_of!(Header, length), &[0xFF]);
    }),
    wrong("bad-vmi-signature", "it is another option ROM", |rom| {
        rom.put(offset_of!(Header, vmi_signature), b"cVmj");
    }),
    wrong("major-13", "its major version is 13", |rom| {
        rom.put(offset_of!(Header, api_major), &[13]);
    }),
    wrong("license-outside", "its licence is behind its end", |rom| {
        rom.put(offset_of!(Header, license), &[0xF0, 0xFF]);
    }),
    wrong("no-pci-header", "it has no PCI header", |rom| {
        rom.put(offset_of!(Header, pci_header), &[0, 0]);
    }),
    wrong("relocation-outside", "RDTSC is far outside it", |rom| {
        rom.put(rom.entry(Call::RDTSC), &0x0800_0000_u32.to_le_bytes());
    }),
    wrong(
        "relocation-kind",
        "RDTSC's relocation is of kind 9",
        |rom| {
            rom.put(rom.entry(Call::RDTSC) + 4, &[9]);
        },
    ),
    wrong("no-iret", "it has neither IRET nor SYSEXIT", |rom| {
        rom.put(rom.entry(Call::IRET) + 4, &[0]);
        rom.put(rom.entry(Call::SYSEXIT) + 4, &[0]);
    }),
    // mov eax, 1; ret
    wrong("init-fails", "VMI_Init fails", |rom| {
        rom.put(INIT_OFFSET, &[0xB8, 1, 0, 0, 0, 0xC3]);
    }),
];

const fn wrong(name: &'static str, meaning: &'static str, damage: fn(&mut Rom)) -> Malformed {
    Malformed {
        name,
        meaning,
        damage,
        sealed: true,
    }
}

impl Malformed {
    /// The good ROM with the damage.
    pub(super) fn make(&self, good: &Rom) -> anyhow::Result<Rom> {
        if !good.bytes().starts_with(&SIGNATURE.to_le_bytes()) {
            bail!("no ROM to damage");
        }
        let mut rom = good.clone();
        (self.damage)(&mut rom);
        if self.sealed {
            rom.seal();
        }
        Ok(rom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_differs_and_only_some_have_a_wrong_sum() {
        let mut good = Rom::example();
        good.put(0, &SIGNATURE.to_le_bytes());
        good.seal();
        for malformed in ALL {
            let rom = malformed.make(&good).unwrap();
            assert_ne!(rom.bytes(), good.bytes(), "{}", malformed.name);
            assert_eq!(rom.sum() == 0, malformed.sealed, "{}", malformed.name);
        }
    }
}
