//! One grant, as Xen reads it. Xen's public/grant_table.h; the steps are those of its opening comment.

use core::mem::offset_of;
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

use super::{Access, Error};
use crate::domain::DomainId;
use crate::memory::FrameNumber;
use pvops_core::atomic64;

/// `struct grant_entry_v1`.
#[repr(C)]
pub(super) struct EntryV1 {
    flags: AtomicU16,
    domain: AtomicU16,
    frame: AtomicU32,
}

/// `union grant_entry_v2`, its form `full_page`.
#[repr(C)]
pub(super) struct EntryV2 {
    flags: AtomicU16,
    domain: AtomicU16,
    reserved: AtomicU32,
    frame: AtomicU64,
}

const _: () = {
    assert!(size_of::<EntryV1>() == 8);
    assert!(offset_of!(EntryV1, flags) == 0);
    assert!(offset_of!(EntryV1, domain) == 2);
    assert!(offset_of!(EntryV1, frame) == 4);
    assert!(size_of::<EntryV2>() == 16);
    assert!(offset_of!(EntryV2, flags) == 0);
    assert!(offset_of!(EntryV2, domain) == 2);
    assert!(offset_of!(EntryV2, frame) == 8);
};

/// An entry in whichever form, with its status word where that is elsewhere.
pub(super) enum Entry<'table> {
    V1(&'table EntryV1),
    V2(&'table EntryV2, &'table AtomicU16),
}

// GTF_ and the name.
const PERMIT_ACCESS: u16 = 1;
const READONLY: u16 = 1 << 2;
/// Xen sets these while a domain has the frame mapped, or copies it.
const READING: u16 = 1 << 3;
const WRITING: u16 = 1 << 4;

/// Xen changes the flags when a domain maps and unmaps the frame. One that does nothing else is in
/// use.
const ATTEMPTS: usize = 16;

impl Entry<'_> {
    /// Makes a free entry a grant.
    pub(super) fn grant(
        &self,
        domain: DomainId,
        frame: FrameNumber,
        access: Access,
    ) -> Result<(), Error> {
        let flags = match access {
            Access::ReadOnly => PERMIT_ACCESS | READONLY,
            Access::ReadWrite => PERMIT_ACCESS,
        };
        match self {
            Entry::V1(entry) => {
                let frame = u32::try_from(frame.0).map_err(|_| Error::FrameTooLarge)?;
                entry.domain.store(domain.0, Ordering::Relaxed);
                entry.frame.store(frame, Ordering::Relaxed);
                // Release: who sees the flags sees the rest.
                entry.flags.store(flags, Ordering::Release);
            }
            Entry::V2(entry, _) => {
                entry.domain.store(domain.0, Ordering::Relaxed);
                atomic64::store(&entry.frame, frame.0 as u64, Ordering::Relaxed);
                entry.flags.store(flags, Ordering::Release);
            }
        }
        Ok(())
    }

    /// Whether nobody uses the frame now, and can't any more.
    pub(super) fn end(&self) -> bool {
        match self {
            Entry::V1(entry) => (0..ATTEMPTS).any(|_| {
                let flags = entry.flags.load(Ordering::Relaxed);
                // Acquire: what the other domain has written is seen afterwards.
                flags & (READING | WRITING) == 0
                    && entry
                        .flags
                        .compare_exchange(flags, 0, Ordering::AcqRel, Ordering::Relaxed)
                        .is_ok()
            }),
            Entry::V2(entry, _) => {
                entry.flags.store(0, Ordering::Relaxed);
                // Xen sets the status and then looks at the flags again; we do the reverse, so one of
                // the two sees the other.
                fence(Ordering::SeqCst);
                !self.is_in_use()
            }
        }
    }

    /// Whether the other domain has the frame mapped, or copies it.
    pub(super) fn is_in_use(&self) -> bool {
        let status = match self {
            Entry::V1(entry) => &entry.flags,
            Entry::V2(_, status) => status,
        };
        status.load(Ordering::Acquire) & (READING | WRITING) != 0
    }
}

#[cfg(test)]
mod tests {
    use memoffset::span_of;

    use super::*;

    #[test]
    fn both_forms_begin_with_the_same_header() {
        assert_eq!(span_of!(EntryV1, flags..=domain), 0..4);
        assert_eq!(span_of!(EntryV2, flags..=domain), 0..4);
        assert_eq!(span_of!(EntryV1, frame..), 4..8);
        assert_eq!(span_of!(EntryV2, frame..), 8..16);
    }
}
