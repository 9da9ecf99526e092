//! What KVM gives its guests.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pvops_backend_kvm::{Features, flushes_left_to_host, saved_ends_of_interrupts};
use pvops_core::cpu_set::CpuSet;
use pvops_core::{Kernel, apic, bring_up_cpu, cpu, irq, lock, mmu, system, take_down_cpu, time};

use super::Outcome;
use super::apic::{send_self, wait_for};
use super::smp::shootdown_interrupts;
use crate::console::report;
use crate::layout::{PAGE, SCRATCH};
use crate::per_cpu::MAX_CPUS;
use crate::platform::Platform;
use crate::tables::Flags;
use crate::text::{Text, ensure, text};
use crate::trap::{self, SELF_VECTOR, WORK_VECTOR};
use crate::work::{begin, finish};
use crate::{cpus, frames, paging};

/// No CPU's stolen time goes back, and the CPU that asks runs.
pub(super) fn steal_time() -> Outcome {
    const ROUNDS: u32 = 1000;
    let this = Platform.cpu_index();
    let mut last = [0; MAX_CPUS];
    let mut preempted = 0;
    for _ in 0..ROUNDS {
        for (cpu, last) in last.iter_mut().enumerate().take(cpus::count()) {
            let stolen = time::stolen_ns(cpu);
            ensure!(
                stolen >= *last,
                "CPU {cpu}: it went back from {last} to {stolen}"
            );
            *last = stolen;
            preempted += u32::from(lock::vcpu_is_preempted(cpu));
        }
        ensure!(
            !lock::vcpu_is_preempted(this),
            "this CPU runs, and is said not to"
        );
        system::yield_cpu();
    }
    let all: u64 = last.iter().sum();
    ensure!(
        time::stolen_ns(cpus::count()) == 0 && !lock::vcpu_is_preempted(usize::MAX),
        "a CPU that does not exist has a record"
    );
    Ok(text!(
        "{all} ns stolen from {} CPUs, another was preempted at {preempted} looks",
        cpus::count()
    ))
}

/// The host writes nothing for a CPU that is taken down, and goes on when it comes back.
pub(super) fn take_down() -> Outcome {
    // SAFETY: interrupts are off, in no handler, and nobody sends this CPU any meanwhile.
    leaves_no_records(|| unsafe { take_down_cpu() })
}

/// Nor for a CPU that has crashed. To turn off and to reset does the same, but who would look?
pub(super) fn crash() -> Outcome {
    leaves_no_records(system::report_crash)
}

/// Has the host write this CPU's records, then not, by `end`, which is called with interrupts off,
/// then again.
fn leaves_no_records(end: impl FnOnce()) -> Outcome {
    /// MSR_KVM_SYSTEM_TIME_NEW, MSR_KVM_STEAL_TIME, MSR_KVM_PV_EOI_EN, MSR_KVM_ASYNC_PF_EN: bit 0
    /// enables.
    const REGISTERS: [(Features, u32); 4] = [
        (Features::CLOCKSOURCE2, 0x4b56_4d01),
        (Features::STEAL_TIME, 0x4b56_4d03),
        (Features::PV_EOI, 0x4b56_4d04),
        (Features::ASYNC_PF_INT, 0x4b56_4d02),
    ];
    let in_use = REGISTERS
        .into_iter()
        .filter(|&(feature, _)| Features::in_use().contains(feature));
    let enabled = || {
        in_use
            .clone()
            // SAFETY: the feature says that the register exists.
            .filter(|&(_, register)| unsafe { cpu::read_msr(register) } & 1 != 0)
            .count()
    };
    let (up, down, back) = irq::without(|| {
        let up = enabled();
        end();
        let down = enabled();
        // SAFETY: interrupts are off, in no handler.
        (up, down, unsafe { bring_up_cpu() }.map(|()| enabled()))
    });
    ensure!(
        up == in_use.clone().count() && down == 0 && back == Ok(up),
        "{up} of {} records, down {down}, then {back:?}",
        in_use.count()
    );
    Ok(text!("{up} records, then none, then {up}"))
}

/// Behind an interrupt that ends, the one that waits comes.
pub(super) fn end_of_interrupt() -> Outcome {
    const PAIRS: u64 = 50;
    let (first, second) = (trap::count(SELF_VECTOR), trap::count(WORK_VECTOR));
    for sent in 1..=PAIRS {
        irq::without(|| {
            send_self(SELF_VECTOR);
            send_self(WORK_VECTOR);
        });
        ensure!(
            wait_for(SELF_VECTOR, first + sent) && wait_for(WORK_VECTOR, second + sent),
            "of pair {sent} one did not come"
        );
    }
    ensure!(
        !is_in_service(SELF_VECTOR) && !is_in_service(WORK_VECTOR),
        "an interrupt is still in service"
    );
    Ok(text!("{PAIRS} pairs came"))
}

fn is_in_service(vector: u8) -> bool {
    /// First of the eight in-service registers. Intel SDM volume 3, table 12-6.
    const IN_SERVICE: u32 = 0x10;
    // SAFETY: the register exists.
    let word = unsafe { apic::read(IN_SERVICE + u32::from(vector) / 32) };
    word & 1 << (vector % 32) != 0
}

/// Of some interrupts' ends the host need not hear.
pub(super) fn saved_ends() -> Outcome {
    const COUNT: u64 = 100;
    let this = Platform.cpu_index();
    let saved_before = saved_ends_of_interrupts(this);
    let before = trap::count(SELF_VECTOR);
    for sent in 1..=COUNT {
        send_self(SELF_VECTOR);
        ensure!(
            wait_for(SELF_VECTOR, before + sent),
            "interrupt {sent} did not come"
        );
    }
    let saved = saved_ends_of_interrupts(this) - saved_before;
    ensure!(saved > 0, "the host heard of each of {COUNT}");
    Ok(text!("the host did not hear of {saved} of {COUNT}"))
}

