//! Bytes copied by Xen from frame to frame, without a mapping.

use core::mem::offset_of;

use super::calls::{COPY, call};
use super::{GrantReference, GrantStatus};
use crate::domain::DomainId;
use crate::error::XenError;
use crate::memory::FrameNumber;
use crate::word::{Word, by_word_size};

/// Where bytes come from or go to: `struct gnttab_copy_ptr`, and what it leads to.
#[derive(Clone, Copy, Debug)]
pub struct CopyEnd {
    pointer: Pointer,
    is_grant: bool,
}

impl CopyEnd {
    /// At `offset` bytes into a frame of this domain, as Xen numbers its frames:
    /// [`FrameNumber::at_physical`].
    pub fn own(frame: FrameNumber, offset: u16) -> Self {
        CopyEnd {
            pointer: Pointer {
                place: frame.0,
                domain: DomainId::SELF,
                offset,
            },
            is_grant: false,
        }
    }

    /// At `offset` bytes into a frame that another domain grants to this one.
    pub fn granted(domain: DomainId, reference: GrantReference, offset: u16) -> Self {
        CopyEnd {
            pointer: Pointer {
                place: reference.0.into(),
                domain,
                offset,
            },
            is_grant: true,
        }
    }
}

/// Some bytes to be copied: `struct gnttab_copy`.
#[derive(Debug)]
#[repr(C)]
pub struct CopyOperation {
    source: Pointer,
    destination: Pointer,
    length: u16,
    flags: u16,
    status: GrantStatus,
}

impl CopyOperation {
    /// To be copied: `length` bytes, which cross the end of neither frame.
    pub fn new(source: CopyEnd, destination: CopyEnd, length: u16) -> Self {
        let mut flags = 0;
        if source.is_grant {
            flags |= SOURCE_IS_GRANT;
        }
        if destination.is_grant {
            flags |= DESTINATION_IS_GRANT;
        }
        CopyOperation {
            source: source.pointer,
            destination: destination.pointer,
            length,
            flags,
            status: GrantStatus::NOT_DONE,
        }
    }

    /// What has become of it.
    ///
    /// # Errors
    ///
    /// What Xen says; [`GrantStatus::TRY_AGAIN`] wants just that.
    pub fn result(&self) -> Result<(), GrantStatus> {
        self.status.check()
    }
}

/// Copies bytes. Each operation has its own [result](CopyOperation::result). Any context.
///
/// # Errors
///
/// Xen did none of them, or not all.
///
/// # Safety
///
/// Where bytes go to a frame of this domain, nobody else uses them meanwhile.
pub unsafe fn copy(operations: &mut [CopyOperation]) -> Result<(), XenError> {
    // SAFETY: the structures are the command's, and of integers.
    unsafe { call(COPY, operations) }
}

/// `struct gnttab_copy_ptr`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Pointer {
    /// A grant reference, in the low half, or a frame's number.
    place: Word,
    domain: DomainId,
    offset: u16,
}

/// GNTCOPY_source_gref.
const SOURCE_IS_GRANT: u16 = 1 << 0;
/// GNTCOPY_dest_gref.
const DESTINATION_IS_GRANT: u16 = 1 << 1;

const _: () = {
    assert!(size_of::<Pointer>() == by_word_size(16, 8));
    assert!(offset_of!(Pointer, domain) == by_word_size(8, 4));
    assert!(offset_of!(Pointer, offset) == by_word_size(10, 6));
    assert!(size_of::<CopyOperation>() == by_word_size(40, 24));
    assert!(offset_of!(CopyOperation, destination) == by_word_size(16, 8));
    assert!(offset_of!(CopyOperation, length) == by_word_size(32, 16));
    assert!(offset_of!(CopyOperation, flags) == by_word_size(34, 18));
    assert!(offset_of!(CopyOperation, status) == by_word_size(36, 20));
};
