//! Several CPUs.

use core::sync::atomic::{AtomicU64, Ordering};

use pvops_core::cpu_set::CpuSet;
use pvops_core::{irq, mmu, smp, time};

use super::Outcome;
use super::apic::wait_for;
use super::long_or;
use crate::console::report;
use crate::cpus;
use crate::frames;
use crate::layout::{PAGE, SCRATCH};
use crate::paging;
use crate::tables::Flags;
use crate::text::{ensure, text};
use crate::trap::{self, LIBRARY_VECTOR, SELF_VECTOR, TIMER_VECTOR};
use crate::work::{begin, finish, run_on};
use crate::{per_cpu, stacks};

/// All CPUs that the machine has run, each under its own number and on its own stack.
pub(super) fn online() -> Outcome {
    let (count, expected) = (cpus::count(), cpus::expected());
    ensure!(count == expected, "{count} of {expected} CPUs run");
    for cpu in 1..cpus::count() {
        let index = run_on(cpu, |_| per_cpu::index() as u64, 0);
        ensure!(
            index == Some(cpu as u64),
            "CPU {cpu} says that it is {index:?}"
        );
        let here = run_on(cpu, stack_address, 0);
        let Some(here) = here else {
            return Err(text!("CPU {cpu} is gone"));
        };
        let slot = (here as usize - crate::layout::STACKS.start) / stacks::DISTANCE;
        ensure!(slot == cpu, "CPU {cpu} runs on the stack of CPU {slot}");
    }
    Ok(text!("{count} of {expected}"))
}

/// An address on the stack of whoever calls.
#[inline(never)]
fn stack_address(_: usize) -> u64 {
    let here = 0_u8;
    core::hint::black_box(&raw const here).addr() as u64
}

/// Interrupts to one CPU, to a set and to all others arrive, each once.
pub(super) fn interrupts() -> Outcome {
    let rounds = long_or(6000, 200);
    let count = cpus::count();
    let others: CpuSet = (1..count).collect();
    let before: [u64; per_cpu::MAX_CPUS] =
        core::array::from_fn(|cpu| trap::count_on(cpu, SELF_VECTOR));
    let came = |cpu: usize| trap::count_on(cpu, SELF_VECTOR) - before[cpu];
    for round in 0..rounds {
        // SAFETY: all CPUs of the set are online, and the vector has a handler.
        unsafe {
            match round % 3 {
                0 => (1..count).for_each(|cpu| smp::send_ipi(cpu, SELF_VECTOR)),
                1 => smp::send_ipi_set(&raw const others, SELF_VECTOR),
                _ => smp::send_ipi_others(SELF_VECTOR),
            }
        }
        let start = time::clock_ns();
        while (1..count).any(|cpu| came(cpu) <= round) {
            let late = time::clock_ns() - start > 5_000_000_000;
            ensure!(!late, "an interrupt of round {round} did not come");
        }
    }
    for cpu in 1..count {
        ensure!(
            came(cpu) == rounds,
            "{} came to CPU {cpu} instead of {rounds}",
            came(cpu)
        );
    }
    ensure!(came(0) == 0, "{} came to the CPU that sent them", came(0));
    Ok(text!("{rounds} rounds to {} CPUs", count - 1))
}

/// After a shootdown no CPU goes by an old translation.
pub(super) fn shootdown() -> Outcome {
    let rounds = long_or(100_000, 100);
    const ADDRESS: usize = SCRATCH.start + 8 * PAGE;
    let read = |cpu| run_on(cpu, read_word, ADDRESS);
    let (Some((first, one)), Some((second, two))) = (frames::allocate(), frames::allocate()) else {
        return Err(text!("no memory"));
    };
    // SAFETY: the frames are ours.
    unsafe {
        one.cast::<u64>().as_ptr().write_volatile(1);
        two.cast::<u64>().as_ptr().write_volatile(2);
    }
    if paging::map(ADDRESS, first, Flags::DATA).is_err() {
        return Err(text!("no memory for a table"));
    }
    let all = CpuSet::first(cpus::count());
    let taken = shootdown_interrupts();
    let mut stale = 0;
    for round in 0..rounds {
        let (frame, old, new) = if round % 2 == 0 {
            (second, 1, 2)
        } else {
            (first, 2, 1)
        };
        for cpu in 1..cpus::count() {
            let seen = read(cpu);
            ensure!(
                seen == Some(old),
                "round {round}: CPU {cpu} sees {seen:?}, not {old}"
            );
        }
        if paging::replace(ADDRESS, frame, Flags::DATA).is_err() {
            return Err(text!("the page has no entry"));
        }
        if round < 4 {
            // A CPU may forget a translation at any time, but mostly it does not.
            stale += (1..cpus::count())
                .filter(|&cpu| read(cpu) == Some(old))
                .count();
        }
        // A page for itself, and as the second of two that are in a range no longer than one.
        let (start, end) = match round / 2 % 2 {
            0 => (ADDRESS, ADDRESS + PAGE),
            _ => (ADDRESS - 16, ADDRESS + 16),
        };
        // SAFETY: the CPUs are online and take the library's vector.
        unsafe { mmu::flush_tlb_multi(&raw const all, start, end) };
        ensure!(
            read_word(ADDRESS) == new,
            "round {round}: this CPU sees the old page"
        );
        for cpu in 1..cpus::count() {
            let seen = read(cpu);
            ensure!(
                seen == Some(new),
                "round {round}: CPU {cpu} sees {seen:?}, not {new}"
            );
        }
    }
    let taken = shootdown_interrupts() - taken;
    report!("\"event\":\"measure\",\"name\":\"shootdown_interrupts\",\"count\":{taken}");
    paging::unmap(ADDRESS);
    // SAFETY: the CPUs take the vector; and nobody has the frames any more.
    unsafe {
        mmu::flush_tlb_multi(&raw const all, ADDRESS, ADDRESS + PAGE);
        frames::free(first);
        frames::free(second);
    }
    Ok(text!(
        "{rounds} shootdowns, {taken} interrupts, {stale} stale reads before the first 4"
    ))
}