/// CPUs that go on reading a page, running or not, never see what it was before a shootdown.
pub(super) fn tlb_flush() -> Outcome {
    const ROUNDS: u64 = 100;
    const ADDRESS: usize = SCRATCH.start + 8 * PAGE;
    /// The last round whose shootdown is done.
    static DONE: AtomicU64 = AtomicU64::new(0);
    /// The last round after which each CPU has looked, and so has the translation.
    static LOOKED: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
    /// How often the page was older than it may be.
    fn watch(cpu: usize) -> u64 {
        let mut stale = 0;
        loop {
            let done = DONE.load(Ordering::Acquire);
            // SAFETY: the check has mapped a page there.
            let seen = unsafe { (ADDRESS as *const u64).read_volatile() };
            stale += u64::from(seen < done);
            LOOKED[cpu].store(done, Ordering::Relaxed);
            if done == ROUNDS {
                return stale;
            }
        }
    }
    let (Some(even), Some(odd)) = (frames::allocate(), frames::allocate()) else {
        return Err(text!("no memory"));
    };
    let all = CpuSet::first(cpus::count());
    let (left, taken) = (flushes_left_to_host(), shootdown_interrupts());
    if paging::map(ADDRESS, odd.0, Flags::DATA).is_err() {
        return Err(text!("no memory for a table"));
    }
    // SAFETY: the frame is ours.
    unsafe { odd.1.cast::<u64>().as_ptr().write_volatile(1) };
    DONE.store(1, Ordering::Release);
    (1..cpus::count()).for_each(|cpu| begin(cpu, watch, cpu));
    for round in 2..=ROUNDS {
        let start = time::clock_ns();
        while (1..cpus::count()).any(|cpu| LOOKED[cpu].load(Ordering::Relaxed) < round - 1) {
            let late = time::clock_ns() - start > 60_000_000_000;
            ensure!(!late, "a CPU does not run before round {round}");
        }
        let (frame, page) = if round % 2 == 0 { even } else { odd };
        // SAFETY: the frame is ours.
        unsafe { page.cast::<u64>().as_ptr().write_volatile(round) };
        if paging::replace(ADDRESS, frame, Flags::DATA).is_err() {
            return Err(text!("the page has no entry"));
        }
        // SAFETY: the CPUs are online and take the library's vector.
        unsafe { mmu::flush_tlb_multi(&raw const all, ADDRESS, ADDRESS + PAGE) };
        DONE.store(round, Ordering::Release);
    }
    let left = flushes_left_to_host() - left;
    let taken = shootdown_interrupts() - taken;
    report!("\"event\":\"measure\",\"name\":\"shootdown_interrupts\",\"count\":{taken}");
    for cpu in 1..cpus::count() {
        let stale = finish(cpu);
        ensure!(stale == Some(0), "CPU {cpu}: {stale:?} stale reads");
    }
    paging::unmap(ADDRESS);
    // SAFETY: the CPUs take the vector; and nobody has the frames any more.
    unsafe {
        mmu::flush_tlb_multi(&raw const all, ADDRESS, ADDRESS + PAGE);
        frames::free(even.0);
        frames::free(odd.0);
    }
    Ok(text!(
        "{} shootdowns of {} CPUs, {taken} interrupts, {left} flushes left to the host",
        ROUNDS - 1,
        cpus::count() - 1
    ))
}

/// A CPU that spins is seen preempted, though never by itself. Where this kernel has more CPUs than
/// its host.
pub(super) fn preempted() -> Outcome {
    let looks = while_cpu_1_spins(|| lock::vcpu_is_preempted(1))?;
    Ok(text!("CPU 1, at look {looks}"))
}

/// The flush of a CPU that spins is left to the host. Where this kernel has more CPUs than its host.
pub(super) fn left_flush() -> Outcome {
    let all = CpuSet::first(cpus::count());
    let left = flushes_left_to_host();
    let shootdowns = while_cpu_1_spins(|| {
        // SAFETY: the CPUs are online and take the library's vector.
        unsafe { mmu::flush_tlb_multi(&raw const all, SCRATCH.start, SCRATCH.start + PAGE) };
        flushes_left_to_host() > left
    })?;
    Ok(text!("of shootdown {shootdowns}"))
}

/// Has CPU 1 spin until `seen` says so, and returns how often that was asked.
fn while_cpu_1_spins(mut seen: impl FnMut() -> bool) -> Result<u64, Text> {
    const PATIENCE_NS: u64 = 30_000_000_000;
    static DONE: AtomicBool = AtomicBool::new(false);
    /// How often the CPU was called preempted while it ran.
    fn spin(cpu: usize) -> u64 {
        let mut wrong = 0;
        while !DONE.load(Ordering::Relaxed) {
            wrong += u64::from(lock::vcpu_is_preempted(cpu));
        }
        wrong
    }
    DONE.store(false, Ordering::Relaxed);
    begin(1, spin, 1);
    let (start, mut looks) = (time::clock_ns(), 1);
    let mut late = false;
    while !seen() && !late {
        looks += 1;
        late = time::clock_ns() - start > PATIENCE_NS;
    }
    DONE.store(true, Ordering::Relaxed);
    let wrong = finish(1);
    ensure!(!late, "not at one of {looks} looks");
    ensure!(
        wrong == Some(0),
        "running, it was called preempted {wrong:?} times"
    );
    Ok(looks)
}
