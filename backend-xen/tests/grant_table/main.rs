//! Grant tables of both versions against a model of Xen and of a peer.

mod xen;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use pvops_backend_xen::grant_table::{
    Access, EndError, Error, GrantReference, GrantTable, TableFrame, TableMemory, Version,
};
use pvops_backend_xen::memory::FrameNumber;
use pvops_backend_xen::{DomainId, Word, XenError};

use xen::{Frames, Table};

const VERSIONS: [Version; 2] = [Version::V1, Version::V2];
const PEER: DomainId = DomainId(7);

/// The memory of a table, and Xen's side of it.
struct Lab {
    links: Vec<u32>,
    frames: Vec<Option<&'static TableFrame>>,
    status_frames: Vec<Option<&'static TableFrame>>,
    xen: Rc<RefCell<Table>>,
    version: Version,
}

impl Lab {
    /// Of a version, with memory for so many references and frames, of which Xen allows so many.
    fn new(version: Version, references: usize, frames: usize, max_frames: usize) -> Self {
        Lab {
            links: vec![0x5555_5555; references],
            frames: vec![None; frames],
            status_frames: vec![None; frames.div_ceil(8)],
            xen: Table::new(version, max_frames),
            version,
        }
    }

    fn table(&mut self) -> GrantTable<'_, Frames> {
        let memory = TableMemory {
            links: &mut self.links,
            frames: &mut self.frames,
            status_frames: &mut self.status_frames,
        };
        // SAFETY: it is the only one.
        unsafe { GrantTable::new(self.version, memory, Frames(self.xen.clone())) }.unwrap()
    }
}

fn grant(
    table: &mut GrantTable<'_, Frames>,
    frame: u64,
    access: Access,
) -> Result<GrantReference, Error> {
    // SAFETY: no memory is behind the frame.
    unsafe { table.grant(PEER, FrameNumber(frame as Word), access) }
}

#[test]
fn an_entry_says_what_was_granted() {
    for version in VERSIONS {
        let mut lab = Lab::new(version, 64, 1, 1);
        let xen = lab.xen.clone();
        let mut table = lab.table();
        for (access, flags) in [(Access::ReadWrite, 1), (Access::ReadOnly, 5)] {
            let reference = grant(&mut table, 0x8765_4321, access).unwrap();
            assert!(reference.0 >= 8, "the first eight are the toolstack's");
            let entry = xen.borrow().entry(reference.0);
            assert_eq!(entry.flags(), flags);
            assert_eq!(entry.domain(), 7);
            assert_eq!(entry.frame(), 0x8765_4321);
        }
    }
}

/// In 32-bit code the number of a frame has 32 bits.
#[cfg(target_pointer_width = "64")]
#[test]
fn a_frame_beyond_32_bits_needs_version_2() {
    let wide = 1 << 32;
    let mut lab = Lab::new(Version::V1, 64, 1, 1);
    let mut table = lab.table();
    let refusal = grant(&mut table, wide, Access::ReadOnly);
    assert_eq!(refusal, Err(Error::FrameTooLarge));

    let mut lab = Lab::new(Version::V2, 64, 1, 1);
    let xen = lab.xen.clone();
    let mut table = lab.table();
    let reference = grant(&mut table, wide, Access::ReadOnly).unwrap();
    assert_eq!(xen.borrow().entry(reference.0).frame(), wide);
}

#[test]
fn a_grant_in_use_does_not_end_and_is_not_given_anew() {
    for version in VERSIONS {
        let mut lab = Lab::new(version, 9, 1, 1);
        let xen = lab.xen.clone();
        let mut table = lab.table();
        let reference = grant(&mut table, 5, Access::ReadWrite).unwrap();
        let entry = xen.borrow().entry(reference.0);
        for to_write in [false, true] {
            assert!(!table.is_in_use(reference));
            assert!(entry.map(to_write));
            assert!(table.is_in_use(reference));
            for _ in 0..3 {
                assert_eq!(table.end(reference), Err(EndError::StillInUse));
            }
            let refusal = grant(&mut table, 6, Access::ReadWrite);
            assert_eq!(refusal, Err(Error::NoReferences));
            assert_eq!(entry.frame(), 5);
            entry.unmap();
            if version == Version::V2 {
                assert!(!entry.map(false), "it is taken back already");
                break;
            }
        }
        assert_eq!(table.end(reference), Ok(()));
        assert!(!entry.map(false));
        assert_eq!(table.end(reference), Err(EndError::NotGranted));
        assert_eq!(grant(&mut table, 6, Access::ReadWrite), Ok(reference));
    }
}