/// How many interrupts the other CPUs have taken for shootdowns.
pub(super) fn shootdown_interrupts() -> u64 {
    let on = |cpu| trap::count_on(cpu, LIBRARY_VECTOR);
    (1..cpus::count()).map(on).sum()
}

fn read_word(address: usize) -> u64 {
    // SAFETY: the check has mapped a page there.
    unsafe { (address as *const u64).read_volatile() }
}

/// CPUs that shoot at each other with interrupts off do not wait for each other for ever.
pub(super) fn crossed_shootdowns() -> Outcome {
    const ROUNDS: u64 = 50;
    fn shoot(_: usize) -> u64 {
        let all = CpuSet::first(cpus::count());
        for _ in 0..ROUNDS {
            // SAFETY: the CPUs are online and take the library's vector.
            irq::without(|| unsafe {
                mmu::flush_tlb_multi(&raw const all, SCRATCH.start, SCRATCH.start + PAGE);
            });
        }
        ROUNDS
    }
    (1..cpus::count()).for_each(|cpu| begin(cpu, shoot, 0));
    shoot(0);
    for cpu in 1..cpus::count() {
        let done = finish(cpu);
        ensure!(done == Some(ROUNDS), "CPU {cpu} did {done:?} of {ROUNDS}");
    }
    Ok(text!(
        "{} CPUs, {ROUNDS} each, interrupts off",
        cpus::count()
    ))
}

/// No CPU reads a time below one that any CPU has read before.
pub(super) fn clock() -> Outcome {
    static LATEST: AtomicU64 = AtomicU64::new(0);
    /// How often the time went back.
    fn read(reads: usize) -> u64 {
        let mut back = 0;
        for _ in 0..reads {
            let latest = LATEST.load(Ordering::Acquire);
            let now = time::clock_ns();
            back += u64::from(now < latest);
            LATEST.fetch_max(now, Ordering::Release);
        }
        back
    }
    let reads = long_or(10_000_000 / cpus::count() as u64, 5000) as usize;
    (1..cpus::count()).for_each(|cpu| begin(cpu, read, reads));
    let mut back = read(reads);
    for cpu in 1..cpus::count() {
        let Some(more) = finish(cpu) else {
            return Err(text!("CPU {cpu} is gone"));
        };
        back += more;
    }
    ensure!(back == 0, "the time went back {back} times");
    Ok(text!("{reads} reads on each of {} CPUs", cpus::count()))
}

/// Each CPU has its own event.
pub(super) fn events() -> Outcome {
    /// Whether three events came, each once.
    fn wait(_: usize) -> u64 {
        let before = trap::count(TIMER_VECTOR);
        for event in 1..=3 {
            // Passed or not, the event comes.
            let _ = time::set_event(time::clock_ns() + 1_000_000);
            if !wait_for(TIMER_VECTOR, before + event) {
                return 0;
            }
        }
        trap::count(TIMER_VECTOR) - before
    }
    (1..cpus::count()).for_each(|cpu| begin(cpu, wait, 0));
    for cpu in 1..cpus::count() {
        let came = finish(cpu);
        ensure!(
            came == Some(3),
            "{came:?} events came to CPU {cpu} instead of 3"
        );
    }
    Ok(text!("3 events on each of {} CPUs", cpus::count() - 1))
}

/// A CPU that is stopped takes no interrupts, and works again when it is started again.
pub(super) fn offline() -> Outcome {
    const ROUNDS: usize = 3;
    for round in 0..ROUNDS {
        for cpu in 1..cpus::count() {
            ensure!(
                cpus::stop_one(cpu),
                "round {round}: CPU {cpu} does not stop"
            );
            let before = trap::count_on(cpu, SELF_VECTOR);
            // One to all others may reach it, and has to wait there.
            // SAFETY: the vector has a handler.
            unsafe {
                smp::send_ipi(cpu, SELF_VECTOR);
                smp::send_ipi_others(SELF_VECTOR);
            }
            let start = time::clock_ns();
            while time::clock_ns() - start < 1_000_000 {}
            let came = trap::count_on(cpu, SELF_VECTOR) - before;
            ensure!(
                came == 0,
                "round {round}: CPU {cpu} is off and took an interrupt"
            );
            // A shootdown does not wait for it either.
            let all = CpuSet::first(cpus::count());
            // SAFETY: the CPUs that are online take the library's vector.
            unsafe { mmu::flush_tlb_multi(&raw const all, SCRATCH.start, SCRATCH.end) };
            ensure!(
                cpus::start_one(cpu),
                "round {round}: CPU {cpu} does not come back"
            );
            let index = run_on(cpu, |_| per_cpu::index() as u64, 0);
            ensure!(
                index == Some(cpu as u64),
                "round {round}: CPU {cpu} says it is {index:?}"
            );
            let before = time::clock_ns();
            let after = run_on(cpu, |_| time::clock_ns(), 0);
            ensure!(
                after >= Some(before),
                "round {round}: CPU {cpu} came back to an older time"
            );
        }
    }
    Ok(text!(
        "{} CPUs, off and on {ROUNDS} times",
        cpus::count() - 1
    ))
}
