//! Where the call sites of this image are.

use crate::op::OpNumber;
use crate::section::records;

/// One call site, as the site itself recorded it in the section `pvops_sites`. Eight bytes.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct SiteRecord {
    /// From this field's own address to the site.
    distance: i32,
    op: u16,
    length: u8,
    reserved: u8,
}

const _: () = assert!(size_of::<SiteRecord>() == 8);

impl SiteRecord {
    /// A record, to be stored `distance` bytes before the site of an op; for code that is generated
    /// or loaded at run time.
    pub const fn new(distance: i32, op: OpNumber, length: u8) -> Self {
        SiteRecord {
            distance,
            op: op.0,
            length,
            reserved: 0,
        }
    }

    /// Address of the site's first byte; right only where the record was stored to begin with.
    pub fn address(&self) -> usize {
        (&raw const self.distance)
            .addr()
            .wrapping_add_signed(self.distance as isize)
    }

    /// The op that is called.
    pub fn op(&self) -> OpNumber {
        OpNumber(self.op)
    }

    /// The site's length in bytes.
    pub fn length(&self) -> usize {
        usize::from(self.length)
    }
}

/// The records of all call sites that are linked into this image.
pub fn image_sites() -> &'static [SiteRecord] {
    records!("pvops_sites", SiteRecord)
}