#[test]
fn what_was_not_granted_does_not_end() {
    for version in VERSIONS {
        let mut lab = Lab::new(version, 64, 1, 1);
        let mut table = lab.table();
        grant(&mut table, 1, Access::ReadWrite).unwrap();
        for reference in [0, 1, 7, 9, 63, 64, 511, 512, u32::MAX] {
            let end = table.end(GrantReference(reference));
            assert_eq!(end, Err(EndError::NotGranted), "{reference}");
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "thousands of grants")]
fn a_table_grows_as_far_as_memory_and_xen_allow() {
    for version in VERSIONS {
        let per_frame = if version == Version::V1 { 512 } else { 256 };
        for (references, frames, max_frames, expected, error) in [
            (10_000, 10, 10, 10 * per_frame, Error::NoReferences),
            (10_000, 10, 2, 2 * per_frame, Error::Xen(XenError::INVALID)),
            (700, 10, 10, 700, Error::NoReferences),
            (8, 10, 10, 8, Error::NoReferences),
            (0, 10, 10, 8, Error::NoReferences),
            (10_000, 0, 10, 8, Error::NoReferences),
        ] {
            let mut lab = Lab::new(version, references, frames, max_frames);
            let xen = lab.xen.clone();
            let mut table = lab.table();
            let mut granted = 0;
            let refusal = loop {
                match grant(&mut table, granted, Access::ReadWrite) {
                    Ok(reference) => {
                        assert_eq!(xen.borrow().entry(reference.0).frame(), granted);
                        granted += 1;
                    }
                    Err(error) => break error,
                }
            };
            assert_eq!(refusal, error);
            assert_eq!(granted + 8, expected);
            let (entries, status) = xen.borrow().frames();
            if version == Version::V2 {
                assert_eq!(status, entries.div_ceil(8));
            }
            // One that ends can be given again.
            if granted > 0 {
                table.end(GrantReference(8)).unwrap();
                assert_eq!(
                    grant(&mut table, 0, Access::ReadOnly),
                    Ok(GrantReference(8))
                );
            }
        }
    }
}

#[test]
fn an_unknown_version_is_refused() {
    for version in [0, 3, u32::MAX] {
        let mut lab = Lab::new(Version::V1, 64, 1, 1);
        let memory = TableMemory {
            links: &mut lab.links,
            frames: &mut lab.frames,
            status_frames: &mut lab.status_frames,
        };
        // SAFETY: it is the only one.
        let table = unsafe { GrantTable::new(Version(version), memory, Frames(lab.xen.clone())) };
        assert_eq!(table.err(), Some(Error::UnknownVersion));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Grant(u32, bool),
    End(prop::sample::Index),
    Map(prop::sample::Index, bool),
    Unmap(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>();
    prop_oneof![
        4 => (any::<u32>(), any::<bool>()).prop_map(|(frame, write)| Step::Grant(frame, write)),
        2 => index.prop_map(Step::End),
        2 => (any::<prop::sample::Index>(), any::<bool>())
            .prop_map(|(index, write)| Step::Map(index, write)),
        1 => any::<prop::sample::Index>().prop_map(Step::Unmap),
    ]
}

#[derive(Clone, Copy)]
struct Granted {
    frame: u32,
    can_write: bool,
    is_mapped: bool,
    is_ending: bool,
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// No reference is given twice, none ends while it is mapped, and each entry is what was granted.
    #[test]
    fn grants_and_mappings_in_any_order(
        version in prop::sample::select(VERSIONS.to_vec()),
        steps in prop::collection::vec(step(), 1..if cfg!(miri) { 20 } else { 200 }),
    ) {
        let mut lab = Lab::new(version, 40, 1, 1);
        let xen = lab.xen.clone();
        let mut table = lab.table();
        let mut grants = BTreeMap::<u32, Granted>::new();
        let pick = |grants: &BTreeMap<u32, Granted>, index: prop::sample::Index| {
            let references: Vec<u32> = grants.keys().copied().collect();
            (!references.is_empty()).then(|| references[index.index(references.len())])
        };
        for step in steps {
            match step {
                Step::Grant(frame, can_write) => {
                    let access = if can_write { Access::ReadWrite } else { Access::ReadOnly };
                    match grant(&mut table, frame.into(), access) {
                        Ok(GrantReference(reference)) => {
                            let granted =
                                Granted { frame, can_write, is_mapped: false, is_ending: false };
                            prop_assert!((8..40).contains(&reference));
                            prop_assert!(grants.insert(reference, granted).is_none());
                        }
                        Err(error) => {
                            prop_assert_eq!(error, Error::NoReferences);
                            prop_assert_eq!(grants.len(), 32);
                        }
                    }
                }
                Step::End(index) => {
                    let Some(reference) = pick(&grants, index) else { continue };
                    let granted = grants.get_mut(&reference).unwrap();
                    let result = table.end(GrantReference(reference));
                    if granted.is_mapped {
                        prop_assert_eq!(result, Err(EndError::StillInUse));
                        granted.is_ending = version == Version::V2;
                    } else {
                        prop_assert_eq!(result, Ok(()));
                        grants.remove(&reference);
                        prop_assert!(!xen.borrow().entry(reference).map(false));
                    }
                }
                Step::Map(index, to_write) => {
                    let Some(reference) = pick(&grants, index) else { continue };
                    let granted = grants.get_mut(&reference).unwrap();
                    if granted.is_mapped {
                        continue;
                    }
                    let may = !granted.is_ending && (granted.can_write || !to_write);
                    granted.is_mapped = xen.borrow().entry(reference).map(to_write);
                    prop_assert_eq!(granted.is_mapped, may);
                }
                Step::Unmap(index) => {
                    let Some(reference) = pick(&grants, index) else { continue };
                    xen.borrow().entry(reference).unmap();
                    grants.get_mut(&reference).unwrap().is_mapped = false;
                }
            }
            for (&reference, granted) in &grants {
                let entry = xen.borrow().entry(reference);
                prop_assert_eq!(entry.frame(), u64::from(granted.frame));
                prop_assert_eq!(table.is_in_use(GrantReference(reference)), granted.is_mapped);
            }
        }
    }
}

/// While a peer maps and unmaps as fast as it can, what has ended is not mapped.
#[test]
fn nobody_has_what_has_ended() {
    let rounds = if cfg!(miri) { 30 } else { 20_000 };
    for version in VERSIONS {
        let mut lab = Lab::new(version, 9, 1, 1);
        let xen = lab.xen.clone();
        let mut table = lab.table();
        let mut reference = grant(&mut table, 1, Access::ReadWrite).unwrap();
        let entry = xen.borrow().entry(reference.0);
        let (is_ours, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    if entry.map(true) {
                        for _ in 0..4 {
                            assert!(!is_ours.load(Ordering::SeqCst), "{version:?}");
                            std::hint::spin_loop();
                        }
                        entry.unmap();
                    }
                    std::thread::yield_now();
                }
            });
            for round in 0..rounds {
                while let Err(error) = table.end(reference) {
                    assert_eq!(error, EndError::StillInUse);
                    std::thread::yield_now();
                }
                is_ours.store(true, Ordering::SeqCst);
                is_ours.store(false, Ordering::SeqCst);
                reference = grant(&mut table, round, Access::ReadWrite).unwrap();
            }
            is_over.store(true, Ordering::Relaxed);
        });
    }
}

#[test]
fn a_table_goes_on_without_grants_after_the_domain_has_moved() {
    for version in VERSIONS {
        let mut lab = Lab::new(version, 600, 3, 3);
        let xen = lab.xen.clone();
        let mut table = lab.table();
        let before: Vec<_> = (0..520)
            .map(|frame| grant(&mut table, frame, Access::ReadWrite).unwrap())
            .collect();
        let frames = xen.borrow().frames();
        // SAFETY: the frames are simulated, and nobody has them.
        unsafe { table.resume().unwrap() };
        assert_eq!(xen.borrow().frames(), frames, "no frame is new");
        for reference in before {
            assert_eq!(table.end(reference), Err(EndError::NotGranted));
        }
        let reference = grant(&mut table, 7, Access::ReadOnly).unwrap();
        assert_eq!(reference.0, 8);
        assert_eq!(xen.borrow().entry(reference.0).frame(), 7);
        table.end(reference).unwrap();
    }
}
