//! Which ROMs a guest takes: good, malformed and several ones.

use pvops_backend_vmi::rom::{BadRom, Rom, RomError, scan};
use pvops_core::boot_info::PhysicalMemory;

const BASE: usize = 0xc_0000;
const END: usize = 0xe_0000;

/// The area of option ROMs, where nothing is.
struct Area(Vec<u8>);

impl PhysicalMemory for Area {
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        let start = (address as usize).checked_sub(BASE)?;
        self.0.get(start..start.checked_add(length)?)
    }
}

impl Area {
    fn with(roms: &[(usize, &Image)]) -> Self {
        let mut area = vec![0xff; END - BASE];
        for (address, Image(bytes)) in roms {
            let room = &mut area[address - BASE..];
            let length = bytes.len().min(room.len());
            room[..length].copy_from_slice(&bytes[..length]);
        }
        Area(area)
    }

    fn roms(&self) -> Vec<Result<Rom, BadRom>> {
        scan(self).collect()
    }
}

/// A ROM's bytes.
#[derive(Clone)]
struct Image(Vec<u8>);

impl Image {
    /// 1 KiB that a guest of API 3.0 takes, as vmi.h has it.
    fn new() -> Self {
        let mut image = Image(vec![0; 1024]);
        image.set(0x00, &[0x55, 0xaa, 2]);
        image.set(0x08, b"cVmi");
        image.set(0x0c, &[0, 3]);
        image.set(0x10, &0xfc00_0000_u32.to_le_bytes());
        image.set(0x16, &0x100_u16.to_le_bytes());
        image.set(0x18, &0x120_u16.to_le_bytes());
        image.set(0x100, b"GPL\0");
        image.set(0x120, b"PCIR\xad\x15\x01\x08");
        image.sum_up();
        image
    }

    fn set(&mut self, offset: usize, bytes: &[u8]) {
        self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn with(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.set(offset, bytes);
        self.sum_up();
        self
    }

    /// Makes the last byte what the checksum wants.
    fn sum_up(&mut self) {
        let last = self.0.len() - 1;
        self.0[last] = 0;
        let sum = self
            .0
            .iter()
            .fold(0, |sum: u8, &byte| sum.wrapping_add(byte));
        self.0[last] = sum.wrapping_neg();
    }
}

fn only(image: &Image) -> Result<Rom, RomError> {
    let found = Area::with(&[(0xc_a000, image)]).roms();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].map_err(|bad| {
        assert_eq!(bad.address, 0xc_a000);
        bad.error
    })
}

#[test]
fn a_good_rom_is_found_with_what_it_says() {
    let rom = only(&Image::new()).unwrap();
    assert_eq!((rom.address(), rom.length_bytes()), (0xc_a000, 1024));
    assert_eq!(rom.reserved_addresses(), 0xfc00_0000..0x1_0000_0000);
    assert!(rom.checksum_holds() && rom.is_of_vmware());
    assert_eq!(
        rom.to_string(),
        "VMI ROM at 0xca000: API 3.0, 1024 bytes, licence GPL, device 15ad:0801, addresses from \
         0xfc000000 on are its own"
    );
}

#[test]
fn any_minor_version_and_both_licences_are_good() {
    for minor in [1, 0x7f, 0xff] {
        only(&Image::new().with(0x0c, &[minor])).unwrap();
    }
    only(&Image::new().with(0x100, b"GPL v2\0")).unwrap();
}

#[test]
fn a_rom_that_reserves_nothing_is_good() {
    let rom = only(&Image::new().with(0x10, &[0; 4])).unwrap();
    assert!(rom.reserved_addresses().is_empty());
}

#[test]
fn roms_are_found_from_the_first_place_to_the_last() {
    let image = Image::new();
    for address in [0xc_0000, 0xc_0800, 0xd_f800] {
        let found = Area::with(&[(address, &image)]).roms();
        assert_eq!(found[0].unwrap().address() as usize, address);
    }
    // Between two places, and where the system's own ROM begins.
    assert_eq!(Area::with(&[(0xc_0400, &image)]).roms(), []);
}

