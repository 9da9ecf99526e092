//! Event channels of Xen.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use pvops_backend_xen::event_channel::{self as events, Port, Priority, StatusKind, Virq};
use pvops_backend_xen::{DomainId, XenError, hvm, system_time_ns, vcpu};
use pvops_core::{irq, time};

use super::{Outcome, long_or};
use crate::cpus;
use crate::per_cpu::{self, MAX_CPUS};
use crate::text::{Text, ensure, text};
use crate::work::run_on;

/// Whether the Xen backend is installed and takes events.
pub(super) fn is_on() -> bool {
    events::is_on()
}

/// Why there is no virtual timer for the check.
pub(super) fn no_timer_to_bind() -> Option<Text> {
    hvm::callback()
        .is_none()
        .then(|| text!("the timer is the library's, for time.set_event"))
}

/// Why other CPUs take no events, if they don't.
pub(super) fn first_cpu_takes_all() -> Option<Text> {
    takes_all().then(|| text!("CPU 0 takes all events"))
}

fn takes_all() -> bool {
    hvm::callback().is_some_and(|callback| !callback.comes_to_each_cpu())
}

/// A virtual timer of each CPU that takes events comes there, not before its time.
pub(super) fn timer() -> Outcome {
    let this = per_cpu::index();
    let cpus = if takes_all() { 1 } else { cpus::count() };
    for cpu in 0..cpus {
        let result = if cpu == this {
            timer_here(0)
        } else {
            run_on(cpu, timer_here, 0).unwrap_or(GONE)
        };
        ensure!(
            result == GOOD,
            "CPU {cpu}: {}",
            TIMER_FAULTS[result as usize]
        );
    }
    let abi = if events::is_fifo() {
        "FIFO"
    } else {
        "two-level"
    };
    Ok(text!(
        "{TIMER_ROUNDS} on each of {cpus} CPUs, {abi}, {:?}",
        hvm::callback()
    ))
}

const TIMER_ROUNDS: u64 = 5;
const GOOD: u64 = 0;
const GONE: u64 = 5;
const TIMER_FAULTS: [&str; 6] = [
    "good",
    "the timer is not to be had",
    "Xen does not set it",
    "it did not come",
    "it came too early",
    "it is gone",
];

fn timer_here(_: usize) -> u64 {
    const AHEAD_NS: u64 = 1_000_000;
    let cpu = per_cpu::index();
    let (Ok(port), Some(vcpu)) = (events::bind_virq(Virq::TIMER, cpu, count), vcpu::id(cpu)) else {
        return 1;
    };
    let mut result = GOOD;
    for _ in 0..TIMER_ROUNDS {
        let before = counted(cpu);
        let deadline = system_time_ns() + AHEAD_NS;
        result = if vcpu::set_singleshot_timer(vcpu, deadline).is_err() {
            2
        } else if !comes(|| counted(cpu) > before) {
            3
        } else if system_time_ns() < deadline {
            4
        } else {
            continue;
        };
        break;
    }
    if events::close(port).is_err() {
        result = 1;
    }
    result
}

/// An event of a masked port waits until the port is unmasked, and comes once.
pub(super) fn mask() -> Outcome {
    const WAIT_NS: u64 = 1_000_000;
    const ROUNDS: u64 = 100;
    let cpu = per_cpu::index();
    let port = events::bind_ipi(cpu, count).map_err(refused)?;
    for round in 0..ROUNDS {
        let before = counted(cpu);
        events::mask(port);
        // What is unmasked without an event brings none.
        if round % 2 == 1 {
            events::unmask(port).map_err(refused)?;
            events::mask(port);
        }
        for _ in 0..3 {
            events::send(port).map_err(refused)?;
        }
        if round == 0 {
            let start = time::clock_ns();
            while time::clock_ns() - start < WAIT_NS {}
        }
        let early = counted(cpu) - before;
        ensure!(early == 0, "{early} events came through the mask");
        events::unmask(port).map_err(refused)?;
        ensure!(
            comes(|| counted(cpu) > before),
            "the event of round {round} was lost"
        );
        events::send(port).map_err(refused)?;
        ensure!(
            comes(|| counted(cpu) > before + 1),
            "the event after round {round} was lost"
        );
        let came = counted(cpu) - before;
        ensure!(came == 2, "{came} events came instead of 2");
    }
    events::close(port).map_err(refused)?;
    mask_in_handler()?;
    let strays = events::stray_events();
    ensure!(strays == 0, "{strays} events were nobody's");
    Ok(text!("{ROUNDS} waited and came"))
}

