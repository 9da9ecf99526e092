//! Reading sites from the sample, and from the sample with every kind of damage.

use super::*;
use crate::privileged;
use crate::sample::{RECORDS_ADDRESS, Sample, TEXT_ADDRESS};

fn error(sample: &Sample) -> SitesError {
    let elf = sample.build();
    let image = Image::parse(&elf).unwrap();
    Sites::read(&image).err().expect("must be refused")
}

#[test]
fn sites_are_read_with_their_ops() {
    let elf = Sample::new().build();
    let image = Image::parse(&elf).unwrap();
    let sites = Sites::read(&image).unwrap();
    assert_eq!(sites.op_names, ["irq.disable", "cpu.write_msr"]);
    let found: Vec<_> = sites
        .sites
        .iter()
        .map(|site| (site.address, sites.op_name(site), site.bytes.len()))
        .collect();
    assert_eq!(
        found,
        [
            (TEXT_ADDRESS, "irq.disable", 6),
            (TEXT_ADDRESS + 7, "cpu.write_msr", 8)
        ]
    );
    for site in &sites.sites {
        assert_eq!(sites.is_unpatched(site), Some(true));
    }
}

#[test]
fn changed_site_bytes_are_noticed() {
    for byte in (0..6).chain(7..15) {
        let mut sample = Sample::new();
        sample.text[byte] ^= 1;
        let elf = sample.build();
        let image = Image::parse(&elf).unwrap();
        let sites = Sites::read(&image).unwrap();
        let changed: Vec<_> = sites
            .sites
            .iter()
            .map(|site| sites.is_unpatched(site) == Some(false))
            .collect();
        assert_eq!(changed, [byte < 6, byte >= 7], "byte {byte}");
    }
}

#[test]
fn an_image_without_sites_says_so() {
    let mut sample = Sample::new();
    sample.records.clear();
    assert_eq!(error(&sample), SitesError::None);
    assert_eq!(error(&sample).to_string(), "links no pvops-core call sites");
}

#[test]
fn each_bound_of_a_record_is_checked() {
    let text_end = TEXT_ADDRESS + Sample::new().text.len() as u64;
    let cases = [
        (TEXT_ADDRESS, 0, 5, RecordFault::Length(5)),
        (TEXT_ADDRESS, 0, 16, RecordFault::Length(16)),
        (TEXT_ADDRESS, 2, 6, RecordFault::Op(2)),
        (
            TEXT_ADDRESS - 1,
            0,
            6,
            RecordFault::Address(Some(TEXT_ADDRESS - 1)),
        ),
        (text_end - 5, 0, 6, RecordFault::Address(Some(text_end - 5))),
        (
            RECORDS_ADDRESS,
            0,
            6,
            RecordFault::Address(Some(RECORDS_ADDRESS)),
        ),
    ];
    for (site, op, length, fault) in cases {
        let mut sample = Sample::new();
        sample.push_record(site, op, length);
        assert_eq!(
            error(&sample),
            SitesError::Record(RECORDS_ADDRESS + 16, fault)
        );
    }
}

#[test]
fn reserved_byte_section_length_and_overlap_are_checked() {
    let mut sample = Sample::new();
    sample.records[7] = 9;
    assert_eq!(
        error(&sample),
        SitesError::Record(RECORDS_ADDRESS, RecordFault::Reserved(9))
    );

    let mut sample = Sample::new();
    sample.records.push(0);
    assert_eq!(error(&sample), SitesError::SectionLength(17));

    let mut sample = Sample::new();
    sample.push_record(TEXT_ADDRESS + 5, 0, 6);
    assert_eq!(error(&sample), SitesError::Overlap(TEXT_ADDRESS + 5));
}

#[test]
fn op_names_must_be_terminated_printable_ascii() {
    for names in [
        &b""[..],
        b"\0",
        b"irq.disable",
        b"irq.disable\0\0cpu.cpuid\0",
        b"irq\n\0",
        b"\xff\0",
    ] {
        let mut sample = Sample::new();
        sample.op_names = names.to_vec();
        assert_eq!(error(&sample), SitesError::OpNames, "{names:?}");
    }
    let mut padded = Sample::new();
    padded.op_names.extend([0; 6]);
    let elf = padded.build();
    let image = Image::parse(&elf).unwrap();
    assert_eq!(Sites::read(&image).unwrap().op_names.len(), 2);
}

/// Everything that reads a file, on a file that may be damaged.
fn read_all(file: &[u8]) -> bool {
    let Ok(image) = Image::parse(file) else {
        return false;
    };
    privileged::instructions(&image);
    let Ok(sites) = Sites::read(&image) else {
        return false;
    };
    for site in &sites.sites {
        sites.op_name(site);
        sites.is_unpatched(site);
        image.symbols().place(site.address);
    }
    true
}

#[test]
fn truncated_files_are_refused() {
    let elf = Sample::new().build();
    assert!(read_all(&elf));
    for length in 0..elf.len() {
        assert!(!read_all(&elf[..length]), "{length} bytes");
    }
}

#[test]
fn no_changed_byte_causes_a_panic() {
    let elf = Sample::new().build();
    let mut refused = 0;
    for index in 0..elf.len() {
        for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
            let mut damaged = elf.clone();
            damaged[index] = value;
            refused += u32::from(!read_all(&damaged));
        }
    }
    assert!(refused > 0);
}
