//! Ports in a PV guest of Xen, tables in frames that others have, too, and segments that are not there.

use core::sync::atomic::{AtomicBool, Ordering};

use pvops_backend_xen::XenError;
use pvops_backend_xen::pv::{PortAccess, set_port_access, set_port_bitmap};
use pvops_core::{cpu, irq, system, time};

use super::Outcome;
use super::segments::{LOCAL, data_segment, local_table, with_room};
use crate::address_space::AddressSpace;
use crate::arch::probe::{self, base_of, bases};
use crate::layout::PAGE;
use crate::scheduler::{self, KILLED};
use crate::text::{ensure, text};
use crate::work::{begin, finish, run_on};
use crate::{cpus, frames, image_frames, per_cpu, programs};

/// Each CPU may access ports; not where the kernel has said so, but for those in the bitmap.
pub(super) fn ports() -> Outcome {
    for cpu in 0..cpus::count() {
        let step = if cpu == per_cpu::index() {
            on_this_cpu(0)
        } else {
            run_on(cpu, on_this_cpu, 0).unwrap_or(GONE)
        };
        ensure!(
            step == GOOD,
            "CPU {cpu}: {}",
            FAULTS.get(step as usize).unwrap_or(&"it is gone")
        );
    }
    Ok(text!("by level and by bitmap, on {} CPUs", cpus::count()))
}

const GOOD: u64 = 0;
const GONE: u64 = u64::MAX;
const FAULTS: [&str; 7] = [
    "good",
    "no access at first",
    "an access that is not allowed",
    "no access by the bitmap",
    "an access beside the bitmap",
    "no access again",
    "Xen refuses",
];

fn on_this_cpu(_: usize) -> u64 {
    try_all().unwrap_or(6)
}

fn try_all() -> Result<u64, XenError> {
    /// The port of a PC's diagnostic codes, which reading does not change.
    const PORT: u16 = 0x80;
    const NEXT: u16 = PORT + 1;
    /// Only that port.
    static BITMAP: [u8; 0x11] = {
        let mut bitmap = [0xff; 0x11];
        bitmap[PORT as usize / 8] = !(1 << (PORT % 8));
        bitmap
    };
    const FAULT: u32 = 256;
    // SAFETY: reading has no effect.
    let may_read = |port| unsafe { probe::read_port(port) } != FAULT;
    if !may_read(PORT) || !may_read(NEXT) {
        return Ok(1);
    }
    // SAFETY: programs are let nothing but one port for a moment, in which none runs on this CPU.
    let (without, by_bitmap, beside) = unsafe {
        set_port_access(PortAccess::Nobody)?;
        let without = may_read(PORT);
        set_port_bitmap(&BITMAP)?;
        let (by_bitmap, beside) = (may_read(PORT), may_read(NEXT));
        set_port_bitmap(&[])?;
        set_port_access(PortAccess::Kernel)?;
        (without, by_bitmap, beside)
    };
    Ok(match (without, by_bitmap, beside) {
        (true, ..) => 2,
        (_, false, _) => 3,
        (.., true) => 4,
        _ if !may_read(NEXT) => 5,
        _ => GOOD,
    })
}

/// A CPU goes by its local descriptor table where another in the same page takes its place, and where
/// another CPU lets go of one there. Nobody can write to the page meanwhile but by the op, and everybody
/// afterwards.
pub(super) fn local_tables() -> Outcome {
    /// Loads a table of half the page.
    fn load_half(page: usize) -> u64 {
        load_local_table(page, PAGE / 2)
    }
    fn base_of_entry(_: usize) -> u64 {
        // SAFETY: the entry is a data segment; with interrupts off nobody else uses FS.
        irq::without(|| unsafe { base_of(LOCAL) }) as u64
    }
    fn unload(_: usize) -> u64 {
        // SAFETY: no segment register has a selector of the table's.
        irq::without(|| unsafe { cpu::load_ldt(0) });
        0
    }
    let Some((frame, page)) = frames::allocate() else {
        return Err(text!("no memory"));
    };
    let page = page.addr().get();
    let [.., base] = bases().map(|base| base as u64);
    // SAFETY: nobody has the table.
    unsafe { cpu::write_ldt_entry(page as *mut u64, 1, data_segment(base)) };
    for bytes in [PAGE / 2, PAGE] {
        let found = load_local_table(page, bytes);
        ensure!(found == base, "of {bytes} bytes: base {found:#x}");
    }
    for cpu in 1..cpus::count() {
        let found = run_on(cpu, load_half, page);
        ensure!(found == Some(base), "CPU {cpu}: base {found:x?}");
    }
    unload(0);
    for cpu in 1..cpus::count() {
        let found = run_on(cpu, base_of_entry, 0);
        ensure!(found == Some(base), "CPU {cpu}, alone: base {found:x?}");
        run_on(cpu, unload, 0);
    }
    // SAFETY: no CPU has the table any more. This writes to it.
    unsafe { frames::free(frame) };
    Ok(text!(
        "one that grows, and kept by {} CPUs",
        cpus::count() - 1
    ))
}