/// Of two ports with events, the handler of the first masks the other, whose event then waits.
fn mask_in_handler() -> Result<(), Text> {
    static PAIR: [AtomicU32; 2] = [const { AtomicU32::new(0) }; 2];
    static CAME: AtomicU64 = AtomicU64::new(0);
    fn mask_other(port: Port) {
        CAME.fetch_add(1, Ordering::Relaxed);
        let pair = PAIR.each_ref().map(|of| Port(of.load(Ordering::Relaxed)));
        pair.into_iter()
            .filter(|&of| of != port)
            .for_each(events::mask);
    }
    let came = || CAME.load(Ordering::Relaxed);
    let mut pair = [Port(0); 2];
    for (port, of) in pair.iter_mut().zip(&PAIR) {
        *port = events::bind_ipi(per_cpu::index(), mask_other).map_err(refused)?;
        of.store(port.0, Ordering::Relaxed);
    }
    irq::without(|| pair.into_iter().try_for_each(events::send)).map_err(refused)?;
    ensure!(comes(|| came() > 0), "neither of two events came");
    ensure!(came() == 1, "an event came that a handler had masked");
    pair.into_iter()
        .try_for_each(events::unmask)
        .map_err(refused)?;
    ensure!(
        comes(|| came() == 2),
        "an event that a handler had masked was lost"
    );
    pair.into_iter()
        .try_for_each(events::close)
        .map_err(refused)
}

/// The event that comes when a channel is bound finds its handler.
pub(super) fn first_event() -> Result<(), Text> {
    let before = OTHERS.load(Ordering::Relaxed);
    let one = events::bind_unbound(DomainId::SELF, count_one).map_err(refused)?;
    let other = events::bind_interdomain(DomainId::SELF, one, count_other).map_err(refused)?;
    let came = comes(|| OTHERS.load(Ordering::Relaxed) > before);
    events::close(other).map_err(refused)?;
    events::close(one).map_err(refused)?;
    ensure!(came, "the event of binding did not come");
    Ok(())
}

/// A channel from this domain to itself carries events both ways.
pub(super) fn loopback() -> Outcome {
    const COUNT: u64 = 100;
    first_event()?;
    let one = events::bind_unbound(DomainId::SELF, count_one).map_err(refused)?;
    let status = events::status(one).map_err(refused)?.kind;
    ensure!(matches!(status, StatusKind::Unbound(_)), "{status:?}");
    let other = events::bind_interdomain(DomainId::SELF, one, count_other).map_err(refused)?;
    let status = events::status(other).map_err(refused)?.kind;
    ensure!(
        matches!(status, StatusKind::Interdomain(_, port) if port == one),
        "{status:?} instead of {one:?}"
    );
    let (ones, others) = (&ONES, &OTHERS);
    let (before, other_before) = (ones.load(Ordering::Relaxed), others.load(Ordering::Relaxed));
    for sent in 1..=COUNT {
        events::send(one).map_err(refused)?;
        ensure!(
            comes(|| others.load(Ordering::Relaxed) >= other_before + sent),
            "event {sent} did not come"
        );
        events::send(other).map_err(refused)?;
        ensure!(
            comes(|| ones.load(Ordering::Relaxed) >= before + sent),
            "event {sent} did not come back"
        );
    }
    events::close(other).map_err(refused)?;
    events::close(one).map_err(refused)?;
    let status = events::status(one).map_err(refused)?.kind;
    ensure!(status == StatusKind::Closed, "{status:?} after all");
    let refusal = events::send(one);
    ensure!(
        refusal == Err(XenError::INVALID),
        "{refusal:?} to a closed port"
    );
    Ok(text!("{COUNT} there and back, {one:?} and {other:?}"))
}

