//! What reaches the VMI ROM, by its own counts.

use pvops_backend_vmi::abi::call::Call;
use pvops_backend_vmi::abi::extension::statistic;
use pvops_backend_vmi::read_count;
use pvops_core::{cpu, io, irq, mmu, smp, time};

use super::{Outcome, apic};
use crate::cpus;
use crate::layout::{PAGE, SCRATCH};
use crate::paging;
use crate::tables::Flags;
use crate::text::{Text, ensure, text};
use crate::trap::{self, SELF_VECTOR};
use crate::work::run_on;

/// Whether a ROM is in use that tells what it does.
pub(super) fn is_ours() -> bool {
    read_count(statistic::COUNTING).is_some()
}

/// Why there are no counts.
pub(super) fn no_counts() -> Option<Text> {
    let counts = read_count(statistic::COUNTING) != Some(0);
    (!counts).then(|| text!("the ROM was not told to count"))
}

/// Why the ROM does not use KVM.
pub(super) fn no_kvm() -> Option<Text> {
    let uses_kvm = read_count(statistic::PERSONALITY) != Some(0);
    (!uses_kvm).then(|| text!("the ROM does not use KVM"))
}

fn counted(number: u32) -> Result<u64, Text> {
    read_count(number).ok_or_else(|| text!("the ROM does not tell number {number:#x}"))
}

/// Each op makes the call that it is bound to, once.
pub(super) fn calls() -> Outcome {
    const ROUNDS: u64 = 100;
    const ADDRESS: usize = SCRATCH.start + 16 * PAGE;
    let entry = paging::entry(ADDRESS, 0).map_err(|_| text!("no memory for a table"))?;
    let ops: [(Call, &dyn Fn()); 12] = [
        (Call::CPUID, &|| _ = cpu::cpuid(0, 0)),
        (Call::GET_CR0, &|| _ = cpu::read_cr0()),
        (Call::GET_CR2, &|| _ = mmu::read_cr2()),
        (Call::GET_CR3, &|| _ = mmu::read_cr3()),
        (Call::RDTSC, &|| _ = cpu::read_tsc()),
        (Call::CLTS, &cpu::clear_task_switched),
        (Call::GET_INTERRUPT_MASK, &|| _ = irq::save_flags()),
        // SAFETY: nothing is mapped there before or after.
        (Call::SET_PXE_LONG, &|| unsafe { mmu::set_pte(entry, 0) }),
        (Call::INVAL_PAGE, &|| mmu::flush_tlb_page(ADDRESS)),
        (Call::FLUSH_TLB, &mmu::flush_tlb),
        (Call::IO_DELAY, &io::delay),
        (Call::GET_CYCLE_COUNTER, &|| _ = time::clock_ns()),
    ];
    let count = ops.len();
    let flags = irq::save_flags();
    for (call, op) in ops {
        let count = || {
            // No handler makes calls meanwhile.
            irq::disable();
            let before = counted(call.0);
            (0..ROUNDS).for_each(|_| op());
            let after = counted(call.0);
            // SAFETY: the flags are those of before.
            unsafe { irq::restore_flags(flags) };
            Ok(after? - before?)
        };
        let mut made = count()?;
        // The counts are those of all CPUs, and one that distrusts HLT sets its alarm now and then.
        let more = if cpus::count() > 1 { 9 } else { 0 };
        for _ in 0..more {
            if made != ROUNDS {
                made = count()?;
            }
        }
        let name = call.name().unwrap_or("?");
        ensure!(made == ROUNDS, "{made} calls of {name} for {ROUNDS} ops");
    }
    Ok(text!("{count} calls, {ROUNDS} times each"))
}

