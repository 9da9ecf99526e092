//! Patching: every call site becomes what the backend wants there.
//!
//! All sites are verified before the first byte is written. A site that is not the call that the
//! compiler put there is an error that names it, and then nothing at all has changed.

use core::fmt;
use core::ops::Range;
use core::ptr;
use core::slice;

use crate::arch::encode::{self, INDIRECT_CALL, MAX_SITE};
use crate::binding::{ErasedBinding, Outcome};
use crate::kernel::Kernel;
use crate::op::OpNumber;
use crate::ops::Bindings;
use crate::site::SiteRecord;
use crate::table::OpTable;

/// Patches call sites that have never been patched, those of an image or of a module just loaded, and
/// says how many became what.
///
/// # Errors
///
/// The first site that can't be patched. Nothing was written, unless it is
/// [`PatchError::NotWritten`].
///
/// # Safety
///
/// The records must lead to sites that this CPU may read, no other CPU may be able to run one of
/// the sites, and interrupts that could must be off. The table must hold the functions of
/// `bindings`.
pub unsafe fn patch(
    kernel: &dyn Kernel,
    sites: &[SiteRecord],
    bindings: &Bindings,
) -> Result<Counts, PatchError> {
    // SAFETY: the caller keeps the conditions, and the sites are verified before they are written.
    unsafe {
        let counts = verify(sites, bindings)?;
        write(kernel, sites, bindings)?;
        Ok(counts)
    }
}

/// Writes sites that [`verify`] has found good.
///
/// # Errors
///
/// The first site that does not hold what was written.
///
/// # Safety
///
/// As for [`patch`].
pub(crate) unsafe fn write(
    kernel: &dyn Kernel,
    sites: &[SiteRecord],
    bindings: &Bindings,
) -> Result<(), PatchError> {
    let Some(range) = range(sites) else {
        return Ok(());
    };
    let bindings = bindings.as_slice();
    // Nobody may ever call the closure.
    let mut result = sites
        .first()
        .map_or(Ok(()), |record| Err(not_written(record)));
    let mut write = |alias: isize| {
        result = sites.iter().try_for_each(|record| {
            let binding = bindings.get(usize::from(record.op().0));
            let mut buffer = [0; MAX_SITE];
            let (new, _) = content(record, binding, &mut buffer)?;
            let site = ptr::with_exposed_provenance_mut::<u8>(record.address());
            for (offset, &byte) in new.iter().enumerate() {
                // SAFETY: the caller vouches for the records, and the kernel has just said that
                // their range can be written at this distance.
                unsafe { site.wrapping_offset(alias).add(offset).write_volatile(byte) };
            }
            // SAFETY: the caller vouches for the record.
            if new == unsafe { current(record) } {
                Ok(())
            } else {
                Err(not_written(record))
            }
        });
    };
    // SAFETY: the caller vouches that nobody runs the sites meanwhile.
    unsafe { kernel.with_writable_text(range, &mut write) };
    result
}

fn not_written(record: &SiteRecord) -> PatchError {
    PatchError::NotWritten {
        site: record.address(),
        op: record.op(),
    }
}

/// Checks that all sites can be patched, and counts what they would become. Writes nothing.
///
/// # Errors
///
/// The first site that can't be patched.
///
/// # Safety
///
/// The records must lead to sites that this CPU may read.
pub unsafe fn verify(sites: &[SiteRecord], bindings: &Bindings) -> Result<Counts, PatchError> {
    let mut counts = Counts::default();
    for record in sites {
        let (site, op) = (record.address(), record.op());
        let binding = bindings.as_slice().get(usize::from(op.0));
        let (_, outcome) = checked(record, binding)?;
        // SAFETY: the caller vouches for the record, and its length has been found good.
        let found = unsafe { current(record) };
        if encode::indirect_call_slot(site, found) != Some(OpTable::get().slot(op)) {
            let mut bytes = [0; MAX_SITE];
            bytes[..found.len()].copy_from_slice(found);
            return Err(PatchError::NotACallSite {
                site,
                op,
                bytes,
                length: found.len(),
            });
        }
        counts.add(outcome);
    }
    Ok(counts)
}

