//! Sites that change while they are in use.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pvops_core::cpu_set::CpuSet;
use pvops_core::live::{self, Change};
use pvops_core::site::image_sites;
use pvops_core::{cpu, installed, irq, mmu, preserve, time};

use super::{Outcome, long_or, patch};
use crate::arch::probe;
use crate::cpus;
use crate::layout::{self, SCRATCH};
use crate::platform::Platform;
use crate::text::{ensure, text};
use crate::trap;
use crate::work::{begin, finish};

/// Whole rounds of three.
const CHANGES: usize = 1002;

/// What stands in for CR4 meanwhile.
const ONE: usize = 0x1111;
const TWO: usize = 0x2222;

/// All sites of `cpu.read_cr4` change to and fro between the instruction and calls of two functions.
/// In the middle of each change, where other CPUs would serialise, this one runs into the INT3, with
/// interrupts on and off, and does the new thing. What needs a second CPU is not seen here.
pub(super) fn repatch() -> Outcome {
    let Some(bindings) = installed() else {
        return Err(text!("nothing is installed"));
    };
    let cr4 = cpu::read_cr4();
    let steps = [
        (Change::to(preserve!(cpu::read_cr4, one)), ONE),
        (Change::to(preserve!(cpu::read_cr4, two)), TWO),
        (Change::to(bindings.cpu.read_cr4), cr4),
    ];
    let (text, breakpoints) = (patch::checksum(layout::text()), trap::count(3));
    let (mut changes, mut sites) = (0_u64, 0);
    // Ends with the binding of the beginning.
    for number in 0..CHANGES {
        let (change, wanted) = steps[number % steps.len()];
        let mut right = true;
        let mut look = || {
            let off = irq::without(|| [site(0), site(8)]);
            for value in [site(0), site(8), off[0], off[1], cpu::read_cr4()] {
                right &= value == wanted;
            }
        };
        // SAFETY: all sites are given; the handler asks; there is no other CPU to be serialised; what
        // stands in for CR4 is harmless to those who may read it now.
        let result = unsafe { live::repatch(&Platform, &mut look, &[image_sites()], &[change]) };
        match result {
            Ok(changed) => sites = changed,
            Err(error) => return Err(text!("change {changes}: {error}")),
        }
        ensure!(right, "change {changes}: not {wanted:#x} at an INT3");
        right = site(0) == wanted && site(8) == wanted && cpu::read_cr4() == wanted;
        ensure!(right, "change {changes}: not {wanted:#x}");
        changes += 1;
    }
    let same = patch::checksum(layout::text()) == text;
    ensure!(same, "the text is not what it was");
    let breakpoints = trap::count(3) - breakpoints;
    // Five uses, after the first step and after the second.
    ensure!(
        breakpoints == 10 * changes,
        "{breakpoints} breakpoints in {changes} changes"
    );
    Ok(text!(
        "{changes} changes of {sites} sites, {breakpoints} uses at an INT3"
    ))
}

/// The same sites change to and fro between two calls while all other CPUs use them: each use gives
/// one of the two results. A shootdown serialises, for INVLPG does (Intel SDM volume 3, section
/// 10.3), and costs no exit.
pub(super) fn hammered() -> Outcome {
    /// However long they take.
    const LEAST: usize = 50;
    static STOP: AtomicBool = AtomicBool::new(false);
    static WRONG: AtomicU64 = AtomicU64::new(0);
    fn hammer(_: usize) -> u64 {
        let mut uses = 0;
        while !STOP.load(Ordering::Relaxed) {
            for value in [site(0), site(8)] {
                if value != ONE && value != TWO {
                    WRONG.fetch_add(1, Ordering::Relaxed);
                }
            }
            uses += 2;
        }
        uses
    }
    let Some(bindings) = installed() else {
        return Err(text!("nothing is installed"));
    };
    let others: CpuSet = (1..cpus::count()).collect();
    let change = |change: Change| {
        // SAFETY: the CPUs are online and take the library's vector.
        let mut serialize = || unsafe {
            mmu::flush_tlb_multi(&raw const others, SCRATCH.start, SCRATCH.start + 1);
        };
        // SAFETY: all sites are given; the handler asks; what stands in for CR4 is harmless to those
        // who may read it now.
        unsafe { live::repatch(&Platform, &mut serialize, &[image_sites()], &[change]) }
            .map_err(|error| text!("{error}"))
    };
    let steps = [
        Change::to(preserve!(cpu::read_cr4, one)),
        Change::to(preserve!(cpu::read_cr4, two)),
    ];
    // More virtual CPUs than real ones wait for each other, for their whole turns if the host does not
    // know for whom.
    let count = cpus::count() as u64;
    let most = long_or(100_000, 2000 / (count * count)).max(2) as usize;
    let enough_ns = time::clock_ns() + long_or(30, 5) * 1_000_000_000;
    STOP.store(false, Ordering::Relaxed);
    change(steps[0])?;
    (1..cpus::count()).for_each(|cpu| begin(cpu, hammer, 0));
    let mut changes = 0;
    let changed = (1..=most)
        .take_while(|&number| number <= LEAST || time::clock_ns() < enough_ns)
        .try_for_each(|number| {
            changes = number;
            change(steps[number % 2]).map(drop)
        });
    STOP.store(true, Ordering::Relaxed);
    let mut uses = 0;
    let mut breakpoints = 0;
    for cpu in 1..cpus::count() {
        let Some(more) = finish(cpu) else {
            return Err(text!("CPU {cpu} is gone"));
        };
        uses += more;
        breakpoints += trap::count_on(cpu, 3);
    }
    change(Change::to(bindings.cpu.read_cr4))?;
    changed?;
    let wrong = WRONG.load(Ordering::Relaxed);
    ensure!(wrong == 0, "{wrong} of {uses} results were neither");
    Ok(text!(
        "{changes} changes, {uses} uses, {breakpoints} at an INT3"
    ))
}

unsafe extern "C" fn one() -> usize {
    ONE
}

unsafe extern "C" fn two() -> usize {
    TWO
}

fn site(misalign: usize) -> usize {
    // SAFETY: reads CR4, or what stands in for it.
    unsafe { probe::read_cr4(misalign) }
}
