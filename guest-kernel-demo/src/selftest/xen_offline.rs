//! Events of Xen for a CPU that is off.

use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use pvops_backend_xen::event_channel::{self as events, Handler, Port};
use pvops_backend_xen::{DomainId, XenError};
use pvops_core::{irq, smp};

use super::Outcome;
use super::xen_events::{comes, ignore, refused};
use crate::cpus;
use crate::per_cpu;
use crate::text::{ensure, text};
use crate::trap::STOP_VECTOR;

/// The CPU that goes off.
const CPU: usize = 1;

/// Events wait for the CPU that they are for; those of ports that are given to another come there, whether
/// they came before the CPU went off or after, or while it did.
pub(super) fn events_wait() -> Outcome {
    let before = Channel::open(|_| BEFORE.note()).map_err(refused)?;
    let during = Channel::open(|_| DURING.note()).map_err(refused)?;
    let after = Channel::open(|_| AFTER.note()).map_err(refused)?;
    let staying = Channel::open(|_| STAYING.note()).map_err(refused)?;
    BEFORE_SENDER.store(before.sender.0, Ordering::Relaxed);
    BEFORE_PORT.store(before.port.0, Ordering::Relaxed);
    DURING_SENDER.store(during.sender.0, Ordering::Relaxed);
    ensure!(cpus::stop_by(CPU, leave), "CPU {CPU} does not stop");
    events::set_cpu(during.port, 0).map_err(refused)?;
    // The CPU may have taken the first ones still.
    for (channel, seen) in [(&before, &BEFORE), (&during, &DURING)] {
        ensure!(
            comes(|| seen.count() == 1),
            "an event that came before CPU {CPU} went off: {seen:?}"
        );
        channel.send().map_err(refused)?;
        ensure!(
            comes(|| seen.came(2, 0)),
            "the one after it, when CPU {CPU} was off: {seen:?}"
        );
    }
    for round in 1..=2 {
        staying.send().map_err(refused)?;
        after.send().map_err(refused)?;
        if round == 1 {
            events::set_cpu(after.port, 0).map_err(refused)?;
        }
        ensure!(
            comes(|| AFTER.came(round, 0)),
            "event {round} of a port that moved after CPU {CPU} went off: {AFTER:?}"
        );
    }
    ensure!(STAYING.came(0, 0), "CPU {CPU} is off: {STAYING:?}");
    ensure!(cpus::start_one(CPU), "CPU {CPU} does not come back");
    ensure!(
        comes(|| STAYING.came(1, CPU)),
        "what waited for CPU {CPU}: {STAYING:?}"
    );
    [before, during, after, staying]
        .into_iter()
        .try_for_each(Channel::close)
        .map_err(refused)?;
    Ok(text!("those of three ports moved, and one waited"))
}

/// The CPU has an event that it does not take, and gives its port away. Then it takes one together with the
/// interrupt that stops it.
fn leave(_: usize) -> u64 {
    irq::disable();
    let [sender, port] = [&BEFORE_SENDER, &BEFORE_PORT].map(|port| port.load(Ordering::Relaxed));
    // If they fail, the event is missed.
    let _ = events::send(Port(sender));
    let _ = events::set_cpu(Port(port), 0);
    let _ = events::send(Port(DURING_SENDER.load(Ordering::Relaxed)));
    // SAFETY: the vector's handler stops the CPU, as it may here.
    unsafe { smp::send_ipi(CPU, STOP_VECTOR) };
    // SAFETY: all vectors have handlers.
    unsafe { irq::enable() };
    loop {
        core::hint::spin_loop();
    }
}

static BEFORE_SENDER: AtomicU32 = AtomicU32::new(0);
static BEFORE_PORT: AtomicU32 = AtomicU32::new(0);
static DURING_SENDER: AtomicU32 = AtomicU32::new(0);

static BEFORE: Seen = Seen::NOTHING;
static DURING: Seen = Seen::NOTHING;
static AFTER: Seen = Seen::NOTHING;
static STAYING: Seen = Seen::NOTHING;

/// How many events came, and where the last.
#[derive(Debug)]
struct Seen {
    count: AtomicU64,
    cpu: AtomicUsize,
}

impl Seen {
    #[expect(
        clippy::declare_interior_mutable_const,
        reason = "a value to begin with"
    )]
    const NOTHING: Seen = Seen {
        count: AtomicU64::new(0),
        cpu: AtomicUsize::new(0),
    };

    fn note(&self) {
        self.cpu.store(per_cpu::index(), Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Release);
    }

    fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    fn came(&self, count: u64, cpu: usize) -> bool {
        self.count() == count && self.cpu.load(Ordering::Relaxed) == cpu
    }
}

/// A channel of this domain to itself.
struct Channel {
    /// Of [`CPU`].
    port: Port,
    sender: Port,
}

impl Channel {
    fn open(handler: Handler) -> Result<Self, XenError> {
        let port = events::bind_unbound(DomainId::SELF, handler)?;
        let sender = events::bind_interdomain(DomainId::SELF, port, ignore)?;
        events::set_cpu(port, CPU)?;
        Ok(Channel { port, sender })
    }

    fn send(&self) -> Result<(), XenError> {
        events::send(self.sender)
    }

    fn close(self) -> Result<(), XenError> {
        events::close(self.sender)?;
        events::close(self.port)
    }
}
