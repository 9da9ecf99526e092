//! The call sites that `pvops-core` left in a linked image.
//!
//! Three things are read: the records in section `pvops_sites`, the op names in section
//! `pvops_op_names`, and the symbol `pvops_op_table`. A record is 8 bytes: the site's
//! address relative to the record (i32), the op number (u16), the site's length in bytes
//! (u8), and a zero byte.

use std::fmt;

use crate::image::{Image, Section};

/// Shortest site: a call through a slot.
pub const MIN_SITE_LENGTH: u8 = 6;
/// Longest site: the longest x86 instruction.
pub const MAX_SITE_LENGTH: u8 = 15;

const RECORD_LENGTH: usize = 8;

/// All call sites of an image, by rising address.
pub struct Sites<'data> {
    /// The sites. Never empty, and no two overlap.
    pub sites: Vec<Site<'data>>,
    /// Names `group.op` by op number. Each site's op number is in range.
    pub op_names: Vec<&'data str>,
    /// Virtual address of the op table; `None` in a stripped image.
    pub op_table: Option<u64>,
    bits: u32,
}

/// One call site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site<'data> {
    /// Virtual address.
    pub address: u64,
    /// Op number.
    pub op: u16,
    /// The instructions in the file, as long as the site is.
    pub bytes: &'data [u8],
}

/// Why the call sites of an image cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SitesError {
    /// The image has no call sites.
    None,
    /// The record section's length is no multiple of a record's; it is given in bytes.
    SectionLength(usize),
    /// The op names are missing, not terminated, or not printable ASCII.
    OpNames,
    /// A record is wrong: its virtual address, and what is wrong.
    Record(u64, RecordFault),
    /// Two sites overlap; the address of the higher one.
    Overlap(u64),
}

/// What is wrong with a call site record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordFault {
    /// The length is outside 6 to 15.
    Length(u8),
    /// The last byte is not zero.
    Reserved(u8),
    /// No op has this number.
    Op(u16),
    /// The site is not inside one executable section; its address when there is one.
    Address(Option<u64>),
}

impl<'data> Sites<'data> {
    /// Reads and checks every record of `image`.
    ///
    /// # Errors
    /// When there are no sites, or anything about them is damaged.
    pub fn read(image: &Image<'data>) -> Result<Self, SitesError> {
        if image
            .sections_named("pvops_sites")
            .all(|section| section.data.is_empty())
        {
            return Err(SitesError::None);
        }
        let op_names = read_op_names(image)?;
        let mut sites = Vec::new();
        for section in image.sections_named("pvops_sites") {
            read_records(image, section, op_names.len(), &mut sites)?;
        }
        sites.sort_by_key(|site| site.address);
        for pair in sites.windows(2) {
            if pair[1].address - pair[0].address < pair[0].bytes.len() as u64 {
                return Err(SitesError::Overlap(pair[1].address));
            }
        }
        Ok(Self {
            sites,
            op_names,
            op_table: image.symbols().address_of("pvops_op_table"),
            bits: image.bits(),
        })
    }