/// Ports beyond the first frame of event words, where there can be so many, are as good as others.
pub(super) fn many_ports() -> Outcome {
    const COUNT: usize = 1100;
    let cpu = per_cpu::index();
    let mut ports = [Port(0); COUNT];
    let mut bound = 0;
    for port in &mut ports {
        match events::bind_ipi(cpu, count) {
            Ok(new) => *port = new,
            Err(XenError::NO_SPACE) => break,
            Err(error) => return Err(refused(error)),
        }
        bound += 1;
    }
    let ports = &ports[..bound];
    ensure!(bound > 0, "there is no port");
    let before = counted(cpu);
    irq::without(|| ports.iter().try_for_each(|&port| events::send(port))).map_err(refused)?;
    let all = comes(|| counted(cpu) >= before + bound as u64);
    let came = counted(cpu) - before;
    ports
        .iter()
        .try_for_each(|&port| events::close(port))
        .map_err(refused)?;
    ensure!(all && came == bound as u64, "{came} of {bound} events came");
    Ok(text!(
        "{bound} ports to {:?}, an event of each",
        ports[bound - 1]
    ))
}

/// In the FIFO ABI, of two events that wait the one of higher priority comes first.
pub(super) fn priority() -> Outcome {
    static ORDER: AtomicU32 = AtomicU32::new(0);
    fn low(_: Port) {
        ORDER.fetch_add(1, Ordering::Relaxed);
    }
    fn high(_: Port) {
        let _ = ORDER.compare_exchange(0, 10, Ordering::Relaxed, Ordering::Relaxed);
    }
    let cpu = per_cpu::index();
    let low = events::bind_ipi(cpu, low).map_err(refused)?;
    let high = events::bind_ipi(cpu, high).map_err(refused)?;
    let set = events::set_priority(low, Priority::LOWEST)
        .and_then(|()| events::set_priority(high, Priority::HIGHEST));
    if set.is_ok() {
        irq::without(|| events::send(low).and_then(|()| events::send(high))).map_err(refused)?;
        ensure!(
            comes(|| ORDER.load(Ordering::Relaxed) % 10 == 1),
            "the event of low priority did not come"
        );
    }
    events::close(low).map_err(refused)?;
    events::close(high).map_err(refused)?;
    if !events::is_fifo() {
        ensure!(set == Err(XenError::NO_SUCH_CALL), "{set:?}");
        return Ok(text!("the two-level ABI has none"));
    }
    set.map_err(refused)?;
    let order = ORDER.load(Ordering::Relaxed);
    ensure!(order == 11, "the order is {order}");
    Ok(text!("the later one came first"))
}

/// Events to other CPUs, each answered by one to this; then ten thousand that wait for nothing, of which
/// the last is not lost.
pub(super) fn ipi() -> Outcome {
    const SENT: u64 = 10_000;
    let rounds = long_or(10_000, 100);
    let this = per_cpu::index();
    let back = events::bind_ipi(this, count).map_err(refused)?;
    BACK.store(back.0, Ordering::Relaxed);
    let mut handled = 0;
    for cpu in (0..cpus::count()).filter(|&cpu| cpu != this) {
        let there = events::bind_ipi(cpu, answer).map_err(refused)?;
        let (before, answered) = (counted(this), counted(cpu));
        for round in 1..=rounds {
            events::send(there).map_err(refused)?;
            ensure!(
                comes(|| counted(this) >= before + round),
                "round {round} to CPU {cpu} did not come back"
            );
        }
        let (came, answered) = (counted(this) - before, counted(cpu) - answered);
        ensure!(
            came == rounds && answered == rounds,
            "CPU {cpu}: {answered} there and {came} back, not {rounds}"
        );
        events::close(there).map_err(refused)?;

        let there = events::bind_ipi(cpu, look).map_err(refused)?;
        let before = counted(cpu);
        SEEN.store(0, Ordering::Relaxed);
        for number in 1..=SENT {
            NUMBER.store(number, Ordering::Release);
            events::send(there).map_err(refused)?;
        }
        ensure!(
            comes(|| SEEN.load(Ordering::Acquire) == SENT),
            "of {SENT} events to CPU {cpu} number {} was the last",
            SEEN.load(Ordering::Relaxed)
        );
        handled += counted(cpu) - before;
        events::close(there).map_err(refused)?;
    }
    events::close(back).map_err(refused)?;
    let others = cpus::count() - 1;
    Ok(text!(
        "{rounds} to each of {others} CPUs and back, then {SENT} of which {handled} were handled"
    ))
}

