//! Bringing the other CPUs up.

use core::sync::atomic::{AtomicUsize, Ordering};

use pvops_core::cpu_start::{CpuStart, StartStatus};
use pvops_core::{bring_up_cpu, mmu, smp, time};

use crate::boot::Machine;
use crate::console::println;
use crate::layout::{DIRECT_MAP, PAGE, STACKS};
use crate::paging::{self, Flags};
use crate::per_cpu::{self, MAX_CPUS};
use crate::trap::LIBRARY_VECTOR;
use crate::{frames, gdt, interrupts, trap, work};

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
    unsafe { smp::setup_ipi(u32::from(LIBRARY_VECTOR)) };
    let Some(trampoline) = machine.trampoline else {
        return;
    };
    // The CPUs run there before they have our page tables' upper half to run in.
    if paging::map(trampoline as usize, trampoline, Flags::EXECUTABLE).is_err() {
        return;
    }
    for &apic_id in machine.other_cpus() {
        let cpu = count();
        if cpu == MAX_CPUS {
            println!("more than {MAX_CPUS} CPUs; the others stay off");
            break;
        }
        let Some(stack_top) = stack(cpu) else { break };
        let start = CpuStart {
            entry,
            argument: cpu,
            stack_top,
            page_table: mmu::read_cr3() as u64,
            trampoline_physical: trampoline,
            trampoline: (DIRECT_MAP + trampoline as usize) as *mut u8,
        };
        // SAFETY: the CPU is off, and all of this is as it has to be.
        let status = unsafe { smp::start_cpu(apic_id, &raw const start) };
        if status != StartStatus::TOLD || !comes(cpu) {
            println!("the CPU with APIC id {apic_id} does not start ({status:?})");
            break;
        }
        COUNT.store(cpu + 1, Ordering::Relaxed);
    }
    paging::unmap(trampoline as usize);
}

static COUNT: AtomicUsize = AtomicUsize::new(1);
static EXPECTED: AtomicUsize = AtomicUsize::new(1);

/// Four pages, and one below that is not mapped.
fn stack(cpu: usize) -> Option<usize> {
    const PAGES: usize = 4;
    let bottom = STACKS.start + cpu * (PAGES + 1) * PAGE + PAGE;
    for page in 0..PAGES {
        let (frame, _) = frames::allocate()?;
        paging::map(bottom + page * PAGE, frame, Flags::DATA).ok()?;
    }
    Some(bottom + PAGES * PAGE)
}

fn comes(cpu: usize) -> bool {
    const PATIENCE_NS: u64 = 5_000_000_000;
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
        trap::load();
        if let Err(error) = bring_up_cpu() {
            panic!("CPU {cpu}: {error}");
        }
        interrupts::start();
    }
    let this = per_cpu::of(cpu);
    this.online.store(true, Ordering::Release);
    work::wait_for_ever(this)
}
