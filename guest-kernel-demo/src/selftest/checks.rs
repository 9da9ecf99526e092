//! The checks, and where each is run.

use pvops_backend_kvm::Features;
#[cfg(target_arch = "x86_64")]
use pvops_backend_xen::hvm;
use pvops_core::boot_info::CommandLine;

use super::{
    Outcome, apic, async_page_fault, broadcast, clocks, cpu, extable, hand_over, host_account,
    hypercalls, irq, kvm, live, lock, mmu, non_maskable, patch, segments, smp, stopped, suspension,
    tasks, time, xen_console, xen_domain, xen_events, xen_grants, xen_offline, xen_rebind,
};
#[cfg(target_arch = "x86_64")]
use super::{long_mode, xen_pv};
#[cfg(target_arch = "x86")]
use super::{short_entries, vmi};
use crate::text::Text;
use crate::{cpus, xenstore};

pub(super) struct Check {
    pub(super) name: &'static str,
    /// What the host must be able to do; names with commas between them.
    pub(super) needs: Option<&'static str>,
    /// What KVM must give it.
    pub(super) kvm: Features,
    /// What else the host lacks, if anything: it is asked.
    pub(super) lacks: fn() -> Option<Text>,
    pub(super) run: fn() -> Outcome,
}

/// Those for which this host and the command line are right.
pub(super) fn of_this_host(command_line: CommandLine<'_>) -> impl Iterator<Item = &'static Check> {
    let (smp, kvm) = (cpus::count() > 1, !Features::in_use().is_empty());
    let xen = xen_events::is_on();
    let lists = [
        (CHECKS, true),
        (WORD_SIZE_CHECKS, true),
        (STOP_CHECKS, command_line.flag("will-stop")),
        (SAVE_CHECKS, command_line.flag("will-be-saved")),
        (SMP_CHECKS, smp),
        (KVM_CHECKS, kvm),
        (KVM_SMP_CHECKS, smp && kvm),
        (XEN_CHECKS, xen),
        #[cfg(target_arch = "x86_64")]
        (XEN_PV_CHECKS, xen && hvm::callback().is_none()),
        #[cfg(target_arch = "x86")]
        (VMI_CHECKS, vmi::is_ours()),
        (XEN_SMP_CHECKS, smp && xen),
        (XEN_DOMAIN_CHECKS, xenstore::is_there()),
        (NAMED_CHECKS, command_line.value("only").is_some()),
        (HAND_OVER_CHECKS, hand_over::has_been(command_line)),
    ];
    lists
        .into_iter()
        .filter(|(_, applies)| *applies)
        .flat_map(|(checks, _)| checks)
}

const fn check(name: &'static str, run: fn() -> Outcome) -> Check {
    Check {
        name,
        needs: None,
        kvm: Features::empty(),
        lacks: || None,
        run,
    }
}

const fn needs(need: &'static str, name: &'static str, run: fn() -> Outcome) -> Check {
    Check {
        needs: Some(need),
        ..check(name, run)
    }
}

const fn kvm(kvm: Features, name: &'static str, run: fn() -> Outcome) -> Check {
    Check {
        kvm,
        ..check(name, run)
    }
}

const fn toolstack(name: &'static str, run: fn() -> Outcome) -> Check {
    Check {
        lacks: xen_domain::nobody_answers,
        ..check(name, run)
    }
}

/// In the order in which they build on each other.
static CHECKS: &[Check] = &[
    check("patch.sites", patch::sites),
    check("patch.tampered", patch::tampered),
    check("patch.sealed", patch::sealed),
    check("irq.flags", irq::flags),
    check("irq.masked", irq::masked),
    check("cpu.control_registers", cpu::control_registers),
    check("cpu.debug_registers", cpu::debug_registers),
    check("cpu.cpuid", cpu::cpuid),
    check("cpu.msr", cpu::msr),
    needs("rdmsr-fault", "cpu.msr_read_safe", cpu::msr_read_safe),
    check("cpu.msr_write_safe", cpu::msr_write_safe),
    check("cpu.tsc", cpu::tsc),
    needs(
        "rdpmc-fault",
        "cpu.performance_counter",
        cpu::performance_counter,
    ),
    needs("ring-0", "cpu.descriptor_tables", cpu::descriptor_tables),
    check("cpu.task_switched", cpu::task_switched),
    needs("xcr", "cpu.extended_control", cpu::extended_control),
    check("cpu.caches", cpu::caches),
    check("cpu.table_entries", segments::entries),
    needs("ring-0", "cpu.kernel_stack", segments::kernel_stack),
    needs("int3", "cpu.breakpoint", cpu::breakpoint),
    needs("int3", "patch.live", live::repatch),
    check("extable.fault", extable::fault),
    check("mmu.fault_address", mmu::fault_address),
    check("mmu.demand", mmu::demand),
    check("mmu.map", mmu::map),
    check("mmu.entries", mmu::entries),
    check("mmu.protect", mmu::protect),
    check("mmu.tables", mmu::tables),
    check("mmu.lazy", mmu::lazy),
    check("mmu.cr3", mmu::cr3),
    check("mmu.flush", mmu::flush),
    check("mmu.protection", mmu::protection),
    needs("com1", "io.ports", cpu::ports),
    needs("com1,pci", "io.strings", cpu::strings),
    check("apic.self_interrupt", apic::self_interrupt),
    check("apic.pending", apic::pending),
    check("time.monotonic", time::monotonic),
    needs("pit", "time.against_pit", time::against_pit),
    check("time.event", time::event),
    check("time.passed", time::passed),
    check("time.cancel", time::cancel),
    check("time.never", time::never),
    check("time.ticks", time::ticks),
    check("time.stolen", time::stolen),
    check("time.was_stopped", time::was_stopped),
    check("time.resumed", time::resumed),
    needs("rtc", "time.wall_clock", time::wall_clock),
    needs("sti-shadow", "time.halt", time::halt),
    needs("sti-shadow", "time.pending_halt", time::pending_halt),
    check("tasks.threads", tasks::threads),
    needs("syscall", "tasks.programs", tasks::programs),
    needs("syscall", "tasks.fork", tasks::fork),
    check("tasks.wild", tasks::wild),
    check("smp.online", smp::online),
];

/// The same, of what only 64-bit mode has.
#[cfg(target_arch = "x86_64")]
static WORD_SIZE_CHECKS: &[Check] = &[
    needs("cr8", "cpu.priority", long_mode::priority),
    check("cpu.bases", long_mode::bases),
    needs("ring-0", "cpu.swapgs", long_mode::swapgs),
    check("cpu.gs_selector", long_mode::gs_selector),
];

/// The same, of what only 32-bit mode has.
#[cfg(target_arch = "x86")]
static WORD_SIZE_CHECKS: &[Check] = &[
    check("tasks.sysenter", tasks::sysenter),
    Check {
        lacks: short_entries::no_choice,
        ..check("mmu.short_entries", short_entries::short_entries)
    },
];

/// The same, where a ROM of ours serves the kernel.
#[cfg(target_arch = "x86")]
static VMI_CHECKS: &[Check] = &[
    Check {
        lacks: vmi::no_counts,
        ..check("vmi.calls", vmi::calls)
    },
    Check {
        lacks: vmi::no_counts,
        ..check("vmi.lazy", vmi::lazy)
    },
    Check {
        lacks: vmi::no_kvm,
        ..check("vmi.kvm", vmi::kvm)
    },
];

/// The same, where the command line says that the host will stop the machine: `will-stop`.
static STOP_CHECKS: &[Check] = &[check("time.stopped", stopped::stopped)];

/// The same, where the command line says that the toolstack will save the domain: `will-be-saved`.
static SAVE_CHECKS: &[Check] = &[
    toolstack("xen.checkpoint", suspension::checkpoint),
    toolstack("xen.save", suspension::moved),
];

/// The same, for more than one CPU.
static SMP_CHECKS: &[Check] = &[
    check("smp.interrupts", smp::interrupts),
    check("smp.shootdown", smp::shootdown),
    check("smp.crossed_shootdowns", smp::crossed_shootdowns),
    check("smp.clock", smp::clock),
    check("smp.lock", lock::contended),
    check("smp.held_lock", lock::held),
    check("smp.events", smp::events),
    needs("syscall", "smp.tasks", tasks::on_all_cpus),
    needs("int3", "smp.live_patching", live::hammered),
    check("smp.offline", smp::offline),
];

/// The same, where the KVM backend is installed.
static KVM_CHECKS: &[Check] = &[
    kvm(Features::STEAL_TIME, "kvm.steal_time", kvm::steal_time),
    kvm(
        Features::PV_EOI,
        "kvm.end_of_interrupt",
        kvm::end_of_interrupt,
    ),
    check("kvm.take_down", kvm::take_down),
    check("kvm.crash", kvm::crash),
    kvm(
        Features::ASYNC_PF_INT,
        "kvm.async_page_faults",
        async_page_fault::registers,
    ),
    Check {
        needs: Some("evictions"),
        ..kvm(
            Features::ASYNC_PF_INT,
            "kvm.fetched_pages",
            async_page_fault::fetched_pages,
        )
    },
    Check {
        needs: Some("saved-ends"),
        ..kvm(Features::PV_EOI, "kvm.saved_ends", kvm::saved_ends)
    },
    needs("hypercall", "kvm.hypercall", hypercalls::answers),
    needs("hypercall", "kvm.not_offered", hypercalls::not_offered),
    Check {
        lacks: hypercalls::no_clock_pairing,
        ..needs("hypercall", "kvm.clock_pairing", hypercalls::clock_pairing)
    },
    kvm(
        Features::PV_UNHALT,
        "kvm.early_kick",
        hypercalls::early_kick,
    ),
    kvm(Features::PV_SEND_IPI, "kvm.send_ipi", hypercalls::send_ipi),
    kvm(
        Features::PV_SCHED_YIELD,
        "kvm.sched_yield",
        hypercalls::sched_yield,
    ),
    kvm(
        Features::POLL_CONTROL,
        "kvm.poll_control",
        hypercalls::poll_control,
    ),
];

/// The same, for more than one CPU.
static KVM_SMP_CHECKS: &[Check] = &[
    check("kvm.tlb_flush", kvm::tlb_flush),
    kvm(Features::PV_UNHALT, "kvm.lock_sleep", lock::woken),
    Check {
        needs: Some("overcommitment"),
        ..kvm(Features::STEAL_TIME, "kvm.preempted", kvm::preempted)
    },
    Check {
        needs: Some("overcommitment"),
        ..kvm(Features::PV_TLB_FLUSH, "kvm.left_flush", kvm::left_flush)
    },
];

/// The same, where the Xen backend takes events.
static XEN_CHECKS: &[Check] = &[
    Check {
        lacks: xen_events::no_timer_to_bind,
        ..check("xen.timer", xen_events::timer)
    },
    check("xen.mask", xen_events::mask),
    check("xen.loopback", xen_events::loopback),
    check("xen.many_ports", xen_events::many_ports),
    check("xen.priority", xen_events::priority),
    check("xen.non_maskable", non_maskable::to_each_cpu),
    Check {
        lacks: xen_grants::not_dom0,
        ..check("xen.grants", xen_grants::of_this_domain)
    },
];

/// The same, where this is a PV guest of Xen.
#[cfg(target_arch = "x86_64")]
static XEN_PV_CHECKS: &[Check] = &[
    check("xen.bad_return", xen_pv::bad_return),
    check("xen.local_tables", xen_pv::local_tables),
    check("xen.image_frames", xen_pv::image_frames),
    check("xen.ports", xen_pv::ports),
];

/// The same, for more than one CPU.
static XEN_SMP_CHECKS: &[Check] = &[
    Check {
        lacks: xen_events::first_cpu_takes_all,
        ..check("xen.ipi", xen_events::ipi)
    },
    check("xen.move", xen_events::move_between_cpus),
    Check {
        lacks: xen_events::first_cpu_takes_all,
        ..check("xen.rebind", xen_rebind::from_all_cpus)
    },
    Check {
        lacks: xen_events::first_cpu_takes_all,
        ..check("xen.offline", xen_offline::events_wait)
    },
    check("xen.lock_sleep", lock::woken),
];

/// The same, where this is a domain of Xen with a connection to xenstored.
static XEN_DOMAIN_CHECKS: &[Check] = &[
    toolstack("xen.watch", xen_domain::watch),
    toolstack("xen.console", xen_console::typed_line),
    toolstack("xen.peer", xen_domain::shared_frame_and_events),
    toolstack("xen.pause", xen_domain::pause),
    toolstack("xen.balloon", xen_domain::balloon),
    toolstack("xen.requests", xen_domain::requests),
];

/// Those that run only where the command line names them: there the host looks, too.
static NAMED_CHECKS: &[Check] = &[
    check("clocks.library", clocks::library),
    check("clocks.tsc", clocks::tsc),
    check("clocks.pm_timer", clocks::pm_timer),
    check("clocks.hpet", clocks::hpet),
    needs("pit", "clocks.pit", clocks::pit),
    check("smp.broadcast", broadcast::to_all_others),
    check("smp.held_ticket_lock", lock::held_ticket),
    #[cfg(target_arch = "x86_64")]
    check("xen.vanished_segment", xen_pv::vanished_segment),
    kvm(
        Features::STEAL_TIME,
        "kvm.host_account",
        host_account::compared,
    ),
];

/// The same, where another kernel has handed the machine to this one.
static HAND_OVER_CHECKS: &[Check] = &[check("hand_over.shared_pages", hand_over::shared_pages)];
