//! Bringing the other CPUs up, and down.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use pvops_core::cpu_start::{CpuStart, StartStatus};
use pvops_core::{apic, bring_up_cpu, irq, mmu, smp, take_down_cpu, time};

use crate::boot::Machine;
use crate::console::println;
use crate::layout::DIRECT_MAP;
use crate::paging;
use crate::per_cpu::{self, MAX_CPUS};
use crate::tables::Flags;
use crate::trap::LIBRARY_VECTOR;
use crate::work::Work;
use crate::{gdt, idt, interrupts, scheduler, stacks, trap_entry, work};

/// How many CPUs run. They are numbered without gaps.
pub(crate) fn count() -> usize {
    COUNT.load(Ordering::Relaxed)
}

/// How many CPUs the machine has.
pub(crate) fn expected() -> usize {
    EXPECTED.load(Ordering::Relaxed)
}

/// Starts the CPUs that the machine has, one by one. A CPU that does not come is named and left out.
///
/// # Safety
///
/// Once, on the boot CPU, after [`interrupts::start`].
pub(crate) unsafe fn start(machine: &Machine) {
    EXPECTED.store(1 + machine.other_cpus().len(), Ordering::Relaxed);
    // SAFETY: the vector's handler is the library's.
    unsafe { smp::setup_ipi(LIBRARY_VECTOR) };
    for &apic_id in machine.other_cpus() {
        let cpu = count();
        if cpu == MAX_CPUS {
            println!("more than {MAX_CPUS} CPUs; the others stay off");
            break;
        }
        let Some(stack_top) = stacks::of_cpu(cpu) else {
            break;
        };
        let of = per_cpu::of(cpu);
        of.apic_id.store(apic_id, Ordering::Relaxed);
        of.stack_top.store(stack_top, Ordering::Relaxed);
        TRAMPOLINE.store(machine.trampoline.unwrap_or(0), Ordering::Relaxed);
        if !start_one(cpu) {
            break;
        }
        COUNT.store(cpu + 1, Ordering::Relaxed);
    }
}

/// Starts a CPU that has a number already, for the first time or again.
pub(crate) fn start_one(cpu: usize) -> bool {
    let of = per_cpu::of(cpu);
    let trampoline = TRAMPOLINE.load(Ordering::Relaxed);
    // The CPU runs there before it has our page tables' upper half to run in.
    if trampoline != 0 && paging::map(trampoline as usize, trampoline, Flags::EXECUTABLE).is_err() {
        println!("there is no memory to map the frame where CPUs start");
        return false;
    }
    let apic_id = of.apic_id.load(Ordering::Relaxed);
    let start = CpuStart {
        entry,
        argument: cpu,
        stack_top: of.stack_top.load(Ordering::Relaxed),
        page_table: mmu::read_cr3() as u64,
        trampoline_physical: trampoline,
        trampoline: (DIRECT_MAP + trampoline as usize) as *mut u8,
    };
    // SAFETY: the CPU is off, and all of this is as it has to be.
    let status = unsafe { smp::start_cpu(apic_id, &raw const start) };
    let runs = status == StartStatus::TOLD && comes(cpu);
    if !runs {
        println!("the CPU with APIC id {apic_id} does not start ({status:?})");
    }
    if trampoline != 0 {
        paging::unmap(trampoline as usize);
    }
    runs
}

/// Stops a CPU; it says so itself, and stays off until it is started again.
pub(crate) fn stop_one(cpu: usize) -> bool {
    stop_by(cpu, go_off)
}

/// Stops a CPU by a function that does not return, and in which the CPU [goes off](go_off).
pub(crate) fn stop_by(cpu: usize, leave: Work) -> bool {
    work::begin(cpu, leave, 0);
    let start = time::clock_ns();
    while per_cpu::of(cpu).online.load(Ordering::Acquire) {
        if time::clock_ns() - start > PATIENCE_NS {
            return false;
        }
    }
    true
}

/// Stops all CPUs but the boot CPU, which calls this, for good. The error is a CPU that does not stop.
pub(crate) fn stop_others() -> Result<(), usize> {
    /// Interrupt command: deliver INIT, level "assert". Intel SDM volume 3, figure 12-12.
    const INIT: u64 = 0b101 << 8 | 1 << 14;
    for cpu in 1..count() {
        if !stop_one(cpu) {
            return Err(cpu);
        }
        let apic_id = per_cpu::of(cpu).apic_id.load(Ordering::Relaxed);
        // Halted, a non-maskable interrupt would wake it in memory that is somebody else's by then.
        // SAFETY: the CPU is off; now it waits for a start-up interrupt.
        unsafe { apic::write_icr(u64::from(apic_id) << 32 | INIT) };
    }
    Ok(())
}

/// This CPU stops. Nobody sends it anything any more.
pub(crate) fn go_off(_: usize) -> u64 {
    irq::disable();
    let this = per_cpu::of(per_cpu::index());
    // SAFETY: interrupts are off, and who stops a CPU sends it nothing any more.
    unsafe { take_down_cpu() };
    scheduler::wake_page_waiters();
    this.forget_work();
    this.online.store(false, Ordering::Release);
    loop {
        irq::halt();
    }
}

/// The frame where CPUs start; 0 if there is none.
static TRAMPOLINE: AtomicU64 = AtomicU64::new(0);
const PATIENCE_NS: u64 = 5_000_000_000;
static COUNT: AtomicUsize = AtomicUsize::new(1);
static EXPECTED: AtomicUsize = AtomicUsize::new(1);

fn comes(cpu: usize) -> bool {
    let start = time::clock_ns();
    while !per_cpu::of(cpu).online.load(Ordering::Acquire) {
        if time::clock_ns() - start > PATIENCE_NS {
            return false;
        }
    }
    true
}

/// Where the other CPUs begin.
extern "C" fn entry(cpu: usize) -> ! {
    // SAFETY: these set up this CPU, once, in the order that they depend on each other.
    unsafe {
        gdt::load(cpu);
        per_cpu::load(cpu);
        idt::load();
        if let Err(error) = bring_up_cpu() {
            panic!("CPU {cpu}: {error}");
        }
        trap_entry::enable_syscalls();
        interrupts::start();
    }
    let this = per_cpu::of(cpu);
    this.online.store(true, Ordering::Release);
    work::wait_for_ever(this)
}