/// What a site holds under a binding of its op, if there is such an op, built in `buffer`.
pub(crate) fn content<'a>(
    record: &SiteRecord,
    binding: Option<&ErasedBinding>,
    buffer: &'a mut [u8; MAX_SITE],
) -> Result<(&'a [u8], Outcome), PatchError> {
    let (binding, outcome) = checked(record, binding)?;
    let new = &mut buffer[..record.length()];
    fill(
        outcome,
        binding,
        record.address(),
        binding.destination(),
        new,
    );
    Ok((new, outcome))
}

/// What becomes of a site under a binding of its op, if there is such an op.
fn checked<'a>(
    record: &SiteRecord,
    binding: Option<&'a ErasedBinding>,
) -> Result<(&'a ErasedBinding, Outcome), PatchError> {
    let (site, op, length) = (record.address(), record.op(), record.length());
    if !(INDIRECT_CALL..=MAX_SITE).contains(&length) {
        return Err(PatchError::BadLength { site, op, length });
    }
    let binding = binding.ok_or(PatchError::UnknownOp { site, op })?;
    let target = binding.destination();
    match outcome(binding, site, target, length) {
        Some(outcome) => Ok((binding, outcome)),
        None => Err(PatchError::OutOfRange { site, op, target }),
    }
}

/// Fills `out`, which is as long as a site, with what patching puts there: for tools that look at
/// the sites of another image.
///
/// The site is at the address `site`, and the [destination](ErasedBinding::destination) of `binding`
/// at `target` in the site's image. `None` if no site has this length, or if a direct call or jump
/// does not reach that far.
pub fn preview(
    binding: &ErasedBinding,
    site: usize,
    target: usize,
    out: &mut [u8],
) -> Option<Outcome> {
    if !(INDIRECT_CALL..=MAX_SITE).contains(&out.len()) {
        return None;
    }
    let outcome = outcome(binding, site, target, out.len())?;
    fill(outcome, binding, site, target, out);
    Some(outcome)
}

/// A template that is longer than the site is called; a call or jump must reach its target.
fn outcome(binding: &ErasedBinding, site: usize, target: usize, length: usize) -> Option<Outcome> {
    let outcome = match (binding.outcome(), binding.template()) {
        (Outcome::Inline, Some(template)) if template.len() <= length => Outcome::Inline,
        (Outcome::Inline, _) => Outcome::Call,
        (outcome, _) => outcome,
    };
    let is_branch = matches!(outcome, Outcome::Call | Outcome::Jump);
    let reaches = !is_branch || distance(outcome, site, target).is_some();
    reaches.then_some(outcome)
}

/// What a direct jump or call at a site has for its rel32.
fn distance(outcome: Outcome, site: usize, target: usize) -> Option<i32> {
    match outcome {
        Outcome::Jump => encode::jump_distance(site, target),
        _ => encode::call_distance(site, target),
    }
}

/// Fills a site for an [`outcome`] of its binding.
fn fill(outcome: Outcome, binding: &ErasedBinding, site: usize, target: usize, out: &mut [u8]) {
    match (outcome, binding.template(), distance(outcome, site, target)) {
        (Outcome::Inline, Some(template), _) => {
            template.copy_to(encode::room(&template, out));
        }
        (Outcome::Call, _, Some(distance)) => encode::call(distance, out),
        (Outcome::Jump, _, Some(distance)) => encode::jump(distance, out),
        (Outcome::Nop, ..) => encode::nops(out),
        _ => encode::trap(out),
    }
}

