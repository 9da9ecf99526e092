//! Page tables, faults and the TLB.

use pvops_core::mmu as op;

use super::Outcome;
use super::extable::{execute_data, probe_read, probe_write};
use crate::layout::{PAGE, SCRATCH};
use crate::paging;
use crate::tables::Flags;
use crate::text::{ensure, text};
use crate::{demand, frames, layout, trap};

/// CR2 and the error code say what went wrong where.
pub(super) fn fault_address() -> Outcome {
    const WRITE: usize = 1 << 1;
    let address = SCRATCH.start + 0x123;
    // SAFETY: nothing is mapped there.
    unsafe { ensure!(probe_read(address).is_err(), "an unmapped page can be read") };
    ensure!(
        trap::last_page_fault() == (address, 0),
        "read: {:x?}",
        trap::last_page_fault()
    );
    // SAFETY: what cannot be read cannot be written; the write is what the fault is about.
    unsafe {
        ensure!(
            probe_write(layout::rodata_start()).is_err(),
            "read-only data can be written"
        )
    };
    let (address, error) = trap::last_page_fault();
    ensure!(
        address == layout::rodata_start() && error & WRITE != 0,
        "{address:#x}, {error:#x}"
    );
    // SAFETY: nobody waits for the address of a fault.
    unsafe { op::write_cr2(0x1234) };
    let value = op::read_cr2();
    ensure!(value == 0x1234, "cr2 takes 0x1234 and gives {value:#x}");
    Ok(text!("cr2 and error code of a read and a write"))
}

/// Pages appear when they are touched, zeroed, and stay.
pub(super) fn demand() -> Outcome {
    const PAGES: usize = 16;
    let before = trap::count(14);
    for page in 0..PAGES {
        let word = (demand::REGION.start + page * PAGE) as *mut usize;
        // SAFETY: the page fault handler gives the page memory.
        unsafe {
            ensure!(word.read_volatile() == 0, "page {page} is not zeroed");
            word.write_volatile(page + 1);
        }
    }
    for page in 0..PAGES {
        let address = demand::REGION.start + page * PAGE;
        // SAFETY: the page was touched above; nobody else knows of it.
        unsafe {
            let value = (address as *const usize).read_volatile();
            ensure!(value == page + 1, "page {page} holds {value}");
            match paging::unmap(address) {
                Some(frame) => frames::free(frame),
                None => return Err(text!("page {page} is not mapped")),
            }
        }
    }
    let faults = trap::count(14) - before;
    ensure!(faults == PAGES as u64, "{faults} faults for {PAGES} pages");
    Ok(text!("{PAGES} pages, {faults} faults"))
}

/// A frame is seen at two addresses; when one is unmapped the other stays.
pub(super) fn map() -> Outcome {
    let address = SCRATCH.start + 2 * PAGE;
    let Some((frame, direct)) = frames::allocate() else {
        return Err(text!("no memory"));
    };
    if paging::map(address, frame, Flags::DATA).is_err() {
        return Err(text!("no memory for a table"));
    }
    let word = address as *mut u64;
    // SAFETY: the frame is ours, at both addresses.
    unsafe {
        word.write_volatile(0x1122_3344_5566_7788);
        let seen = direct.cast::<u64>().as_ptr().read_volatile();
        ensure!(
            seen == 0x1122_3344_5566_7788,
            "the direct map shows {seen:#x}"
        );
        ensure!(
            paging::unmap(address) == Some(frame),
            "another frame was there"
        );
        ensure!(
            probe_read(address).is_err(),
            "the page can be read after it was unmapped"
        );
        ensure!(
            paging::unmap(address).is_none(),
            "the page can be unmapped twice"
        );
        frames::free(frame);
    }
    Ok(text!("mapped, written, unmapped, gone"))
}

/// What is made for a table means what it was made from.
pub(super) fn entries() -> Outcome {
    for entry in [0, 0x1003, 0x8000_0000_0123_4063, 0x000f_ffff_ffff_f000] {
        let value = op::entry_value(op::make_entry(entry));
        ensure!(value == entry, "{entry:#x} became {value:#x}");
    }
    Ok(text!("make_entry and entry_value are inverse"))
}

