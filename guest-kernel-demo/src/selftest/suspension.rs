//! The toolstack saves the domain: it goes on as it was, or is restored as another one.

use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use pvops_backend_xen::shutdown_request::ShutdownRequest;
use pvops_backend_xen::suspend::{Suspension, suspend};
use pvops_core::{bring_up_cpu, irq, time};

use super::xen_domain::{ANSWER, await_answer, await_request, exchange, send, store, with_table};
use super::{Outcome, smp, time as time_checks, xen_events};
use crate::cpus;
use crate::interrupts;
use crate::text::{Text, ensure, text};
use crate::work::{begin, finish};
use crate::xenstore;

/// `xl save -c`: the domain stands still while the toolstack saves it, and then goes on.
pub(super) fn checkpoint() -> Outcome {
    saved("checkpoint", Suspension::Cancelled)
}

/// `xl save`, and `xl restore` in a new domain.
pub(super) fn moved() -> Outcome {
    saved("save", Suspension::Moved)
}

/// Has the toolstack save this domain. Afterwards clocks, events, interrupts, a watch that was set before,
/// and grants work.
fn saved(words: &str, wanted: Suspension) -> Outcome {
    const WATCHES: [(&str, &str); 1] = [(ANSWER, "kept")];
    const ROUNDS: u64 = 100;
    let [(node, token)] = WATCHES;
    with_table(|table| exchange(table, ROUNDS))?;
    store(|store| store.watch(node, token))?;
    let request = send(text!("{words}"))?;
    let taken = await_request()?;
    ensure!(
        taken == ShutdownRequest::SUSPEND,
        "{taken} instead of suspend"
    );
    let (day, clock) = (time::wall_clock_ns(), time::clock_ns());
    let suspension = suspend_all()?;
    let clock_gone = time::clock_ns().checked_sub(clock);
    let clock_gone = clock_gone.ok_or_else(|| text!("the clock went back"))?;
    let day_gone = time::wall_clock_ns().saturating_sub(day);
    ensure!(suspension == wanted, "{suspension:?} instead of {wanted:?}");
    if suspension == Suspension::Moved {
        // The toolstack takes longer than that.
        const STANDSTILL_NS: u64 = 50_000_000;
        ensure!(
            day_gone > clock_gone + STANDSTILL_NS,
            "the clock went on by {clock_gone} ns, the day by {day_gone}"
        );
        // While all other ports are as Xen gives them.
        xen_events::first_event()?;
        match xenstore::resume(&WATCHES) {
            Some(resumed) => resumed.map_err(|error| text!("xenstore: {error}"))?,
            None => return Err(text!("xenstore is not there any more")),
        }
        with_table(|table| {
            // SAFETY: the domain has moved.
            let resumed = unsafe { table.resume() };
            resumed.map_err(|error| text!("grants: {error}"))
        })?;
    }
    let said = await_answer(request)?;
    ensure!(said.as_bytes() == b"done", "dom0 says: {said}");
    let said = await_answer(send(text!("echo still-watched"))?)?;
    ensure!(said.as_bytes() == b"still-watched", "dom0 says: {said}");
    store(|store| store.unwatch(node, token))?;
    with_table(|table| exchange(table, ROUNDS))?;
    time_checks::ticks()?;
    if cpus::count() > 1 {
        smp::interrupts()?;
        smp::events()?;
    }
    Ok(text!(
        "clock ahead {} ms, day {} ms",
        clock_gone / 1_000_000,
        day_gone / 1_000_000
    ))
}

/// How many CPUs wait.
static WAITING: AtomicUsize = AtomicUsize::new(0);
/// What those are to do that wait.
static WORD: AtomicU8 = AtomicU8::new(WAIT);

const WAIT: u8 = 0;
/// Go on as if nothing had been.
const GO_ON: u8 = 1;
/// Go on where the host knows nothing of this CPU.
const COME_UP: u8 = 2;

/// Suspends the domain, while all other CPUs wait.
fn suspend_all() -> Result<Suspension, Text> {
    const PATIENCE_NS: u64 = 60_000_000_000;
    WAITING.store(0, Ordering::Relaxed);
    WORD.store(WAIT, Ordering::Relaxed);
    let others = 1..cpus::count();
    others.clone().for_each(|cpu| begin(cpu, wait, 0));
    let start = time::clock_ns();
    while WAITING.load(Ordering::Acquire) < others.len() {
        let late = time::clock_ns() - start > PATIENCE_NS;
        ensure!(!late, "a CPU does not run");
    }
    let suspended = irq::without(|| {
        // SAFETY: the others wait, no grant is in use, and there are no devices.
        let suspended = unsafe { suspend() };
        if let Ok(Suspension::Moved) = suspended {
            // SAFETY: the CPU was brought up again.
            unsafe { start_interrupts() };
            irq::disable();
        }
        suspended
    });
    let word = match suspended {
        Ok(Suspension::Moved) => COME_UP,
        _ => GO_ON,
    };
    WORD.store(word, Ordering::Release);
    for cpu in others {
        let came = finish(cpu);
        ensure!(came == Some(1), "CPU {cpu} does not go on: {came:?}");
    }
    suspended.map_err(|error| text!("suspending: {error}"))
}

/// What another CPU does meanwhile; 1 if it can go on.
fn wait(_: usize) -> u64 {
    irq::disable();
    WAITING.fetch_add(1, Ordering::Release);
    let word = loop {
        match WORD.load(Ordering::Acquire) {
            WAIT => core::hint::spin_loop(),
            word => break word,
        }
    };
    // SAFETY: interrupts have handlers; where the host knows nothing of this CPU it is brought up first.
    unsafe {
        if word == COME_UP {
            if bring_up_cpu().is_err() {
                return 0;
            }
            start_interrupts();
        }
        irq::enable();
    }
    1
}

/// Has interrupts come again on this CPU.
///
/// # Safety
///
/// The CPU was restored and brought up again; interrupts off.
unsafe fn start_interrupts() {
    // SAFETY: as the caller vouches.
    unsafe {
        #[cfg(target_arch = "x86")]
        crate::gdt::reload_task_register();
        interrupts::start();
    }
}
