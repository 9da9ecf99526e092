//! The features, and what shows them.

/// A feature and a workload that shows it.
pub(super) struct Row {
    pub(super) feature: &'static str,
    pub(super) workload: &'static str,
    pub(super) cpus: &'static [u16],
    pub(super) counts: &'static [Count],
    pub(super) without: Workload,
    pub(super) with: Workload,
}

/// A check that is a workload.
pub(super) struct Workload {
    pub(super) check: &'static str,
    /// How often it does it.
    pub(super) rounds: u32,
    /// What to add to QEMU's `-cpu`.
    pub(super) cpu_flags: &'static str,
}

/// What is counted.
#[derive(Clone, Copy)]
pub(super) enum Count {
    /// By KVM, for each round.
    Exits,
    /// By the emulated machine, for each round.
    Instructions,
    /// By the kernel, which tells it as this measurement, in all rounds.
    Told(&'static str, &'static str),
}

impl Count {
    pub(super) fn name(self) -> &'static str {
        match self {
            Count::Exits => "exits",
            Count::Instructions => "instructions",
            Count::Told(_, name) => name,
        }
    }
}

const EXITS_AND_INSTRUCTIONS: &[Count] = &[Count::Exits, Count::Instructions];
const SHOOTDOWNS: &[Count] = &[
    Count::Exits,
    Count::Instructions,
    Count::Told("shootdown_interrupts", "interrupts in all rounds"),
];
const HOLDS: &[Count] = &[
    Count::Exits,
    Count::Instructions,
    Count::Told("longest_wait", "holds by others in the longest wait"),
];

pub(super) static ROWS: [Row; 12] = [
    Row {
        feature: "PV EOI",
        workload: "an interrupt to itself",
        cpus: &[1],
        counts: EXITS_AND_INSTRUCTIONS,
        without: workload("apic.self_interrupt", 100, "-kvm-pv-eoi"),
        with: workload("apic.self_interrupt", 100, ""),
    },
    Row {
        feature: "PV EOI",
        workload: "a tick of the event timer",
        cpus: &[1],
        counts: EXITS_AND_INSTRUCTIONS,
        without: workload("time.ticks", 20, "-kvm-pv-eoi"),
        with: workload("time.ticks", 20, ""),
    },
    // Yielding to the CPUs would be an exit more.
    Row {
        feature: "PV IPI",
        workload: "an interrupt to the set of all others",
        cpus: &[2, 4, 8],
        counts: &[Count::Exits],
        without: workload("smp.broadcast", 500, "-kvm-pv-ipi,-kvm-pv-sched-yield"),
        with: workload("smp.broadcast", 500, "-kvm-pv-sched-yield"),
    },
    Row {
        feature: "PV IPI",
        workload: "50 shootdowns by each CPU, all at once",
        cpus: &[2, 4, 8],
        counts: EXITS_AND_INSTRUCTIONS,
        without: workload("smp.crossed_shootdowns", 1, "-kvm-pv-ipi"),
        with: workload("smp.crossed_shootdowns", 1, ""),
    },
    Row {
        feature: "PV TLB flush",
        workload: "a shootdown of CPUs that go on reading",
        cpus: &[2, 4],
        counts: SHOOTDOWNS,
        without: workload("kvm.tlb_flush", 99, "-kvm-pv-tlb-flush"),
        with: workload("kvm.tlb_flush", 99, ""),
    },
    Row {
        feature: "PV TLB flush",
        workload: "a shootdown, and a read on each CPU",
        cpus: &[2, 4],
        counts: SHOOTDOWNS,
        without: workload("smp.shootdown", 100, "-kvm-pv-tlb-flush"),
        with: workload("smp.shootdown", 100, ""),
    },
    Row {
        feature: "PV unhalt",
        workload: "25 holds of a lock by each CPU, 200 us each",
        cpus: &[2, 4],
        counts: HOLDS,
        without: workload("smp.held_lock", 1, "-kvm-pv-unhalt"),
        with: workload("smp.held_lock", 1, ""),
    },
    Row {
        feature: "PV unhalt, against a ticket lock",
        workload: "25 holds of a lock by each CPU, 200 us each",
        cpus: &[2, 4],
        counts: HOLDS,
        without: workload("smp.held_ticket_lock", 1, ""),
        with: workload("smp.held_lock", 1, ""),
    },
    Row {
        feature: "kvmclock, against the PIT",
        without: workload("clocks.pit", 2000, ""),
        ..CLOCK
    },
    Row {
        feature: "kvmclock, against the PM timer",
        without: workload("clocks.pm_timer", 2000, ""),
        ..CLOCK
    },
    Row {
        feature: "kvmclock, against the HPET",
        without: workload("clocks.hpet", 2000, ""),
        ..CLOCK
    },
    Row {
        feature: "kvmclock, against the bare TSC",
        without: workload("clocks.tsc", 2000, ""),
        ..CLOCK
    },
];

const CLOCK: Row = Row {
    feature: "",
    workload: "a reading",
    cpus: &[1],
    counts: EXITS_AND_INSTRUCTIONS,
    without: workload("clocks.library", 2000, ""),
    with: workload("clocks.library", 2000, ""),
};

const fn workload(check: &'static str, rounds: u32, cpu_flags: &'static str) -> Workload {
    Workload {
        check,
        rounds,
        cpu_flags,
    }
}