#[test]
fn other_option_roms_are_passed_over() {
    let mut graphics = Image::new();
    graphics.set(0x08, b"QEMU");
    let area = Area::with(&[(0xc_0000, &graphics), (0xc_a000, &Image::new())]);
    assert_eq!(area.roms().len(), 1);
    // The signature of VMI alone is not enough.
    let mut without = Image::new();
    without.set(0, &[0x55, 0xab]);
    assert_eq!(Area::with(&[(0xc_0000, &without)]).roms(), []);
}

#[test]
fn what_a_guest_only_warns_of_is_told() {
    let mut image = Image::new();
    image.set(0x3ff, &[0x48]);
    let rom = only(&image).unwrap();
    assert!(!rom.checksum_holds());
    assert!(rom.to_string().contains("the checksum is 0x"), "{rom}");

    for foreign in [
        Image::new().with(0x124, &[0x86, 0x80]),
        Image::new().with(0x120, b"pcir"),
    ] {
        let rom = only(&foreign).unwrap();
        assert!(!rom.is_of_vmware());
        assert!(rom.to_string().contains("not VMware's"), "{rom}");
    }
}

#[test]
fn malformed_roms_are_refused_with_the_reason() {
    let word = |value: u16| value.to_le_bytes();
    for (image, error) in [
        (Image::new().with(0x0d, &[2]), RomError::Major(2)),
        (Image::new().with(0x0d, &[13]), RomError::Major(13)),
        (Image::new().with(0x02, &[0]), RomError::Length(0)),
        // Ends behind the last place.
        (
            Image::new().with(0x02, &[0xff]),
            RomError::Length(0xff * 512),
        ),
        (Image::new().with(0x18, &word(0)), RomError::NoPciHeader),
        // One byte of it is outside.
        (
            Image::new().with(0x18, &word(1024 - 23)),
            RomError::PciHeaderOutside(1024 - 23),
        ),
        (
            Image::new().with(0x18, &word(0xffff)),
            RomError::PciHeaderOutside(0xffff),
        ),
        (
            Image::new().with(0x16, &word(1024)),
            RomError::LicenseOutside(1024),
        ),
        (
            Image::new().with(0x16, &word(0xffff)),
            RomError::LicenseOutside(0xffff),
        ),
        (Image::new().with(0x100, b"MIT\0"), RomError::License),
        (Image::new().with(0x100, b"GPL v3\0"), RomError::License),
        (Image::new().with(0x100, b"\0"), RomError::License),
    ] {
        let place = if error == RomError::Length(0xff * 512) {
            0xd_0000
        } else {
            0xc_a000
        };
        let found = Area::with(&[(place, &image)]).roms();
        let address = place as u32;
        assert_eq!(found, [Err(BadRom { address, error })]);
        let line = BadRom { address, error }.to_string();
        assert!(line.contains("is not used: it"), "{line}");
    }
}

#[test]
fn a_licence_that_does_not_end_is_refused() {
    let mut image = Image::new();
    image.set(0x16, &1021_u16.to_le_bytes());
    image.set(1021, b"GPL");
    assert_eq!(only(&image), Err(RomError::LicenseOutside(1021)));
}

#[test]
fn of_several_roms_the_first_good_one_is_taken() {
    let wrong = Image::new().with(0x0d, &[13]);
    let area = Area::with(&[
        (0xc_0000, &wrong),
        (0xc_8000, &Image::new()),
        (0xd_0000, &Image::new().with(0x0c, &[9])),
    ]);
    let found = area.roms();
    assert_eq!(found.len(), 3);
    assert_eq!(found[0].unwrap_err().error, RomError::Major(13));
    let first = found.iter().flatten().next().unwrap();
    assert_eq!(first.address(), 0xc_8000);
}

#[test]
fn memory_that_can_not_be_read_is_no_rom() {
    let mut area = Area::with(&[(0xd_f800, &Image::new())]);
    area.0.truncate(0xd_f800 - BASE + 0x90);
    assert_eq!(area.roms()[0].unwrap_err().error, RomError::Unreadable);
    area.0.pop();
    assert_eq!(area.roms(), []);
}

#[test]
fn no_single_byte_makes_the_scan_do_worse_than_refuse() {
    for offset in 0..Image::new().0.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut image = Image::new();
            image.set(offset, &[value]);
            for rom in Area::with(&[(0xc_a000, &image)])
                .roms()
                .into_iter()
                .flatten()
            {
                assert!(rom.address() as usize + rom.length_bytes() <= END);
            }
        }
    }
}