/// The ROM leaves out ends of interrupts that KVM needs not hear of, and interrupts other CPUs by hypercalls.
/// A CPU that was off has its records again.
pub(super) fn kvm() -> Outcome {
    const ROUNDS: u64 = 100;
    let before = counted(statistic::SAVED_ENDS)?;
    for _ in 0..ROUNDS {
        let seen = trap::count(SELF_VECTOR);
        apic::send_self(SELF_VECTOR);
        ensure!(
            apic::wait_for(SELF_VECTOR, seen + 1),
            "an interrupt is lost"
        );
    }
    let saved = counted(statistic::SAVED_ENDS)? - before;
    ensure!(saved > 0, "no end of {ROUNDS} interrupts was saved");
    let before = counted(statistic::HYPERCALL_IPIS)?;
    let others = (1..cpus::count()).len() as u64;
    for cpu in 1..cpus::count() {
        // SAFETY: the CPU is online, and the vector has a handler.
        unsafe { smp::send_ipi(cpu, SELF_VECTOR) };
    }
    let sent = counted(statistic::HYPERCALL_IPIS)? - before;
    ensure!(
        sent >= others,
        "{sent} of {others} interrupts were sent by hypercalls"
    );
    let records = records_of_this_cpu();
    for cpu in 1..cpus::count() {
        let restarts = cpus::stop_one(cpu) && cpus::start_one(cpu);
        ensure!(restarts, "CPU {cpu} does not stop and come back");
        let others = run_on(cpu, |_| records_of_this_cpu(), 0);
        ensure!(
            others == Some(records),
            "CPU {cpu} has the records {others:?} after it was off, the boot CPU {records:#b}"
        );
    }
    Ok(text!(
        "{saved} of {ROUNDS} ends saved, {sent} hypercalls for {others} interrupts"
    ))
}

/// Which records KVM writes for this CPU, by bits.
fn records_of_this_cpu() -> u64 {
    /// MSR_KVM_SYSTEM_TIME_NEW, MSR_KVM_STEAL_TIME, MSR_KVM_PV_EOI_EN: bit 0 enables.
    const REGISTERS: [u32; 3] = [0x4b56_4d01, 0x4b56_4d03, 0x4b56_4d04];
    // The ROM tells KVM of them with the first call that needs to know the CPU.
    time::clock_ns();
    let enabled = REGISTERS.map(|register| cpu::read_msr_safe(register).unwrap_or(0) & 1);
    enabled[0] | enabled[1] << 1 | enabled[2] << 2
}

/// In lazy mode changes wait, and are made when it ends; in a handler's eager mode they do not wait.
pub(super) fn lazy() -> Outcome {
    const PAGES: usize = 8;
    const START: usize = SCRATCH.start + 24 * PAGE;
    let entry =
        |page| paging::entry(START + page * PAGE, 0).map_err(|_| text!("no memory for a table"));
    let value = mmu::make_entry(Flags::READ_ONLY.bits() & !Flags::PRESENT.bits() | 1 << 20);
    let store = |value| {
        for page in 0..PAGES {
            // SAFETY: what is stored maps nothing.
            unsafe { mmu::set_pte(entry(page)?, value) };
        }
        Ok(())
    };
    let stored = || {
        let holds = |page: &usize| {
            // SAFETY: the entries are in the kernel's tables.
            entry(*page).is_ok_and(|entry| unsafe { entry.read_volatile() } == value)
        };
        (0..PAGES).filter(holds).count()
    };
    let before = counted(statistic::DEFERRED)?;
    let lazy = mmu::lazy();
    store(value)?;
    let waiting = PAGES - stored();
    drop(lazy);
    let made = stored();
    let deferred = counted(statistic::DEFERRED)? - before;
    let lazy = mmu::lazy();
    let eager = mmu::eager();
    store(0)?;
    let left = stored();
    drop(eager);
    drop(lazy);
    ensure!(
        (waiting, made, deferred, left) == (PAGES, PAGES, PAGES as u64, 0),
        "{waiting} of {PAGES} waited, {made} were made, {deferred} by the ROM's count; {left} are left"
    );
    Ok(text!("{PAGES} changes waited"))
}