/// A change of protection keeps frame, accessed and dirty bit, and what it takes away is gone.
pub(super) fn protect() -> Outcome {
    const ADDRESS: usize = SCRATCH.start + 4 * PAGE;
    let Some((frame, _)) = frames::allocate() else {
        return Err(text!("no memory"));
    };
    if paging::map(ADDRESS, frame, Flags::DATA).is_err() {
        return Err(text!("no memory for a table"));
    }
    let touched = Flags::ACCESSED | Flags::DIRTY;
    let word = ADDRESS as *mut u64;
    let clean = paging::protect(ADDRESS, Flags::DATA);
    // SAFETY: the frame is ours, and what is written back is what is there.
    let (dirty, read_only, seen) = unsafe {
        word.write_volatile(7);
        let dirty = paging::protect(ADDRESS, Flags::READ_ONLY);
        let refused = probe_write(ADDRESS).is_err();
        ensure!(refused, "a read-only page can be written");
        let read_only = paging::protect(ADDRESS, Flags::DATA);
        let taken = probe_write(ADDRESS).is_ok();
        ensure!(taken, "a writable page can't be written");
        (dirty, read_only, word.read_volatile())
    };
    ensure!(clean == Some(Flags::DATA), "untouched: {clean:?}");
    ensure!(dirty == Some(Flags::DATA | touched), "written: {dirty:?}");
    ensure!(
        read_only == Some(Flags::READ_ONLY | touched),
        "read-only: {read_only:?}"
    );
    ensure!(seen == 7, "the page shows {seen}");
    let unmapped = paging::unmap(ADDRESS);
    ensure!(unmapped == Some(frame), "another frame was there");
    let nothing = paging::protect(ADDRESS, Flags::DATA);
    ensure!(nothing.is_none(), "what is not mapped had {nothing:?}");
    // SAFETY: nobody maps the frame any more.
    unsafe { frames::free(frame) };
    Ok(text!("read-only and back, accessed and dirty kept"))
}

/// A table is announced, filled by the stores of every level, and given back.
pub(super) fn tables() -> Outcome {
    const LEVELS: u32 = 5;
    let Some((frame, memory)) = frames::allocate() else {
        return Err(text!("no memory"));
    };
    let number = frame / PAGE as u64;
    for level in 1..=LEVELS {
        let value = op::make_entry(frame | u64::from(level));
        // SAFETY: the frame is ours, and no CPU uses it as a table.
        let found = unsafe {
            let entry = memory.cast::<u64>().as_ptr().add(511);
            let store = |value| match level {
                1 => op::set_pte(entry, value),
                2 => op::set_pmd(entry, value),
                3 => op::set_pud(entry, value),
                4 => op::set_p4d(entry, value),
                _ => op::set_p5d(entry, value),
            };
            op::alloc_table(number, level);
            store(value);
            let found = entry.read_volatile();
            store(0);
            op::release_table(number, level);
            found
        };
        ensure!(found == value, "level {level} stores {found:#x}");
    }
    // SAFETY: as above; as an address space it has nothing in it, and is never used.
    unsafe {
        op::alloc_table(number, 4);
        op::activate_tables(number);
        op::exit_tables(number);
        op::release_table(number, 4);
        frames::free(frame);
    }
    Ok(text!("entries of {LEVELS} levels"))
}

