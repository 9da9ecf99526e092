//! Events as the kernel's interrupt vectors.
//!
//! A PV guest has no local APIC. What would come by it comes by event channels here: this CPU's event
//! (VIRQ_TIMER), and interrupts from CPU to CPU, for which each CPU has one channel and a bit for each
//! vector. All other ports come as the vector that was lent for them.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use pvops_core::cpu_set::MAX_CPUS;

use super::{this_cpu, traps};
use crate::error::XenError;
use crate::event_channel::{Port, Virq, operations};
use crate::shared_info::{self, SharedInfo};
use crate::vcpu::VcpuId;

/// Binds this CPU's channel for interrupts of other CPUs, and its timer's.
pub(super) fn start() -> Result<(), XenError> {
    let (cpu, vcpu) = (this_cpu::index(), this_cpu::id());
    let slot = SLOTS.get(cpu).ok_or(XenError::TOO_BIG)?;
    if slot.ipi.load(Ordering::Relaxed) == NONE {
        slot.ipi
            .store(operations::bind_ipi(vcpu)?.0, Ordering::Release);
        slot.timer.store(
            operations::bind_virq(Virq::TIMER, vcpu)?.0,
            Ordering::Release,
        );
    }
    slot.online.store(true, Ordering::Release);
    for port in [&slot.ipi, &slot.timer] {
        operations::unmask(Port(port.load(Ordering::Relaxed)))?;
    }
    Ok(())
}

/// Sends this CPU no interrupts any more.
pub(super) fn stop() {
    let Some(slot) = SLOTS.get(this_cpu::index()) else {
        return;
    };
    slot.online.store(false, Ordering::Release);
    slot.vectors
        .iter()
        .for_each(|word| word.store(0, Ordering::Relaxed));
}

/// Masks all ports: none has been bound.
pub(super) fn mask_all() {
    if let Some(page) = shared_info::get() {
        page.mask
            .iter()
            .for_each(|word| word.store(u64::MAX, Ordering::Relaxed));
    }
}

/// This CPU's event comes as that vector.
pub(super) fn set_timer_vector(vector: u8) {
    TIMER_VECTOR.store(vector, Ordering::Relaxed);
}

/// Sends the interrupt `vector` to a CPU that was brought up.
pub(super) fn send(cpu: usize, vector: u8) {
    let Some(slot) = SLOTS.get(cpu) else { return };
    if !slot.online.load(Ordering::Acquire) {
        return;
    }
    let (word, bit) = (usize::from(vector / 64), 1 << (vector % 64));
    let had = slot.vectors[word].fetch_or(bit, Ordering::AcqRel);
    if had & bit == 0 {
        // A port that was bound can be sent to.
        let _ = operations::send(Port(slot.ipi.load(Ordering::Relaxed)));
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
        .enumerate()
        .filter(|(_, slot)| slot.online.load(Ordering::Acquire))
        .map(|(cpu, _)| cpu)
}

/// The handler of the next interrupt that has come to this CPU, or 0: for the callback's stub, upcalls
/// masked. If there are more, Xen calls again when this one has ended.
pub(super) extern "C" fn next_handler() -> usize {
    let cpu = this_cpu::index();
    let (Some(slot), Some(info), Some(page)) =
        (SLOTS.get(cpu), shared_info::of(cpu), shared_info::get())
    else {
        return 0;
    };
    info.upcall_pending.store(0, Ordering::SeqCst);
    info.pending_selector.swap(0, Ordering::SeqCst);
    // Words of bits have ports of all CPUs, and others' are not for this one to take.
    if page.take(slot.timer.load(Ordering::Relaxed)) {
        slot.raise(TIMER_VECTOR.load(Ordering::Relaxed));
    }
    // What it is for is in the vectors.
    page.take(slot.ipi.load(Ordering::Relaxed));
    let Some(vector) = slot.take() else { return 0 };
    if slot.has_more() {
        info.upcall_pending.store(1, Ordering::SeqCst);
    }
    traps::handler(vector)
}

impl SharedInfo {
    /// Whether an event of the port has come, which is thereby taken.
    fn take(&self, port: u32) -> bool {
        let (word, bit) = (port as usize / 64, 1 << (port % 64));
        let pending = self.pending.get(word);
        pending.is_some_and(|word| word.fetch_and(!bit, Ordering::AcqRel) & bit != 0)
    }
}

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

/// Xen's number of a CPU. PV guests have the same.
pub(super) fn vcpu(cpu: usize) -> VcpuId {
    VcpuId(cpu as u32)
}
