//! What KVM does when it is called.

use core::sync::atomic::AtomicU32;

use pvops_backend_kvm::{
    ClockPairError, Encryption, Features, HypercallError, HypercallNumber, NotOffered, PageSize,
    allow_migration, clock_pair, hypercall, map_gpa_range, resume_host_polling, stop_host_polling,
};
use pvops_core::cpu_set::CpuSet;
use pvops_core::{cpu, irq, lock, smp, time};

use super::Outcome;
use crate::text::{Text, ensure, text};
use crate::trap::{self, SELF_VECTOR};
use crate::{cpus, per_cpu};

/// The host answers calls, and says which it does not know.
pub(super) fn answers() -> Outcome {
    const ROUNDS: u32 = 100;
    const UNKNOWN: HypercallNumber = HypercallNumber(999);
    for round in 0..ROUNDS {
        // SAFETY: the call does nothing.
        let answer = unsafe { hypercall(HypercallNumber::VAPIC_POLL_IRQ, []) };
        ensure!(answer == Ok(0), "round {round}: {answer:?}");
        // SAFETY: there is no such call.
        let answer = unsafe { hypercall(UNKNOWN, [1, 2, 3, 4]) };
        let expected = Err(HypercallError::NO_SUCH_CALL);
        ensure!(
            answer == expected,
            "round {round}, no such call: {answer:?}"
        );
    }
    Ok(text!("{ROUNDS} calls, and {ROUNDS} that do not exist"))
}

/// What the host does not offer is refused, by the host too.
pub(super) fn not_offered() -> Outcome {
    let mut refused = 0;
    if !Features::in_use().contains(Features::HC_MAP_GPA_RANGE) {
        // SAFETY: it is not done.
        let (asked, answer) = unsafe {
            (
                map_gpa_range(0, 1, PageSize::Size4K, Encryption::Decrypted),
                hypercall(HypercallNumber::MAP_GPA_RANGE, [0, 1, 0]),
            )
        };
        let no_such_call = HypercallError::NO_SUCH_CALL;
        ensure!(
            asked == Err(no_such_call) && answer == Err(no_such_call),
            "mapping a range: {asked:?}, {answer:?}"
        );
        refused += 1;
    }
    if !Features::in_use().contains(Features::MIGRATION_CONTROL) {
        let asked = allow_migration();
        ensure!(asked == Err(NotOffered), "migration: {asked:?}");
        refused += 1;
    }
    Ok(text!("{refused} of 2 refused"))
}

/// A kick that comes before the wait is not forgotten.
pub(super) fn early_kick() -> Outcome {
    const ROUNDS: u32 = 100;
    static WORD: AtomicU32 = AtomicU32::new(0);
    let this = per_cpu::index();
    for _ in 0..ROUNDS {
        lock::kick(this);
        // SAFETY: the word is static. It does not change, so only the kick ends this.
        irq::without(|| unsafe { lock::wait(WORD.as_ptr(), 0) });
        // SAFETY: as above, and the word is not 1, so it returns at once.
        irq::without(|| unsafe { lock::wait(WORD.as_ptr(), 1) });
    }
    Ok(text!("{ROUNDS} of this CPU ended a wait"))
}

/// One call interrupts all CPUs, each once; the host takes no shorthands.
pub(super) fn send_ipi() -> Outcome {
    const ROUNDS: u64 = 200;
    const TO_OTHERS: u64 = 0b11 << 18;
    let command = TO_OTHERS | u64::from(SELF_VECTOR);
    // SAFETY: the vector has a handler.
    let answer = unsafe { hypercall(HypercallNumber::SEND_IPI, [1, 0, 0, command]) };
    let expected = Err(HypercallError::INVALID);
    ensure!(answer == expected, "a shorthand: {answer:?}");
    let all = CpuSet::first(cpus::count());
    let before: [u64; per_cpu::MAX_CPUS] =
        core::array::from_fn(|cpu| trap::count_on(cpu, SELF_VECTOR));
    let came = |cpu: usize| trap::count_on(cpu, SELF_VECTOR) - before[cpu];
    for round in 0..ROUNDS {
        // SAFETY: all CPUs of the set are online, and the vector has a handler.
        unsafe { smp::send_ipi_set(&raw const all, SELF_VECTOR) };
        let start = time::clock_ns();
        while all.iter().any(|cpu| came(cpu) <= round) {
            let late = time::clock_ns() - start > 5_000_000_000;
            ensure!(!late, "an interrupt of round {round} did not come");
        }
    }
    for cpu in all.iter() {
        ensure!(
            came(cpu) == ROUNDS,
            "{} came to CPU {cpu} instead of {ROUNDS}",
            came(cpu)
        );
    }
    Ok(text!("{ROUNDS} rounds to {} CPUs", cpus::count()))
}

/// The host takes a yield to any CPU, also to one that does not wait to run.
pub(super) fn sched_yield() -> Outcome {
    for cpu in 0..cpus::count() {
        let Some(id) = pvops_backend_native::apic_id(cpu) else {
            return Err(text!("CPU {cpu} has no APIC id"));
        };
        // SAFETY: it touches no memory.
        let answer = unsafe { hypercall(HypercallNumber::SCHED_YIELD, [u64::from(id)]) };
        ensure!(answer == Ok(0), "to CPU {cpu}: {answer:?}");
    }
    Ok(text!("to {} CPUs", cpus::count()))
}

/// The host is told not to poll for this CPU, and to do it again.
pub(super) fn poll_control() -> Outcome {
    const POLL_CONTROL: u32 = 0x4b56_4d05;
    // SAFETY: the feature bit says that the register exists.
    let may_poll = || unsafe { cpu::read_msr(POLL_CONTROL) };
    let before = may_poll();
    let stopped = stop_host_polling().map(|()| may_poll());
    let resumed = resume_host_polling().map(|()| may_poll());
    ensure!(
        (before, stopped, resumed) == (1, Ok(0), Ok(1)),
        "{before}, stopped {stopped:?}, resumed {resumed:?}"
    );
    Ok(text!("stopped and resumed"))
}

/// Why the host can't pair its clock with the time-stamp counter, if it says so.
pub(super) fn no_clock_pairing() -> Option<Text> {
    match clock_pair() {
        Err(ClockPairError::Refused(HypercallError::UNSUPPORTED)) => Some(text!(
            "refused: the host's clock is not its time-stamp counter"
        )),
        _ => None,
    }
}

/// The host's clock is the one that the kernel reads, and its time-stamp counter is this guest's.
pub(super) fn clock_pairing() -> Outcome {
    const SECOND_NS: u64 = 1_000_000_000;
    let (wall_before, tsc_before) = (time::wall_clock_ns(), cpu::read_tsc_ordered());
    let pair = match clock_pair() {
        Ok(pair) => pair,
        Err(error) => return Err(text!("{error}")),
    };
    let (wall_after, tsc_after) = (time::wall_clock_ns(), cpu::read_tsc_ordered());
    ensure!(
        (tsc_before..=tsc_after).contains(&pair.tsc),
        "{} is not between {tsc_before} and {tsc_after}",
        pair.tsc
    );
    // The host may set its clock between.
    ensure!(
        (wall_before - SECOND_NS..=wall_after + SECOND_NS).contains(&pair.wall_clock_ns),
        "{} ns is not between {wall_before} and {wall_after}",
        pair.wall_clock_ns
    );
    Ok(text!("{} ns at tick {}", pair.wall_clock_ns, pair.tsc))
}