/// The bytes of a site.
///
/// # Safety
///
/// The record leads to a site that this CPU may read, and has its length.
pub(crate) unsafe fn current(record: &SiteRecord) -> &[u8] {
    let site = ptr::with_exposed_provenance::<u8>(record.address());
    // SAFETY: the caller vouches for the site.
    unsafe { slice::from_raw_parts(site, record.length()) }
}

/// The span of text that holds all sites.
fn range(sites: &[SiteRecord]) -> Option<Range<usize>> {
    sites
        .iter()
        .map(|record| record.address()..record.address() + record.length())
        .reduce(|all, site| all.start.min(site.start)..all.end.max(site.end))
}

/// How many sites became what.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Sites with a template.
    pub inline: usize,
    /// Sites with a direct call.
    pub call: usize,
    /// Sites with a direct jump.
    pub jump: usize,
    /// Sites with NOPs only.
    pub nop: usize,
    /// Sites that trap.
    pub trap: usize,
}

impl Counts {
    /// All sites.
    pub fn total(&self) -> usize {
        self.inline + self.call + self.jump + self.nop + self.trap
    }

    fn add(&mut self, outcome: Outcome) {
        let count = match outcome {
            Outcome::Inline => &mut self.inline,
            Outcome::Call => &mut self.call,
            Outcome::Jump => &mut self.jump,
            Outcome::Nop => &mut self.nop,
            Outcome::Trap => &mut self.trap,
        };
        *count += 1;
    }
}

/// Why sites were not patched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PatchError {
    /// The bytes at a site are not the call through the op's slot: the site is damaged, or was
    /// patched before.
    NotACallSite {
        /// Address of the site.
        site: usize,
        /// The op of its record.
        op: OpNumber,
        /// What is there, in the first `length` bytes.
        bytes: [u8; MAX_SITE],
        /// The site's length.
        length: usize,
    },
    /// A record with a length that no site has.
    BadLength {
        /// Address of the site.
        site: usize,
        /// The op of its record.
        op: OpNumber,
        /// The length.
        length: usize,
    },
    /// A record with an op that this library does not know.
    UnknownOp {
        /// Address of the site.
        site: usize,
        /// The op of its record.
        op: OpNumber,
    },
    /// What the site is to call or to jump to is more than 2 GiB away.
    OutOfRange {
        /// Address of the site.
        site: usize,
        /// The op of its record.
        op: OpNumber,
        /// Address of that.
        target: usize,
    },
    /// The kernel said that text can be written, but a site does not hold what was written.
    NotWritten {
        /// Address of the site.
        site: usize,
        /// The op of its record.
        op: OpNumber,
    },
}

impl PatchError {
    /// Address of the site that the error is about.
    pub fn site(&self) -> usize {
        match *self {
            PatchError::NotACallSite { site, .. }
            | PatchError::BadLength { site, .. }
            | PatchError::UnknownOp { site, .. }
            | PatchError::OutOfRange { site, .. }
            | PatchError::NotWritten { site, .. } => site,
        }
    }
}

impl fmt::Display for PatchError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            PatchError::NotACallSite {
                site,
                op,
                ref bytes,
                length,
            } => {
                let bytes = &bytes[..length];
                write!(
                    formatter,
                    "call site {site:#x} of {op} holds {bytes:02x?}, not its call"
                )
            }
            PatchError::BadLength { site, op, length } => {
                write!(
                    formatter,
                    "call site {site:#x} of {op} is recorded with {length} bytes"
                )
            }
            PatchError::UnknownOp { site, op } => {
                write!(
                    formatter,
                    "call site {site:#x} is recorded for {op}, which does not exist"
                )
            }
            PatchError::OutOfRange { site, op, target } => {
                write!(
                    formatter,
                    "call site {site:#x} of {op} can't reach {target:#x}"
                )
            }
            PatchError::NotWritten { site, op } => {
                write!(
                    formatter,
                    "call site {site:#x} of {op} did not take what was written"
                )
            }
        }
    }
}

impl core::error::Error for PatchError {}
