//! Which sites a transaction changes, and whether it may.

use core::ops::Range;
use core::ptr;

use super::{BATCH_SITES, Change, LiveError};
use crate::arch::encode::{self, INDIRECT_CALL, MAX_SITE};
use crate::binding::{ErasedBinding, Outcome};
use crate::install;
use crate::patch::{self, PatchError};
use crate::site::SiteRecord;

/// Checks every op and every site. Writes nothing.
///
/// # Safety
///
/// The records must lead to sites that this CPU may read.
pub(super) unsafe fn validate(
    sites: &[&[SiteRecord]],
    changes: &[Change],
) -> Result<(), LiveError> {
    for (index, change) in changes.iter().enumerate() {
        let op = change.op();
        if changes[..index].iter().any(|earlier| earlier.op() == op) {
            return Err(LiveError::Repeated { op });
        }
        if install::binding(op).is_none() {
            return Err(LiveError::NotInstalled);
        }
    }
    for (record, change) in sites.iter().flat_map(|sites| changed(sites, changes)) {
        let Some(old) = install::binding(record.op()) else {
            return Err(LiveError::NotInstalled);
        };
        // SAFETY: the caller vouches for the record.
        unsafe { validate_site(record, &old, change.binding())? };
    }
    Ok(())
}

/// # Safety
///
/// The record must lead to a site that this CPU may read.
unsafe fn validate_site(
    record: &SiteRecord,
    old: &ErasedBinding,
    new: &ErasedBinding,
) -> Result<(), LiveError> {
    let (site, op) = (record.address(), record.op());
    let (mut old_bytes, mut new_bytes) = ([0; MAX_SITE], [0; MAX_SITE]);
    let (old_bytes, old_outcome) = patch::content(record, Some(old), &mut old_bytes)?;
    let (new_bytes, new_outcome) = patch::content(record, Some(new), &mut new_bytes)?;
    // SAFETY: the caller vouches for the record, and its length has been found good.
    let found = unsafe { patch::current(record) };
    if found != old_bytes {
        let mut bytes = [0; MAX_SITE];
        bytes[..found.len()].copy_from_slice(found);
        return Err(LiveError::NotAsBound {
            site,
            op,
            bytes,
            length: found.len(),
        });
    }
    if old_bytes == new_bytes {
        return Ok(());
    }
    let length = record.length();
    let (Some(old_end), Some(new_end)) = (
        first_instruction(old, old_outcome, length),
        first_instruction(new, new_outcome, length),
    ) else {
        return Err(LiveError::SeveralInstructions { site, op });
    };
    if old_end != new_end || old_bytes[old_end..] != new_bytes[old_end..] {
        let offset = old_end.min(new_end);
        return Err(LiveError::ReturnInside { site, op, offset });
    }
    Ok(())
}

/// Where the first instruction of a site ends, with nothing but NOPs behind it; `None` if it is one
/// of several that mean something.
fn first_instruction(binding: &ErasedBinding, outcome: Outcome, length: usize) -> Option<usize> {
    match outcome {
        Outcome::Call => Some(INDIRECT_CALL),
        Outcome::Nop => Some(encode::first_nop_length(length)),
        Outcome::Jump | Outcome::Trap => Some(length),
        Outcome::Inline => binding
            .template()
            .filter(|template| template.is_single_instruction())
            .map(|template| encode::padded_length(&template, length)),
    }
}

/// The sites of the ops that change, each with its change.
fn changed<'a>(
    sites: &'a [SiteRecord],
    changes: &'a [Change],
) -> impl Iterator<Item = (&'a SiteRecord, &'a Change)> {
    sites
        .iter()
        .filter_map(|record| Some((record, change_of(record, changes)?)))
}

#[inline(never)]
fn change_of<'a>(record: &SiteRecord, changes: &'a [Change]) -> Option<&'a Change> {
    changes.iter().find(|change| change.op() == record.op())
}

/// The same, of sites that were found good, ready to be written.
pub(super) fn planned<'a>(
    sites: &'a [SiteRecord],
    changes: &'a [Change],
) -> impl Iterator<Item = Planned<'a>> {
    changed(sites, changes).map(|(record, change)| {
        let mut planned = Planned {
            record,
            binding: change.binding(),
            old_first: 0,
        };
        // SAFETY: the site was found good.
        planned.old_first = unsafe { planned.read(0) };
        planned
    })
}

/// A site that is about to change.
#[derive(Clone, Copy)]
pub(super) struct Planned<'a> {
    record: &'a SiteRecord,
    binding: &'a ErasedBinding,
    /// The first byte before the change.
    pub(super) old_first: u8,
}

impl Planned<'_> {
    /// What the site is to hold.
    pub(super) fn content<'a>(&self, buffer: &'a mut [u8; MAX_SITE]) -> &'a [u8] {
        match patch::content(self.record, Some(self.binding), buffer) {
            Ok((content, _)) => content,
            // It was found good.
            Err(_) => unreachable!(),
        }
    }

    pub(super) fn address(&self) -> usize {
        self.record.address()
    }

    pub(super) fn end(&self) -> usize {
        self.record.address() + self.record.length()
    }

    /// The function that does what the new content does.
    pub(super) fn target(&self) -> usize {
        self.binding.target()
    }

    /// # Safety
    ///
    /// The site can be read.
    pub(super) unsafe fn read(&self, offset: usize) -> u8 {
        let site = ptr::with_exposed_provenance::<u8>(self.record.address());
        // SAFETY: the caller vouches for the site.
        unsafe { site.add(offset).read_volatile() }
    }

    /// # Safety
    ///
    /// The site can be written at the distance `alias`.
    pub(super) unsafe fn write(&self, alias: isize, offset: usize, byte: u8) {
        let site = ptr::with_exposed_provenance_mut::<u8>(self.record.address());
        // SAFETY: the caller vouches for the alias.
        unsafe { site.wrapping_offset(alias).add(offset).write_volatile(byte) };
    }

    /// Whether the site holds what it is to hold.
    ///
    /// # Safety
    ///
    /// The site can be read.
    pub(super) unsafe fn is_done(&self) -> bool {
        let mut buffer = [0; MAX_SITE];
        let new = self.content(&mut buffer);
        // SAFETY: the caller vouches for the site.
        (0..new.len()).all(|offset| unsafe { self.read(offset) } == new[offset])
    }

    pub(super) fn not_written(&self) -> PatchError {
        PatchError::NotWritten {
            site: self.record.address(),
            op: self.record.op(),
        }
    }
}

/// Sites that change together.
pub(super) struct Batch<'a> {
    sites: [Option<Planned<'a>>; BATCH_SITES],
    length: usize,
}

impl<'a> Batch<'a> {
    pub(super) fn new() -> Self {
        Batch {
            sites: [None; BATCH_SITES],
            length: 0,
        }
    }

    /// Adds a site to a batch that is not full, and says whether it is now.
    pub(super) fn push(&mut self, site: Planned<'a>) -> bool {
        self.sites[self.length] = Some(site);
        self.length += 1;
        self.length == BATCH_SITES
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Planned<'a>> {
        self.sites.iter().flatten()
    }

    /// The span of text that holds all sites.
    pub(super) fn range(&self) -> Option<Range<usize>> {
        let start = self.iter().map(Planned::address).min()?;
        Some(start..self.iter().map(Planned::end).max()?)
    }
}