/// Has this CPU use a table at the beginning of a page; what base its entry has.
fn load_local_table(page: usize, bytes: usize) -> u64 {
    let mut base = 0;
    let _ = with_room(|table, first| {
        let [low, high] = local_table(page as u64, bytes);
        // SAFETY: the entries are nobody's, and the page is a table, with a data segment. Nobody uses FS.
        unsafe {
            cpu::write_gdt_entry(table, first + 1, high);
            cpu::write_gdt_entry(table, first, low);
            cpu::load_ldt(first as u16 * 8);
            base = base_of(LOCAL) as u64;
        }
        Ok(text!("loaded"))
    });
    base
}

/// Frames of the image, where the kernel shares such, are good for a copy of a descriptor table, and for the
/// first tables of programs.
pub(super) fn image_frames() -> Outcome {
    /// More than are free from earlier on.
    const SPACES: usize = 64;
    image_frames::offer();
    // One in the other is on another place of the stack than others are, so it needs a frame.
    let outcome = with_room(|_, _| with_room(|_, _| Ok(text!("loaded"))));
    let tables = image_frames::COUNT - image_frames::left();
    let mut spaces = [const { None }; SPACES];
    let mut places = spaces.iter_mut();
    while image_frames::left() > 0
        && let Some(place) = places.next()
    {
        *place = AddressSpace::new(&[]).ok();
    }
    let left = image_frames::left();
    // What was given back last is used first.
    drop(spaces);
    let task = programs::spawn(programs::fork(), 5);
    scheduler::run();
    let end = task.and_then(scheduler::end);
    let code = end.map(|end| end.code);
    outcome?;
    ensure!(tables > 0, "the descriptor table took none");
    ensure!(left == 0, "{left} frames were not taken");
    ensure!(
        code == Some(programs::FORKED),
        "the program ended with {code:x?}"
    );
    Ok(text!("for {tables} descriptor tables, and two programs"))
}

/// A data segment is gone when Xen comes back to this CPU from another: the selector becomes 0, and all
/// goes on. Where several virtual CPUs share one.
pub(super) fn vanished_segment() -> Outcome {
    const PATIENCE_NS: u64 = 10_000_000_000;
    static STOP: AtomicBool = AtomicBool::new(false);
    fn busy(_: usize) -> u64 {
        while !STOP.load(Ordering::Relaxed) {
            system::yield_cpu();
        }
        0
    }
    ensure!(cpus::count() > 1, "there is no other CPU to switch to");
    STOP.store(false, Ordering::Relaxed);
    (1..cpus::count()).for_each(|cpu| begin(cpu, busy, 0));
    let outcome = with_room(|table, first| {
        let selector = (first as u16 * 8) | 3;
        // SAFETY: the entry is nobody's.
        let store = |entry| unsafe { cpu::write_gdt_entry(table, first, entry) };
        store(data_segment(0) | PROGRAMS);
        // SAFETY: the segment is there.
        unsafe { probe::load_es(selector) };
        let loaded = probe::es();
        store(0);
        let start = time::clock_ns();
        while probe::es() == selector && time::clock_ns() - start < PATIENCE_NS {
            system::yield_cpu();
        }
        let left = probe::es();
        // SAFETY: 0 can always be loaded.
        unsafe { probe::load_es(0) };
        ensure!(
            (loaded, left) == (selector, 0),
            "ES was {loaded:#x}, and then {left:#x}"
        );
        let waited_us = (time::clock_ns() - start) / 1000;
        Ok(text!("ES lost {selector:#x} after {waited_us} us"))
    });
    STOP.store(true, Ordering::Relaxed);
    for cpu in 1..cpus::count() {
        ensure!(finish(cpu).is_some(), "CPU {cpu} is gone");
    }
    outcome
}

/// Of a descriptor: privilege level 3, where PV kernels are. Intel SDM volume 3, figure 3-8.
const PROGRAMS: u64 = 0b11 << 45;

/// Where Xen can't return to a program, as the selector of its stack names no segment, the program gets
/// the exception.
pub(super) fn bad_return() -> Outcome {
    /// Beyond the entries of the kernel's table.
    const NO_SEGMENT: u16 = 0x1f8 | 3;
    const GENERAL_PROTECTION: u64 = KILLED | 13;
    let task = programs::spawn_on_stack_segment(programs::count(), NO_SEGMENT);
    scheduler::run();
    let end = task.and_then(scheduler::end);
    let code = end.map(|end| end.code);
    ensure!(
        code == Some(GENERAL_PROTECTION),
        "the program ended with {code:x?}"
    );
    Ok(text!("a program without a stack segment was ended"))
}
