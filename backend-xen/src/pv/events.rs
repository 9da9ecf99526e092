//! Events as the kernel's interrupt vectors.
//!
//! A PV guest has no local APIC. What would come by it comes by event channels here: this CPU's event
//! (VIRQ_TIMER), and interrupts from CPU to CPU, for which each CPU has one channel and a bit for each
//! vector. All other ports come as the vector that was lent for them.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use pvops_core::cpu_set::MAX_CPUS;

use super::{this_cpu, traps};
use crate::error::XenError;
use crate::event_channel::{self, Port, Virq, bind_without_upcall, operations};
use crate::shared_info;

/// Binds this CPU's channel for interrupts of other CPUs, and its timer's.
pub(super) fn start() -> Result<(), XenError> {
    let cpu = this_cpu::index();
    let slot = SLOTS.get(cpu).ok_or(XenError::TOO_BIG)?;
    let vcpu = this_cpu::id();
    // Each once: where the last bring-up has failed, there may be the one without the other.
    if slot.ipi.load(Ordering::Relaxed) == NONE {
        let ipi = bind_without_upcall(vcpu, taken, || operations::bind_ipi(vcpu))?;
        slot.ipi.store(ipi.0, Ordering::Release);
    }
    if slot.timer.load(Ordering::Relaxed) == NONE {
        let timer = || operations::bind_virq(Virq::TIMER, vcpu);
        let timer = bind_without_upcall(vcpu, taken, timer)?;
        slot.timer.store(timer.0, Ordering::Release);
    }
    slot.online.store(true, Ordering::Release);
    USED_SLOTS.fetch_max(cpu + 1, Ordering::Release);
    Ok(())
}

/// The upcall has seen to these two.
fn taken(_: Port) {}

/// Sends this CPU no interrupts any more. Those that wait are lost, but for events of ports.
pub(super) fn stop() {
    let cpu = this_cpu::index();
    let Some(slot) = SLOTS.get(cpu) else {
        return;
    };
    slot.online.store(false, Ordering::Release);
    slot.vectors
        .iter()
        .for_each(|word| word.store(0, Ordering::Relaxed));
    event_channel::deferred::put_back(cpu);
}

/// The channels are gone, with the place where the domain was; CPUs are brought up again.
pub(super) fn forget() {
    for slot in &SLOTS {
        slot.online.store(false, Ordering::Relaxed);
        slot.ipi.store(NONE, Ordering::Relaxed);
        slot.timer.store(NONE, Ordering::Relaxed);
        slot.vectors
            .iter()
            .for_each(|word| word.store(0, Ordering::Relaxed));
    }
}

/// This CPU's event comes as that vector.
pub(super) fn set_timer_vector(vector: u8) {
    TIMER_VECTOR.store(vector, Ordering::Relaxed);
}

/// Sends the interrupt `vector` to a CPU that was brought up. Those of exceptions are not sent, as no local
/// APIC sends them.
pub(super) fn send(cpu: usize, vector: u8) {
    let Some(slot) = SLOTS.get(cpu).filter(|_| vector >= FIRST_VECTOR) else {
        return;
    };
    if !slot.online.load(Ordering::Acquire) {
        return;
    }
    let (word, bit) = (usize::from(vector / 64), 1 << (vector % 64));
    let had = slot.vectors[word].fetch_or(bit, Ordering::AcqRel);
    if had & bit == 0 {
        // A port that was bound can be sent to.
        let _ = event_channel::send(Port(slot.ipi.load(Ordering::Relaxed)));
    }
}

/// 32 of this CPU's vectors that wait: from 32 times `index` on.
pub(super) fn waiting(index: u32) -> u32 {
    let word = SLOTS
        .get(this_cpu::index())
        .and_then(|slot| slot.vectors.get(index as usize / 2))
        .map_or(0, |word| word.load(Ordering::Acquire));
    (word >> (index % 2 * 32)) as u32
}

/// CPUs that were brought up.
pub(super) fn online() -> impl Iterator<Item = usize> {
    SLOTS
        .iter()
        .take(USED_SLOTS.load(Ordering::Acquire))
        .enumerate()
        .filter(|(_, slot)| slot.online.load(Ordering::Acquire))
        .map(|(cpu, _)| cpu)
}

/// The handler of the next interrupt that has come to this CPU, or 0: for the callback's stub, upcalls
/// masked. If there are more, Xen calls again when this one has ended.
pub(super) extern "C" fn next_handler() -> usize {
    let cpu = this_cpu::index();
    let (Some(slot), Some(info)) = (SLOTS.get(cpu), shared_info::of(cpu)) else {
        return 0;
    };
    let [timer, ipi] = [&slot.timer, &slot.ipi].map(|port| port.load(Ordering::Relaxed));
    event_channel::visit_all(cpu, info, &mut |port, _| {
        if port.0 == timer {
            // Before the kernel has said which, the event is nobody's.
            let vector = TIMER_VECTOR.load(Ordering::Relaxed);
            if vector >= FIRST_VECTOR {
                slot.raise(vector);
            }
        } else if port.0 != ipi
            && let Some(vector) = event_channel::lent_vector()
        {
            event_channel::deferred::put(cpu, port);
            slot.raise(vector);
        }
    });
    let Some(vector) = slot.take() else { return 0 };
    if slot.has_more() {
        info.upcall_pending.store(1, Ordering::SeqCst);
    }
    traps::handler(vector)
}

/// The first vector that a local APIC takes. Intel SDM volume 3, section 12.5.2.
const FIRST_VECTOR: u8 = 16;
const NONE: u32 = 0;
static TIMER_VECTOR: AtomicU8 = AtomicU8::new(0);

/// What one CPU is sent.
struct Slot {
    online: AtomicBool,
    ipi: AtomicU32,
    timer: AtomicU32,
    /// A bit for each vector that has been sent, and not handled.
    vectors: [AtomicU64; 4],
}

/// All CPUs that were ever brought up are among so many of the first.
static USED_SLOTS: AtomicUsize = AtomicUsize::new(0);

static SLOTS: [Slot; MAX_CPUS] = [const {
    Slot {
        online: AtomicBool::new(false),
        ipi: AtomicU32::new(NONE),
        timer: AtomicU32::new(NONE),
        vectors: [const { AtomicU64::new(0) }; 4],
    }
}; MAX_CPUS];

impl Slot {
    fn raise(&self, vector: u8) {
        self.vectors[usize::from(vector / 64)].fetch_or(1 << (vector % 64), Ordering::AcqRel);
    }

    /// The highest vector goes first, as with a local APIC.
    fn take(&self) -> Option<u8> {
        for (index, word) in self.vectors.iter().enumerate().rev() {
            let bits = word.load(Ordering::Acquire);
            if bits != 0 {
                let bit = 63 - bits.leading_zeros();
                word.fetch_and(!(1 << bit), Ordering::AcqRel);
                return Some((index * 64) as u8 + bit as u8);
            }
        }
        None
    }

    fn has_more(&self) -> bool {
        self.vectors
            .iter()
            .any(|word| word.load(Ordering::Acquire) != 0)
    }
}