/// What is changed in lazy mode is there after a flush, in a handler's eager mode at once.
pub(super) fn lazy() -> Outcome {
    const START: usize = SCRATCH.start + 5 * PAGE;
    const PAGES: usize = 8;
    let Some((frame, memory)) = frames::allocate() else {
        return Err(text!("no memory"));
    };
    // SAFETY: the frame is ours, at every address.
    unsafe { memory.cast::<u64>().as_ptr().write_volatile(9) };
    let map = |page| {
        let mapped = paging::map(START + page * PAGE, frame, Flags::DATA);
        mapped.map_err(|_| text!("no memory for a table"))
    };
    let shown = || {
        let shows = |page: &usize| {
            // SAFETY: if something is mapped there, it is the frame.
            unsafe { probe_read(START + page * PAGE).is_ok_and(|byte| byte == 9) }
        };
        (0..PAGES).filter(shows).count()
    };
    let outer = op::lazy();
    for page in 0..PAGES / 2 {
        let _inner = op::lazy();
        map(page)?;
    }
    outer.flush();
    let half = shown();
    for page in PAGES / 2..PAGES {
        let _eager = op::eager();
        map(page)?;
    }
    let all = shown();
    for page in 0..PAGES {
        paging::unmap(START + page * PAGE);
    }
    drop(outer);
    let none = shown();
    // SAFETY: nobody maps the frame any more.
    unsafe { frames::free(frame) };
    ensure!(
        (half, all, none) == (PAGES / 2, PAGES, 0),
        "{half} pages after the flush, {all} mapped, {none} at the end"
    );
    Ok(text!("{PAGES} pages mapped and unmapped"))
}

/// CR3 can be read, and loaded with what it holds.
pub(super) fn cr3() -> Outcome {
    let cr3 = op::read_cr3();
    ensure!(cr3 != 0 && cr3 & (PAGE - 1) & !0x18 == 0, "cr3 is {cr3:#x}");
    // SAFETY: the same tables.
    unsafe { op::write_cr3(cr3) };
    ensure!(op::read_cr3() == cr3, "cr3 became {:#x}", op::read_cr3());
    Ok(text!("cr3 {cr3:#x}"))
}

/// After each of the flushes, a changed entry is what the CPU goes by, also if the page is global
/// and the flush is to reach such pages.
pub(super) fn flush() -> Outcome {
    const ADDRESS: usize = SCRATCH.start + 3 * PAGE;
    const FLUSHES: [(&str, fn(), Flags); 3] = [
        ("flush_tlb", op::flush_tlb, Flags::DATA),
        (
            "flush_tlb_page",
            || op::flush_tlb_page(ADDRESS),
            Flags::DATA.union(Flags::GLOBAL),
        ),
        (
            "flush_tlb_all",
            op::flush_tlb_all,
            Flags::DATA.union(Flags::GLOBAL),
        ),
    ];
    let (Some((first, one)), Some((second, two))) = (frames::allocate(), frames::allocate()) else {
        return Err(text!("no memory"));
    };
    let word = ADDRESS as *const u64;
    let mut stale = 0;
    // SAFETY: the frames are ours, at every address.
    unsafe {
        one.cast::<u64>().as_ptr().write_volatile(1);
        two.cast::<u64>().as_ptr().write_volatile(2);
        for (name, flush, flags) in FLUSHES {
            if paging::map(ADDRESS, first, flags).is_err() {
                return Err(text!("no memory for a table"));
            }
            ensure!(word.read_volatile() == 1, "the first frame does not show");
            if paging::replace(ADDRESS, second, flags).is_err() {
                return Err(text!("the page has no entry"));
            }
            // A CPU may forget a translation at any time, but mostly it does not.
            stale += usize::from(word.read_volatile() == 1);
            flush();
            let seen = word.read_volatile();
            ensure!(seen == 2, "after {name} the page shows {seen}");
        }
        paging::unmap(ADDRESS);
        frames::free(first);
        frames::free(second);
    }
    Ok(text!(
        "all but global, page, all; {stale} of 3 were stale before"
    ))
}

/// Text is not writable, data not executable.
pub(super) fn protection() -> Outcome {
    // SAFETY: the write puts back what is there.
    unsafe {
        ensure!(
            probe_write(layout::text_start()).is_err(),
            "text can be written"
        )
    };
    ensure!(execute_data().is_err(), "data can be executed");
    // SAFETY: nothing is mapped there.
    unsafe {
        ensure!(
            probe_read(layout::stack_guard()).is_err(),
            "the stack has no guard"
        );
        ensure!(probe_read(0).is_err(), "there is something at address 0");
    }
    Ok(text!("W^X, a guard below the stack, nothing at 0"))
}
