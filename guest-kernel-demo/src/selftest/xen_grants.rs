//! What a domain does with the grants of others, done with its own: Xen takes dom0 for any other.

use core::slice;
use core::sync::atomic::{AtomicU64, Ordering};

use pvops_backend_xen::grant_table::{
    Access, CopyEnd, CopyOperation, EndError, GrantReference, GrantStatus, MapOperation,
    UnmapOperation, Version, copy, map, set_version, unmap,
};
use pvops_backend_xen::memory::populate_physmap;
use pvops_backend_xen::{DomainId, Features, features, hvm};

use super::Outcome;
use super::xen_domain::{Table, new_table, number, refused};
use crate::frames;
use crate::layout::{PAGE, SCRATCH};
use crate::paging;
use crate::tables::Flags;
use crate::text::{Text, ensure, text};

/// Another domain would have to ask for its number.
pub(super) fn not_dom0() -> Option<Text> {
    let is_dom0 = features().is_ok_and(|features| features.contains(Features::DOM0));
    (!is_dom0).then(|| text!("not dom0, whose number is known"))
}

/// In a table of each version: words copied from a granted frame and to it, and the frame mapped.
pub(super) fn of_this_domain() -> Outcome {
    for version in [Version::V1, Version::V2] {
        // SAFETY: dom0 has no other table, and the one of the first round is gone.
        let chosen = unsafe { set_version(version) }.map_err(refused)?;
        ensure!(chosen == version, "{chosen:?} instead of {version:?}");
        // SAFETY: as above.
        let mut table = unsafe { new_table(version)? };
        granted(&mut table).map_err(|text| text!("{version:?}: {text}"))?;
    }
    Ok(text!("of both versions copied, mapped, unmapped"))
}

fn granted(table: &mut Table) -> Result<(), Text> {
    let granted = Frame::new()?;
    // SAFETY: nothing else is in the frame, which is accessed by atomics only.
    let reference = unsafe { table.grant(OWNER, number(granted.physical)?, Access::ReadWrite) }
        .map_err(|error| text!("granting: {error}"))?;
    copied(&granted, reference)?;
    mapped(table, &granted, reference)?;
    table
        .end(reference)
        .map_err(|error| text!("ending: {error}"))?;
    ensure!(
        table.end(reference) == Err(EndError::NotGranted),
        "it ends twice"
    );
    Ok(())
}

const OWNER: DomainId = DomainId::DOM0;

struct Frame {
    physical: u64,
    words: &'static [AtomicU64; 512],
}

impl Frame {
    fn new() -> Result<Self, Text> {
        let (physical, page) = frames::allocate().ok_or_else(|| text!("no memory"))?;
        // SAFETY: a whole frame, nobody else's, and for good; zeroes are good.
        let words = unsafe { page.cast().as_ref() };
        Ok(Frame { physical, words })
    }

    fn get(&self, index: usize) -> u64 {
        self.words[index].load(Ordering::Acquire)
    }

    fn set(&self, index: usize, value: u64) {
        self.words[index].store(value, Ordering::Release);
    }
}

/// Word 1 of the granted frame to word 2 of another, word 3 of that to word 4; and what can't be copied.
fn copied(granted: &Frame, reference: GrantReference) -> Result<(), Text> {
    let own = Frame::new()?;
    let number = number(own.physical)?;
    granted.set(1, 0x1111);
    own.set(3, 0x3333);
    let of_grant = |word: u16| CopyEnd::granted(OWNER, reference, word * 8);
    let of_own = |word: u16| CopyEnd::own(number, word * 8);
    let nobody = CopyEnd::granted(OWNER, GrantReference(u32::MAX), 0);
    let mut operations = [
        CopyOperation::new(of_grant(1), of_own(2), 8),
        CopyOperation::new(of_own(3), of_grant(4), 8),
        CopyOperation::new(of_grant(511), of_own(5), 9),
        CopyOperation::new(nobody, of_own(5), 8),
    ];
    ensure!(
        operations[0].result() == Err(GrantStatus::NOT_DONE),
        "done before it is asked for"
    );
    // SAFETY: nobody else uses the frames.
    unsafe { copy(&mut operations) }.map_err(refused)?;
    let results = operations.map(|operation| operation.result());
    ensure!(
        results
            == [
                Ok(()),
                Ok(()),
                Err(GrantStatus::BAD_COPY_ARGUMENT),
                Err(GrantStatus::BAD_REFERENCE)
            ],
        "{results:?}"
    );
    let found = [own.get(2), granted.get(4), own.get(5)];
    ensure!(found == [0x1111, 0x3333, 0], "{found:#x?}");
    Ok(())
}

/// The granted frame where another was: at its address in PV guests, else in its place among the guest's
/// frames.
fn mapped(table: &mut Table, granted: &Frame, reference: GrantReference) -> Result<(), Text> {
    const AT: usize = SCRATCH.start + 64 * PAGE;
    let mut place = Frame::new()?;
    place.set(1, 0x2222);
    let address = match is_pv() {
        true => {
            paging::map(AT, place.physical, Flags::DATA)
                .map_err(|_| text!("no memory for a table"))?;
            // SAFETY: what is mapped there is a frame of ours, and accessed by atomics only.
            place.words = unsafe { &*(AT as *const [AtomicU64; 512]) };
            AT as u64
        }
        false => place.physical,
    };
    let mut operation = MapOperation::new(address, OWNER, reference, Access::ReadWrite);
    // SAFETY: nobody else uses the place, which is accessed by atomics only.
    unsafe { map(slice::from_mut(&mut operation)) }.map_err(refused)?;
    let mapping = operation
        .result()
        .map_err(|error| text!("mapping: {error}"))?;
    let at = mapping.address();
    place.set(5, 0x5555);
    let found = [place.get(1), place.get(5)];
    let (is_in_use, end) = (table.is_in_use(reference), table.end(reference));
    let mut operation = UnmapOperation::new(mapping);
    // SAFETY: nobody uses the place any more.
    unsafe { unmap(slice::from_mut(&mut operation)) }.map_err(refused)?;
    operation
        .result()
        .map_err(|error| text!("unmapping: {error}"))?;
    ensure!(
        at == address && found == [0x1111, 0x5555],
        "{at:#x}: {found:#x?}"
    );
    ensure!(
        is_in_use && end == Err(EndError::StillInUse),
        "in use: {is_in_use}, {end:?}"
    );
    match is_pv() {
        true => ensure!(
            granted.get(5) == 0x5555 && paging::unmap(AT).is_none(),
            "it is still there, or what was written is not"
        ),
        false => fill([granted, &place])?,
    }
    Ok(())
}

/// Gives frames memory again: Xen has a frame of this guest's own in one place only, so that the granted one
/// went where it was mapped.
fn fill(frames: [&Frame; 2]) -> Result<(), Text> {
    for frame in frames {
        // SAFETY: nothing is there now.
        let count = unsafe { populate_physmap(&mut [number(frame.physical)?], 0) };
        frame.set(1, 0x6666);
        ensure!(
            count == Ok(1) && frame.get(1) == 0x6666,
            "no memory comes back: {count:?}"
        );
    }
    Ok(())
}

fn is_pv() -> bool {
    hvm::callback().is_none()
}
