//! What Xen is told of grant tables as a whole.

use core::mem::offset_of;

use super::{Error, GrantStatus, Version};
use crate::domain::DomainId;
use crate::error::XenError;
use crate::hypercall::{HypercallNumber, hypercall};
use crate::memory::FrameNumber;
use crate::word::{Word, by_word_size};

/// How large a grant table is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Size {
    /// Frames that it has.
    pub frames: u32,
    /// Frames that Xen allows it.
    pub max_frames: u32,
}

/// The version in effect for this domain. Any context.
///
/// # Errors
///
/// Xen has one version only, the first, and no such call.
pub fn get_version() -> Result<Version, XenError> {
    let mut query = GetVersion {
        domain: DomainId::SELF,
        reserved: 0,
        version: Version(0),
    };
    // SAFETY: the structure is the command's, and of integers.
    unsafe { call(GET_VERSION, core::slice::from_mut(&mut query))? };
    Ok(query.version)
}

/// Chooses a version, and says which is in effect then. The toolstack's grants are kept. Any context.
///
/// # Errors
///
/// [`XenError::BUSY`] while there are other grants; Xen does not have the version.
///
/// # Safety
///
/// There is no [`GrantTable`](super::GrantTable), or the domain has moved and the table
/// [goes on](super::GrantTable::resume) after this.
pub unsafe fn set_version(version: Version) -> Result<Version, XenError> {
    let mut version = [version];
    // SAFETY: the structure is the command's, and of integers; nobody uses the table, as the caller
    // vouches.
    unsafe { call(SET_VERSION, &mut version)? };
    Ok(version[0])
}

/// How large this domain's table is, and may become. Any context.
///
/// # Errors
///
/// Xen refuses.
pub fn size() -> Result<Size, Error> {
    let mut query = QuerySize {
        domain: DomainId::SELF,
        frames: 0,
        max_frames: 0,
        status: GrantStatus::NOT_DONE,
    };
    // SAFETY: the structure is the command's, and of integers.
    unsafe { call(QUERY_SIZE, core::slice::from_mut(&mut query))? };
    query.status.check()?;
    Ok(Size {
        frames: query.frames,
        max_frames: query.max_frames,
    })
}

/// Makes the table as large as `frames`, and tells the number of each of its frames. PV guests map
/// these; in other guests the numbers mean nothing. For kernels with [`TableFrames`](super::TableFrames) of
/// their own. Any context.
///
/// # Errors
///
/// Xen refuses.
pub fn setup_table(frames: &mut [FrameNumber]) -> Result<(), Error> {
    let mut setup = SetupTable {
        domain: DomainId::SELF,
        frame_count: frames.len() as u32,
        status: GrantStatus::NOT_DONE,
        frames: address(frames),
    };
    // SAFETY: the structure is the command's; Xen writes as many integers to `frames` as there are.
    unsafe { call(SETUP_TABLE, core::slice::from_mut(&mut setup))? };
    Ok(setup.status.check()?)
}

/// Tells the numbers of the first frames of status words, as [`setup_table`] does of entries. Of a table
/// that is large enough, with [`Version::V2`]. In 64-bit code only, where the numbers are as long as those
/// that Xen writes here. Any context.
///
/// # Errors
///
/// Xen refuses.
#[cfg(target_pointer_width = "64")]
pub fn setup_status_frames(frames: &mut [FrameNumber]) -> Result<(), Error> {
    let mut setup = GetStatusFrames {
        frame_count: frames.len() as u32,
        domain: DomainId::SELF,
        status: GrantStatus::NOT_DONE,
        frames: address(frames),
    };
    // SAFETY: as for `setup_table`.
    unsafe { call(GET_STATUS_FRAMES, core::slice::from_mut(&mut setup))? };
    Ok(setup.status.check()?)
}

/// GNTTABOP_ and the name.
#[derive(Clone, Copy)]
pub(super) struct Command(u64);

pub(super) const MAP: Command = Command(0);
pub(super) const UNMAP: Command = Command(1);
const SETUP_TABLE: Command = Command(2);
pub(super) const COPY: Command = Command(5);
const QUERY_SIZE: Command = Command(6);
const SET_VERSION: Command = Command(8);
#[cfg(target_pointer_width = "64")]
const GET_STATUS_FRAMES: Command = Command(9);
const GET_VERSION: Command = Command(10);

/// Calls Xen with as many structures of a command as one likes.
///
/// # Safety
///
/// As for [`hypercall`]; the structures are the command's, and any content that Xen writes to them is
/// valid.
pub(super) unsafe fn call<T>(command: Command, structures: &mut [T]) -> Result<(), XenError> {
    let arguments = [
        command.0,
        address(structures) as u64,
        structures.len() as u64,
    ];
    // SAFETY: as the caller vouches.
    unsafe { hypercall(HypercallNumber::GRANT_TABLE_OP, arguments)? };
    Ok(())
}

fn address<T>(structures: &mut [T]) -> Word {
    structures.as_mut_ptr().expose_provenance() as Word
}

/// `struct gnttab_get_version`.
#[repr(C)]
struct GetVersion {
    domain: DomainId,
    reserved: u16,
    version: Version,
}

/// `struct gnttab_query_size`.
#[repr(C)]
struct QuerySize {
    domain: DomainId,
    frames: u32,
    max_frames: u32,
    status: GrantStatus,
}

/// `struct gnttab_setup_table`.
#[repr(C)]
struct SetupTable {
    domain: DomainId,
    frame_count: u32,
    status: GrantStatus,
    frames: Word,
}

/// `struct gnttab_get_status_frames`.
#[cfg(target_pointer_width = "64")]
#[repr(C)]
struct GetStatusFrames {
    frame_count: u32,
    domain: DomainId,
    status: GrantStatus,
    frames: u64,
}

const _: () = {
    assert!(size_of::<GetVersion>() == 8);
    assert!(offset_of!(GetVersion, version) == 4);
    assert!(size_of::<QuerySize>() == 16);
    assert!(offset_of!(QuerySize, frames) == 4);
    assert!(offset_of!(QuerySize, max_frames) == 8);
    assert!(offset_of!(QuerySize, status) == 12);
    assert!(size_of::<SetupTable>() == by_word_size(24, 16));
    assert!(offset_of!(SetupTable, frame_count) == 4);
    assert!(offset_of!(SetupTable, status) == 8);
    assert!(offset_of!(SetupTable, frames) == by_word_size(16, 12));
};

#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<GetStatusFrames>() == 16);
    assert!(offset_of!(GetStatusFrames, domain) == 4);
    assert!(offset_of!(GetStatusFrames, status) == 6);
    assert!(offset_of!(GetStatusFrames, frames) == 8);
};
