//! What interrupts cost: by the timer, to end, and to another CPU; `self_interrupts` has those to this one.

use core::hint::spin_loop;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use pvops_backend_xen::vcpu::{self, VcpuId};
use pvops_core::{apic, irq, lock, time};

use super::exits::write_msr;
use super::self_interrupts::{self, send};
use super::{Bench, Work, arch, tsc, turns};
use crate::cpus;
use crate::trap::{self, END_VECTOR, TIMER_VECTOR};
use crate::work::{begin, finish, run_on};

/// Runs all that this host can do.
pub(super) fn run(bench: &Bench<'_>) {
    irq::without(|| {
        self_interrupts::run(bench);
        by_timer(bench);
        timer(bench);
        ends(bench);
    });
    if cpus::count() > 1 {
        between(bench);
        turns::run(bench);
    }
}

/// In the handler of [`END_VECTOR`]: ends the interrupt, and keeps what that has cost.
pub(crate) fn end() {
    let by_register = BY_REGISTER.load(Ordering::Relaxed);
    let start = tsc();
    if by_register {
        // SAFETY: every local APIC has the register.
        unsafe { apic::write(END_OF_INTERRUPT, 0) };
    } else {
        apic::eoi();
    }
    END_TICKS.store(tsc() - start, Ordering::Relaxed);
}

/// The local APIC's register, by its x2APIC number. Intel SDM volume 3, table 12-6.
const END_OF_INTERRUPT: u32 = 0xb;
static BY_REGISTER: AtomicBool = AtomicBool::new(false);
static END_TICKS: AtomicU64 = AtomicU64::new(0);

/// An event that has passed already, and one that is due soon, until it has come.
#[inline(never)]
fn by_timer(bench: &Bench<'_>) {
    /// As in `vmexit`, which counts ticks.
    const SOON_NS: u64 = 3_000;
    let event = |deadline_ns| {
        let before = trap::count(TIMER_VECTOR);
        let _ = time::set_event(deadline_ns);
        // SAFETY: as above.
        unsafe { irq::enable() };
        until_came(TIMER_VECTOR, before);
        irq::disable();
    };
    bench.exit("tscdeadline_immed", "op", |_| event(0));
    bench.exit("tscdeadline", "op", |_| event(time::clock_ns() + SOON_NS));
}

/// Setting the timer to what does not come.
#[inline(never)]
fn timer(bench: &Bench<'_>) {
    const FAR_NS: u64 = u64::MAX / 4;
    bench.exit("set_event", "op", |_| {
        let _ = time::set_event(FAR_NS);
    });
    time::cancel_event();
    if bench.lacks("ring-0") {
        bench.exit("set_event", "call", |_| {
            // The boot CPU measures.
            let _ = vcpu::set_singleshot_timer(VcpuId(0), FAR_NS);
        });
        let _ = vcpu::stop_singleshot_timer(VcpuId(0));
    } else if has_deadline() {
        const TSC_DEADLINE: u32 = 0x6e0;
        // SAFETY: the CPU has the register; the timer's interrupt has a handler.
        bench.exit("set_event", "instruction", |_| unsafe {
            write_msr(TSC_DEADLINE, u64::MAX / 4);
        });
        time::cancel_event();
    }
}

/// Whether the local APIC's timer takes deadlines. Intel SDM volume 2, CPUID.
fn has_deadline() -> bool {
    const FEATURES: u32 = 1;
    const ECX_TSC_DEADLINE: u32 = 1 << 24;
    arch::__cpuid(FEATURES).ecx & ECX_TSC_DEADLINE != 0
}

/// The end of an interrupt that has come, as a host may say then that it need not hear of it.
#[inline(never)]
fn ends(bench: &Bench<'_>) {
    const SAMPLES: usize = 101;
    let empty = [(); SAMPLES].map(|()| {
        let start = tsc();
        tsc() - start
    });
    let overhead = empty.into_iter().min().unwrap_or(0);
    let ways: &[(&str, bool)] = match bench.lacks("ring-0") {
        true => &[("op", false)],
        false => &[("register", true), ("op", false)],
    };
    for &(way, by_register) in ways {
        BY_REGISTER.store(by_register, Ordering::Relaxed);
        let work = Work::new("exit", "eoi", way);
        bench.take::<SAMPLES>(work, 1, overhead, || {
            let before = trap::count(END_VECTOR);
            send(END_VECTOR);
            // SAFETY: as above.
            unsafe { irq::enable() };
            until_came(END_VECTOR, before);
            irq::disable();
            Some(END_TICKS.load(Ordering::Relaxed))
        });
    }
}

/// Waits until a vector has come once more.
#[inline(always)]
pub(super) fn until_came(vector: u8, before: u64) {
    until(|| trap::count(vector) != before);
}

/// Waits, but not for ever.
#[inline(always)]
pub(super) fn until(is_so: impl Fn() -> bool) {
    const PATIENCE_NS: u64 = 10_000_000_000;
    /// Before the clock is asked, which what is measured does not wait for.
    const LOOKS: u32 = 10_000_000;
    let mut deadline_ns = u64::MAX;
    loop {
        for _ in 0..LOOKS {
            if is_so() {
                return;
            }
            spin_loop();
        }
        let now_ns = time::clock_ns();
        assert!(now_ns < deadline_ns, "what is measured does not happen");
        deadline_ns = deadline_ns.min(now_ns + PATIENCE_NS);
    }
}

/// From this CPU to the second one and back.
#[inline(never)]
fn between(bench: &Bench<'_>) {
    const SAMPLES: usize = 101;
    bench.exit("ipi", "op", |_| {
        run_on(1, |_| 0, 0);
    });
    bench.take::<SAMPLES>(Work::new("exit", "ipi_halt", "op"), 1, 0, || {
        let_it_sleep();
        let start = tsc();
        run_on(1, |_| 0, 0)?;
        Some(tsc() - start)
    });
    let work = Work::new("exit", "kick", "op");
    if bench.wants(work) {
        WORD.store(0, Ordering::Relaxed);
        ANSWER.store(0, Ordering::Relaxed);
        begin(1, follow, SAMPLES);
        bench.take::<SAMPLES>(work, 1, 0, || {
            let_it_sleep();
            let next = ANSWER.load(Ordering::Relaxed) + 1;
            WORD.store(next, Ordering::Release);
            let start = tsc();
            lock::kick(1);
            until(|| ANSWER.load(Ordering::Acquire) == next);
            Some(tsc() - start)
        });
        finish(1);
    }
}

/// What the second CPU waits for, as a waiter for a lock does, and what it says then.
static WORD: AtomicU32 = AtomicU32::new(0);
static ANSWER: AtomicU32 = AtomicU32::new(0);

fn follow(rounds: usize) -> u64 {
    irq::without(|| {
        for seen in 0..rounds as u32 {
            while WORD.load(Ordering::Acquire) == seen {
                // SAFETY: the word is static.
                unsafe { lock::wait(WORD.as_ptr(), seen) };
            }
            ANSWER.store(seen + 1, Ordering::Release);
        }
    });
    0
}

/// Long enough for a CPU that has nothing to do, as `vmexit` sees it.
fn let_it_sleep() {
    const WHILE_TICKS: u64 = 2_000;
    let start = tsc();
    while tsc() - start < WHILE_TICKS {}
}
