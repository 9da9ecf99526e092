//! What KVM offers, as its CPUID leaf says.

use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};

use bitflags::bitflags;
use pvops_core::cpu;
use pvops_core::probe::Interface;

bitflags! {
    /// Features: leaf 1 of the interface, eax. KVM_FEATURE_ and the name, of Linux's
    /// Documentation/virt/kvm/x86/cpuid.rst. Bits that are not named here are kept.
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
        /// Message-signalled interrupts have 15 bits of destination: bits 8 to 14 of an APIC id go to
        /// bits 5 to 11 of the address, and of an I/O APIC's entry to bits 49 to 55.
        const MSI_EXT_DEST_ID = 1 << 15;
        /// Guest memory can be shared and made private by hypercall.
        const HC_MAP_GPA_RANGE = 1 << 16;
        /// The guest says when it may be migrated.
        const MIGRATION_CONTROL = 1 << 17;
        /// kvmclock's flag of stability means something.
        const CLOCKSOURCE_STABLE = 1 << 24;
    }

    /// Hints: leaf 1 of the interface, edx. KVM_HINTS_ and the name, of Linux's
    /// Documentation/virt/kvm/x86/cpuid.rst. Bits that are not named here are kept.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct Hints: u32 {
        /// Virtual CPUs are never preempted for long.
        const REALTIME = 1 << 0;
    }
}

const FEATURE_LEAF: u32 = 1;

/// The features that this backend has a use for, or lets the kernel use.
const KNOWN_USES: Features = Features::CLOCKSOURCE
    .union(Features::NOP_IO_DELAY)
    .union(Features::CLOCKSOURCE2)
    .union(Features::ASYNC_PF)
    .union(Features::STEAL_TIME)
    .union(Features::PV_EOI)
    .union(Features::PV_UNHALT)
    .union(Features::PV_TLB_FLUSH)
    .union(Features::PV_SEND_IPI)
    .union(Features::POLL_CONTROL)
    .union(Features::PV_SCHED_YIELD)
    .union(Features::ASYNC_PF_INT)
    .union(Features::MSI_EXT_DEST_ID)
    .union(Features::HC_MAP_GPA_RANGE)
    .union(Features::MIGRATION_CONTROL)
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

    /// The features that an interface with the [signature](crate::BACKEND) of KVM offers. Any context; CPUID
    /// exits.
    pub fn of(interface: &Interface) -> Self {
        let leaf = interface.leaf(&cpu::cpuid, FEATURE_LEAF);
        Features::from_bits_retain(leaf.map_or(0, |leaf| leaf.eax))
    }

    /// An error unless these are in use.
    pub(crate) fn demand(self) -> Result<(), NotOffered> {
        match Features::in_use().contains(self) {
            true => Ok(()),
            false => Err(NotOffered),
        }
    }

    /// Those of the host's features that are worth using, as Linux judges it
    /// (arch/x86/kernel/kvm.c).
    pub(crate) fn worth_using(mut self, hints: Hints, circumstances: Circumstances) -> Self {
        let lacks = |circumstance| !circumstances.contains(circumstance);
        if lacks(Circumstances::HYPERCALLS) {
            self -= Features::BY_HYPERCALL;
        }
        // Nobody waits for a CPU that is always there.
        if hints.contains(Hints::REALTIME) || lacks(Circumstances::SLEEPY_LOCKS) {
            self -= Features::PV_UNHALT;
        }
        // Steal time says which CPUs do not run; dedicated ones always do, and one that idles in MWAIT
        // does not leave its physical CPU to others.
        if hints.contains(Hints::REALTIME)
            || !self.contains(Features::STEAL_TIME)
            || !lacks(Circumstances::MWAIT)
        {
            self -= Features::OF_PREEMPTED_CPUS;
        }
        // Without the interrupt the host says by another page fault that a page is there, if at all.
        if lacks(Circumstances::ASYNC_PF_VECTOR) || !self.contains(Features::ASYNC_FAULTS) {
            self -= Features::ASYNC_FAULTS;
        }
        self
    }

    const OF_PREEMPTED_CPUS: Self = Features::PV_TLB_FLUSH.union(Features::PV_SCHED_YIELD);

    const ASYNC_FAULTS: Self = Features::ASYNC_PF.union(Features::ASYNC_PF_INT);

    const BY_HYPERCALL: Self = Features::PV_UNHALT
        .union(Features::PV_SEND_IPI)
        .union(Features::PV_SCHED_YIELD)
        .union(Features::HC_MAP_GPA_RANGE);
}

bitflags! {
    /// What else decides which features are worth using.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub(crate) struct Circumstances: u32 {
        /// It is known which instruction calls the host.
        const HYPERCALLS = 1 << 0;
        /// The kernel lets waiters for locks sleep.
        const SLEEPY_LOCKS = 1 << 1;
        /// The CPU has MWAIT.
        const MWAIT = 1 << 2;
        /// The kernel has lent a vector for async page faults.
        const ASYNC_PF_VECTOR = 1 << 3;
    }
}

/// The host does not offer this, or this backend is not installed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotOffered;

impl fmt::Display for NotOffered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the host does not offer this")
    }
}

impl core::error::Error for NotOffered {}

impl Hints {
    /// The hints that an interface with the [signature](crate::BACKEND) of KVM gives. Any context; CPUID
    /// exits.
    pub fn of(interface: &Interface) -> Self {
        let leaf = interface.leaf(&cpu::cpuid, FEATURE_LEAF);
        Hints::from_bits_retain(leaf.map_or(0, |leaf| leaf.edx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Features = Features::all();
    const USUAL: Circumstances = Circumstances::HYPERCALLS
        .union(Circumstances::SLEEPY_LOCKS)
        .union(Circumstances::ASYNC_PF_VECTOR);
    const NO_HINTS: Hints = Hints::empty();

    #[test]
    fn what_a_usual_host_offers_is_used() {
        assert_eq!(ALL.worth_using(NO_HINTS, USUAL), ALL);
        let nothing = Features::empty();
        assert_eq!(nothing.worth_using(NO_HINTS, USUAL), nothing);
        let unknown = Features::from_bits_retain(1 << 30);
        assert_eq!(unknown.worth_using(NO_HINTS, USUAL), unknown);
    }

    #[test]
    fn what_does_not_pay_is_not_used() {
        let without = |hints, circumstances| ALL - ALL.worth_using(hints, circumstances);
        let (unhalt, of_preempted) = (Features::PV_UNHALT, Features::OF_PREEMPTED_CPUS);
        assert_eq!(without(Hints::REALTIME, USUAL), unhalt | of_preempted);
        assert_eq!(
            without(NO_HINTS, USUAL - Circumstances::SLEEPY_LOCKS),
            unhalt
        );
        assert_eq!(
            without(NO_HINTS, USUAL | Circumstances::MWAIT),
            of_preempted
        );
        assert_eq!(
            without(NO_HINTS, USUAL - Circumstances::HYPERCALLS),
            Features::BY_HYPERCALL
        );
        assert_eq!(
            without(NO_HINTS, USUAL - Circumstances::ASYNC_PF_VECTOR),
            Features::ASYNC_FAULTS
        );
        for half in [Features::ASYNC_PF, Features::ASYNC_PF_INT] {
            let used = (ALL - half).worth_using(NO_HINTS, USUAL);
            assert_eq!(used, ALL - Features::ASYNC_FAULTS);
        }
        let no_steal = ALL - Features::STEAL_TIME;
        assert_eq!(
            no_steal.worth_using(NO_HINTS, USUAL),
            no_steal - of_preempted
        );
    }
}
