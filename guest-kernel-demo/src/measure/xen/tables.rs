//! Page tables that Xen has in use: a table filled, and an address space forked.
//!
//! Besides the three ways of the [parent](super), `batch` is by ops in lazy mode, as a kernel does it,
//! `list` one bare hypercall with all changes, and `before` by ops before Xen knows of the table.

use pvops_backend_xen::HypercallNumber;
use pvops_core::mmu;

use super::super::tsc;
use super::{DOMAIN_SELF, call, machine_frame};
use crate::address_space::{AddressSpace, HEAP};
use crate::console::report;
use crate::layout::{DIRECT_MAP, PAGE, SCRATCH, SPARE_TABLE};
use crate::tables::{Flags, MapError};
use crate::{frames, paging};

#[inline(never)]
pub(super) fn measure() {
    if let Err(error) = page_table()
        .and_then(|()| new_page_table())
        .and_then(|()| forks())
    {
        panic!("no memory for page tables: {error:?}");
    }
}

/// All entries of one table lead to the same frame.
fn page_table() -> Result<(), MapError> {
    let frame = frames::allocate().ok_or(MapError)?.0;
    paging::map(SCRATCH.start, frame, Flags::DATA)?;
    let table = paging::entry(SCRATCH.start, 0)?;
    let entries = || (0..ENTRIES).map(|index| table.wrapping_add(index));
    let value = || mmu::make_entry(frame | Flags::DATA.bits());
    let fill = |way, fill: &dyn Fn()| {
        empty(table);
        tell("page_table", way, fill);
    };
    fill("instruction", &|| {
        for entry in entries() {
            // SAFETY: nobody uses the pages.
            unsafe { entry.write_volatile(value()) };
        }
    });
    fill("call", &|| {
        for entry in entries() {
            update(&[[machine_address(entry), value()]]);
        }
    });
    fill("call_by_address", &|| {
        for address in SCRATCH.step_by(PAGE) {
            let arguments = [address as u64, value(), 0];
            call(HypercallNumber::UPDATE_VA_MAPPING, arguments);
        }
    });
    let by_ops = || {
        for entry in entries() {
            // SAFETY: as above.
            unsafe { mmu::set_pte(entry, value()) };
        }
    };
    fill("op", &by_ops);
    fill("batch", &|| {
        let _lazy = mmu::lazy();
        by_ops();
    });
    fill("list", &|| {
        let mut changes = [[0; 2]; ENTRIES];
        for (change, entry) in changes.iter_mut().zip(entries()) {
            *change = [machine_address(entry), value()];
        }
        update(&changes);
    });
    empty(table);
    mmu::flush_tlb();
    // SAFETY: nothing leads to it any more.
    unsafe { frames::free(frame) };
    Ok(())
}

fn new_page_table() -> Result<(), MapError> {
    let frame = frames::allocate().ok_or(MapError)?.0;
    let table = frames::allocate().ok_or(MapError)?.0;
    let at = paging::entry(SPARE_TABLE, 1)?;
    let entries = frames::at(table).ok_or(MapError)?.cast::<u64>();
    // SAFETY: the frames are ours, and nobody uses the pages.
    unsafe {
        tell("page_table", "before", || {
            let number = table / PAGE as u64;
            mmu::alloc_table(number, 1);
            for index in 0..ENTRIES {
                let value = mmu::make_entry(frame | Flags::DATA.bits());
                mmu::set_pte(entries.as_ptr().wrapping_add(index), value);
            }
            let flags = Flags::PRESENT | Flags::WRITABLE;
            mmu::set_pmd(at, mmu::make_entry(table | flags.bits()));
        });
        mmu::set_pmd(at, 0);
        mmu::flush_tlb();
        mmu::release_table(table / PAGE as u64, 1);
        frames::free(table);
        frames::free(frame);
    }
    Ok(())
}

const ENTRIES: usize = (SCRATCH.end - SCRATCH.start) / PAGE;

/// HYPERVISOR_mmu_update.
fn update(changes: &[[u64; 2]]) {
    let list = changes.as_ptr().expose_provenance() as u64;
    let arguments = [list, changes.len() as u64, 0, DOMAIN_SELF];
    call(HypercallNumber::MMU_UPDATE, arguments);
}

/// Where the machine has an entry of a table.
fn machine_address(entry: *mut u64) -> u64 {
    let physical = (entry.addr() - DIRECT_MAP) as u64;
    machine_frame(physical) * PAGE as u64 + physical % PAGE as u64
}

fn empty(table: *mut u64) {
    let _lazy = mmu::lazy();
    for index in 0..ENTRIES {
        // SAFETY: the table has so many entries, and nobody uses the pages.
        unsafe { mmu::set_pte(table.wrapping_add(index), 0) };
    }
}

/// The parent's pages become read-only, one by one.
fn forks() -> Result<(), MapError> {
    fork("instruction", |parent| parent.fork_by(protect_by_store))?;
    fork("op", |parent| {
        let _eager = mmu::eager();
        parent.fork()
    })?;
    fork("batch", AddressSpace::fork)
}

fn fork(
    way: &str,
    fork: fn(&mut AddressSpace) -> Result<AddressSpace, MapError>,
) -> Result<(), MapError> {
    const PAGES: usize = 2000;
    const WRITE: usize = 1 << 1;
    let mut parent = AddressSpace::new(&[])?;
    for address in HEAP.step_by(PAGE).take(PAGES) {
        if !parent.page_fault(address, WRITE) {
            return Err(MapError);
        }
    }
    tell("fork", way, || fork(&mut parent)).map(drop)
}

/// As on hardware, where a table is memory.
///
/// # Safety
///
/// As for [`tables::protect`](crate::tables::protect).
unsafe fn protect_by_store(entry: *mut u64, _flags: Flags) -> Option<Flags> {
    // SAFETY: as the caller vouches.
    unsafe {
        let value = entry.read_volatile();
        entry.write_volatile(value & !Flags::WRITABLE.bits());
    }
    None
}

/// Measures one way and reports it.
fn tell<R>(work: &str, way: &str, body: impl FnOnce() -> R) -> R {
    let start = tsc();
    let result = body();
    let cost = tsc() - start;
    report!("\"event\":\"measure\",\"name\":\"xen.{work}.{way}\",\"rounds\":1,\"cost\":{cost}");
    result
}
