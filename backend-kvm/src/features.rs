//! What KVM offers, as its CPUID leaf says.

use core::sync::atomic::{AtomicU32, Ordering};

use bitflags::bitflags;
use pvops_core::cpu;
use pvops_core::probe::Interface;

bitflags! {
    /// Features: leaf 1 of the interface, eax. Bits that are not named here are kept.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct Features: u32 {
        /// kvmclock by the old model-specific registers.
        const CLOCKSOURCE = 1 << 0;
        /// Ports need no delay.
        const NOP_IO_DELAY = 1 << 1;
        /// kvmclock by the new model-specific registers.
        const CLOCKSOURCE2 = 1 << 3;
        /// Async page faults.
        const ASYNC_PF = 1 << 4;
        /// Steal time, and whether a virtual CPU is preempted.
        const STEAL_TIME = 1 << 5;
        /// End of interrupt by memory.
        const PV_EOI = 1 << 6;
        /// A halted virtual CPU can be kicked.
        const PV_UNHALT = 1 << 7;
        /// TLB flushes can be left to the host.
        const PV_TLB_FLUSH = 1 << 9;
        /// Interrupts to many CPUs by one hypercall.
        const PV_SEND_IPI = 1 << 11;
        /// The guest may poll before it halts.
        const POLL_CONTROL = 1 << 12;
        /// Yield to another virtual CPU.
        const PV_SCHED_YIELD = 1 << 13;
        /// Async page faults announce themselves by interrupt.
        const ASYNC_PF_INT = 1 << 14;
        /// Message-signalled interrupts have 15 bits of destination.
        const MSI_EXT_DEST_ID = 1 << 15;
        /// Guest memory can be shared and made private by hypercall.
        const HC_MAP_GPA_RANGE = 1 << 16;
        /// The guest says when it may be migrated.
        const MIGRATION_CONTROL = 1 << 17;
        /// kvmclock's flag of stability means something.
        const CLOCKSOURCE_STABLE = 1 << 24;
    }

    /// Hints: leaf 1 of the interface, edx. Bits that are not named here are kept.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct Hints: u32 {
        /// Virtual CPUs are never preempted for long.
        const REALTIME = 1 << 0;
    }
}

const FEATURE_LEAF: u32 = 1;

/// The features that this backend has a use for.
const KNOWN_USES: Features = Features::CLOCKSOURCE
    .union(Features::NOP_IO_DELAY)
    .union(Features::CLOCKSOURCE2)
    .union(Features::STEAL_TIME)
    .union(Features::PV_EOI)
    .union(Features::PV_TLB_FLUSH)
    .union(Features::CLOCKSOURCE_STABLE);

/// What this backend uses; nothing until it is bound.
static IN_USE: AtomicU32 = AtomicU32::new(0);

impl Features {
    /// The features that the host offers and this backend uses. Empty until it is installed, and for
    /// ever if another is. Any context.
    pub fn in_use() -> Self {
        Features::from_bits_retain(IN_USE.load(Ordering::Relaxed))
    }

    /// Says that the backend uses these.
    pub(crate) fn put_to_use(self) {
        IN_USE.store((self & KNOWN_USES).bits(), Ordering::Relaxed);
    }

    /// The features that the interface offers. Any context; CPUID exits.
    pub fn of(interface: &Interface) -> Self {
        let leaf = interface.leaf(&cpu::cpuid, FEATURE_LEAF);
        Features::from_bits_retain(leaf.map_or(0, |leaf| leaf.eax))
    }
}

impl Hints {
    /// The hints that the interface gives. Any context; CPUID exits.
    pub fn of(interface: &Interface) -> Self {
        let leaf = interface.leaf(&cpu::cpuid, FEATURE_LEAF);
        Hints::from_bits_retain(leaf.map_or(0, |leaf| leaf.edx))
    }
}
