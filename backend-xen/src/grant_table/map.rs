//! Frames of other domains in this one's address space.

use core::mem::offset_of;

use super::calls::{MAP, UNMAP, call};
use super::{Access, GrantReference, GrantStatus};
use crate::domain::DomainId;
use crate::error::XenError;

/// One frame to be mapped: `struct gnttab_map_grant_ref`.
#[derive(Debug)]
#[repr(C)]
pub struct MapOperation {
    address: u64,
    flags: u32,
    reference: GrantReference,
    domain: DomainId,
    status: GrantStatus,
    handle: MapHandle,
    bus_address: u64,
}

/// What Xen calls a mapping.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(transparent)]
struct MapHandle(u32);

/// A mapping that is there.
#[derive(Debug, Eq, PartialEq)]
#[must_use = "a frame stays mapped until that is undone"]
pub struct Mapping {
    handle: MapHandle,
    address: u64,
}

impl Mapping {
    /// Where it was asked for: an address as [`MapOperation::new`] takes it.
    pub fn address(&self) -> u64 {
        self.address
    }
}

impl MapOperation {
    /// At `address`: in PVH and HVM guests the guest-physical address of a frame, whose memory is out
    /// of reach meanwhile; in PV guests a virtual address of this address space, whose page tables are
    /// there.
    ///
    /// A frame that a PVH or HVM guest grants to itself moves: it is no more where it was.
    pub fn new(address: u64, domain: DomainId, reference: GrantReference, access: Access) -> Self {
        let access = match access {
            Access::ReadOnly => READONLY,
            Access::ReadWrite => 0,
        };
        MapOperation {
            address,
            flags: HOST_MAP | access,
            reference,
            domain,
            status: GrantStatus::NOT_DONE,
            handle: MapHandle(u32::MAX),
            bus_address: 0,
        }
    }

    /// What has become of it.
    ///
    /// # Errors
    ///
    /// What Xen says; [`GrantStatus::TRY_AGAIN`] wants just that.
    pub fn result(&self) -> Result<Mapping, GrantStatus> {
        self.status.check()?;
        Ok(Mapping {
            handle: self.handle,
            address: self.address,
        })
    }
}

/// Maps frames of other domains, until [`unmap`]. Each operation has its own [result](MapOperation::result).
/// Any context.
///
/// # Errors
///
/// Xen did none of them, or not all.
///
/// # Safety
///
/// Nobody uses what is at the addresses, before or meanwhile, other than as memory that another domain
/// may change at any time: by atomics or volatile accesses.
pub unsafe fn map(operations: &mut [MapOperation]) -> Result<(), XenError> {
    // SAFETY: the structures are the command's, and of integers.
    unsafe { call(MAP, operations) }
}

/// One mapping to be undone: `struct gnttab_unmap_grant_ref`.
#[derive(Debug)]
#[repr(C)]
pub struct UnmapOperation {
    address: u64,
    bus_address: u64,
    handle: MapHandle,
    status: GrantStatus,
}

impl UnmapOperation {
    /// Of a mapping.
    pub fn new(mapping: Mapping) -> Self {
        UnmapOperation {
            address: mapping.address,
            bus_address: 0,
            handle: mapping.handle,
            status: GrantStatus::NOT_DONE,
        }
    }

    /// What has become of it.
    ///
    /// # Errors
    ///
    /// What Xen says; then the mapping is still there.
    pub fn result(&self) -> Result<(), GrantStatus> {
        self.status.check()
    }

    /// The mapping, to be tried again.
    pub fn into_mapping(self) -> Mapping {
        Mapping {
            handle: self.handle,
            address: self.address,
        }
    }
}

/// Undoes mappings. Afterwards no CPU's TLB has them. In PVH and HVM guests nothing is then at the
/// guest-physical addresses, until [`populate_physmap`](crate::memory::populate_physmap). Each operation has
/// its own [result](UnmapOperation::result). Any context.
///
/// # Errors
///
/// Xen did none of them, or not all.
///
/// # Safety
///
/// Nobody uses what is at the addresses any more.
pub unsafe fn unmap(operations: &mut [UnmapOperation]) -> Result<(), XenError> {
    // SAFETY: the structures are the command's, and of integers.
    unsafe { call(UNMAP, operations) }
}

// GNTMAP_ and the name.
const HOST_MAP: u32 = 1 << 1;
const READONLY: u32 = 1 << 2;

const _: () = {
    assert!(size_of::<MapOperation>() == 32);
    assert!(offset_of!(MapOperation, address) == 0);
    assert!(offset_of!(MapOperation, flags) == 8);
    assert!(offset_of!(MapOperation, reference) == 12);
    assert!(offset_of!(MapOperation, domain) == 16);
    assert!(offset_of!(MapOperation, status) == 18);
    assert!(offset_of!(MapOperation, handle) == 20);
    assert!(offset_of!(MapOperation, bus_address) == 24);
    assert!(size_of::<UnmapOperation>() == 24);
    assert!(offset_of!(UnmapOperation, bus_address) == 8);
    assert!(offset_of!(UnmapOperation, handle) == 16);
    assert!(offset_of!(UnmapOperation, status) == 20);
};