/// A port moves from CPU to CPU, and no event is lost on the way. Where one takes all, no other may have any.
pub(super) fn move_between_cpus() -> Outcome {
    const ROUNDS: u32 = 30;
    if takes_all() {
        return stay_with_first_cpu();
    }
    let one = events::bind_unbound(DomainId::SELF, count).map_err(refused)?;
    let other = events::bind_interdomain(DomainId::SELF, one, ignore).map_err(refused)?;
    for round in 0..ROUNDS {
        let cpu = round as usize % cpus::count();
        // One that is on its way comes on either of them.
        let all = || (0..cpus::count()).map(counted).sum::<u64>();
        let before = all();
        events::send(other).map_err(refused)?;
        events::set_cpu(one, cpu).map_err(refused)?;
        ensure!(
            comes(|| all() > before),
            "it was lost on the way to CPU {cpu}"
        );
        let before = counted(cpu);
        events::send(other).map_err(refused)?;
        ensure!(
            comes(|| counted(cpu) > before),
            "it did not come to CPU {cpu}"
        );
    }
    events::close(other).map_err(refused)?;
    events::close(one).map_err(refused)?;
    let strays = events::stray_events();
    ensure!(strays == 0, "{strays} events were nobody's");
    Ok(text!("{ROUNDS} moves among {} CPUs", cpus::count()))
}

fn stay_with_first_cpu() -> Outcome {
    let port = events::bind_unbound(DomainId::SELF, count).map_err(refused)?;
    let moved = events::set_cpu(port, 1);
    ensure!(
        moved == Err(XenError::INVALID),
        "a port was moved: {moved:?}"
    );
    let bound = events::bind_ipi(1, count);
    ensure!(
        bound == Err(XenError::INVALID),
        "another CPU has one: {bound:?}"
    );
    events::close(port).map_err(refused)?;
    Ok(text!("ports stay with CPU 0"))
}

static COUNTS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
static ONES: AtomicU64 = AtomicU64::new(0);
static OTHERS: AtomicU64 = AtomicU64::new(0);
static NUMBER: AtomicU64 = AtomicU64::new(0);
static SEEN: AtomicU64 = AtomicU64::new(0);
/// The port by which other CPUs answer.
static BACK: AtomicU32 = AtomicU32::new(0);

fn count(_: Port) {
    COUNTS[per_cpu::index()].fetch_add(1, Ordering::Relaxed);
}

fn counted(cpu: usize) -> u64 {
    COUNTS[cpu].load(Ordering::Relaxed)
}

fn answer(port: Port) {
    count(port);
    // If it fails, the answer is missed.
    let _ = events::send(Port(BACK.load(Ordering::Relaxed)));
}

/// Notes which event was the last when this one was handled.
fn look(port: Port) {
    SEEN.store(NUMBER.load(Ordering::Acquire), Ordering::Release);
    count(port);
}

fn count_one(_: Port) {
    ONES.fetch_add(1, Ordering::Relaxed);
}

fn count_other(_: Port) {
    OTHERS.fetch_add(1, Ordering::Relaxed);
}

pub(super) fn ignore(_: Port) {}

pub(super) fn refused(error: XenError) -> Text {
    text!("Xen: {error}")
}

/// Waits up to ten seconds.
pub(super) fn comes(mut is_there: impl FnMut() -> bool) -> bool {
    const PATIENCE_NS: u64 = 10_000_000_000;
    const LOOKS: u32 = 1000;
    let start = time::clock_ns();
    loop {
        // The clock takes much longer than a look.
        for _ in 0..LOOKS {
            if is_there() {
                return true;
            }
            core::hint::spin_loop();
        }
        if time::clock_ns() - start > PATIENCE_NS {
            return false;
        }
    }
}