    /// The name of a site's op.
    pub fn op_name(&self, site: &Site<'_>) -> &'data str {
        self.op_names[usize::from(site.op)]
    }

    /// Whether `site` still is the call through its op table slot that `pvops-core` emits,
    /// padded with NOPs. `None` when the op table's address is not known.
    pub fn is_unpatched(&self, site: &Site<'_>) -> Option<bool> {
        let slot_length = u64::from(self.bits / 8);
        let slot = self
            .op_table?
            .checked_add(slot_length * u64::from(site.op))?;
        let next = site.address.wrapping_add(u64::from(MIN_SITE_LENGTH));
        let expected = match self.bits {
            64 => slot.wrapping_sub(next),
            // Absolute.
            _ => u64::from(slot as u32),
        };
        let (call, padding) = site.bytes.split_at(usize::from(MIN_SITE_LENGTH));
        let [0xff, 0x15, displacement @ ..] = call else {
            return Some(false);
        };
        let displacement = i32::from_le_bytes(displacement.try_into().ok()?);
        let found = match self.bits {
            64 => i64::from(displacement).cast_unsigned(),
            _ => u64::from(displacement.cast_unsigned()),
        };
        Some(found == expected && padding.iter().all(|&byte| byte == 0x90))
    }
}

fn read_op_names<'data>(image: &Image<'data>) -> Result<Vec<&'data str>, SitesError> {
    let section = image
        .sections_named("pvops_op_names")
        .next()
        .ok_or(SitesError::OpNames)?;
    let text = str::from_utf8(section.data).map_err(|_| SitesError::OpNames)?;
    // Zero bytes behind the last terminator are alignment.
    let end = text.trim_end_matches('\0').len();
    let terminated = text.as_bytes().get(end) == Some(&0);
    let names: Vec<_> = text[..end].split('\0').collect();
    let printable =
        |name: &&str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    if terminated && names.iter().all(printable) {
        Ok(names)
    } else {
        Err(SitesError::OpNames)
    }
}

fn read_records<'data>(
    image: &Image<'data>,
    section: &Section<'data>,
    ops: usize,
    sites: &mut Vec<Site<'data>>,
) -> Result<(), SitesError> {
    let (records, rest) = section.data.as_chunks::<RECORD_LENGTH>();
    if !rest.is_empty() {
        return Err(SitesError::SectionLength(section.data.len()));
    }
    for (index, record) in records.iter().enumerate() {
        let address = section.address.wrapping_add((index * RECORD_LENGTH) as u64);
        let site = read_record(image, record, address, ops)
            .map_err(|fault| SitesError::Record(address, fault))?;
        sites.push(site);
    }
    Ok(())
}

fn read_record<'data>(
    image: &Image<'data>,
    record: &[u8; RECORD_LENGTH],
    record_address: u64,
    ops: usize,
) -> Result<Site<'data>, RecordFault> {
    let [d0, d1, d2, d3, op0, op1, length, reserved] = *record;
    let distance = i32::from_le_bytes([d0, d1, d2, d3]);
    let op = u16::from_le_bytes([op0, op1]);
    if !(MIN_SITE_LENGTH..=MAX_SITE_LENGTH).contains(&length) {
        return Err(RecordFault::Length(length));
    }
    if reserved != 0 {
        return Err(RecordFault::Reserved(reserved));
    }
    if usize::from(op) >= ops {
        return Err(RecordFault::Op(op));
    }
    let address = record_address
        .checked_add_signed(i64::from(distance))
        .ok_or(RecordFault::Address(None))?;
    let bytes = image
        .code(address, usize::from(length))
        .ok_or(RecordFault::Address(Some(address)))?;
    Ok(Site { address, op, bytes })
}

impl fmt::Display for SitesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("links no pvops-core call sites"),
            Self::SectionLength(length) => write!(
                f,
                "has {length} bytes of call site records, which are 8 bytes each"
            ),
            Self::OpNames => f.write_str("has call sites, but no readable op names"),
            Self::Record(address, fault) => {
                write!(f, "has a bad call site record at {address:#x}: {fault}")
            }
            Self::Overlap(address) => {
                write!(f, "has overlapping call sites, the higher at {address:#x}")
            }
        }
    }
}

impl fmt::Display for RecordFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => write!(f, "site length {length} is not 6 to 15"),
            Self::Reserved(byte) => write!(f, "its last byte is {byte:#04x}, not 0"),
            Self::Op(op) => write!(f, "there is no op number {op}"),
            Self::Address(Some(address)) => {
                write!(f, "site {address:#x} is not inside executable code")
            }
            Self::Address(None) => f.write_str("its site lies outside the address space"),
        }
    }
}

impl std::error::Error for SitesError {}

#[cfg(test)]
mod tests;
