//! What leaving for the hypervisor costs, by the names of kvm-unit-tests' `vmexit` where that has the same.
//!
//! A way is an `instruction`, a `call` of the host, or an `op` where that is something else.

use core::arch::asm;
use core::hint::{black_box, spin_loop};

use pvops_backend_kvm::{Features, HypercallNumber, hypercall};
use pvops_core::{Kernel, apic, cpu, io, irq, mmu, smp, time};

use super::{Bench, Work};
use crate::layout::SCRATCH;
use crate::platform::Platform;
use crate::trap::{self, SELF_VECTOR, TIMER_VECTOR};
use crate::work::run_on;
use crate::{boot, cpus, interrupts};

/// Runs all that this host can do.
pub(super) fn run(bench: &Bench<'_>) {
    interrupts::without(|| {
        if !bench.lacks("ring-0") {
            registers(bench);
        }
        calls(bench);
        clocks(bench);
        own_interrupts(bench);
    });
    if cpus::count() > 1 {
        way(bench, "ipi", "op", |_| {
            run_on(1, |_| 0, 0);
        });
    }
}

fn way(bench: &Bench<'_>, name: &str, way: &str, body: impl FnMut(u64)) {
    bench.measure(Work::new("exit", name, way), body);
}

#[inline(never)]
fn registers(bench: &Bench<'_>) {
    const INSTRUCTION: &str = "instruction";
    const TSC_ADJUST: u32 = 0x3b;
    const KERNEL_GS_BASE: u32 = 0xc000_0102;
    way(bench, "cpuid", INSTRUCTION, |_| {
        black_box(core::arch::x86_64::__cpuid_count(0, 0));
    });
    let root = mmu::read_cr3();
    // SAFETY: what is written is what was there, or nothing; and no breakpoint is on.
    unsafe {
        way(bench, "cr3", INSTRUCTION, |_| {
            asm!("mov cr3, {}", in(reg) root, options(nostack));
        });
        way(bench, "mov_dr", INSTRUCTION, |_| {
            asm!("mov dr0, {}", in(reg) 0_u64, options(nostack));
        });
        if !bench.lacks("cr8") {
            way(bench, "mov_from_cr8", INSTRUCTION, |_| {
                asm!("mov {}, cr8", out(reg) _, options(nostack));
            });
            way(bench, "mov_to_cr8", INSTRUCTION, |_| {
                asm!("mov cr8, {}", in(reg) 0_u64, options(nostack));
            });
        }
        way(bench, "flush_page", INSTRUCTION, |_| {
            asm!("invlpg [{}]", in(reg) SCRATCH.start, options(nostack));
        });
        way(bench, "wr_kernel_gs_base", INSTRUCTION, |_| {
            write_msr(KERNEL_GS_BASE, 0);
        });
    }
    if let Ok(value) = cpu::read_msr_safe(TSC_ADJUST)
        // SAFETY: this is its value.
        && unsafe { cpu::write_msr_safe(TSC_ADJUST, value) }.ok().is_ok()
    {
        way(bench, "rd_tsc_adjust_msr", INSTRUCTION, |_| {
            // SAFETY: the register exists.
            unsafe {
                asm!(
                    "rdmsr", in("ecx") TSC_ADJUST, out("eax") _, out("edx") _, options(nostack)
                );
            }
        });
        way(bench, "wr_tsc_adjust_msr", INSTRUCTION, |_| {
            // SAFETY: as above.
            unsafe { write_msr(TSC_ADJUST, value) };
        });
    }
}

/// # Safety
///
/// As for WRMSR.
#[inline(always)]
unsafe fn write_msr(index: u32, value: u64) {
    // SAFETY: as the caller vouches.
    unsafe {
        asm!(
            "wrmsr", in("ecx") index, in("eax") value as u32, in("edx") (value >> 32) as u32,
            options(nostack)
        );
    }
}

/// A call that does nothing: one that KVM does not know.
#[inline(never)]
fn calls(bench: &Bench<'_>) {
    const UNKNOWN: HypercallNumber = HypercallNumber(999);
    if bench.lacks("hypercall") || Features::in_use().is_empty() {
        return;
    }
    way(bench, "vmcall", "call", |_| {
        // SAFETY: there is no such call.
        black_box(unsafe { hypercall(UNKNOWN, []) }).ok();
    });
}

/// The library's clock against others, and ports of devices.
#[inline(never)]
fn clocks(bench: &Bench<'_>) {
    way(bench, "clock", "op", |_| {
        black_box(time::clock_ns());
    });
    way(bench, "rdtsc", "op", |_| {
        black_box(cpu::read_tsc_ordered());
    });
    if let Some(port) = boot::pm_timer() {
        // SAFETY: reading the timer has no effect.
        way(bench, "inl_from_pmtimer", "op", |_| unsafe {
            black_box(io::in32(port));
        });
    }
    if bench.lacks("ring-0") {
        return;
    }
    /// The edge-and-level register of the first interrupt controller, in the kernel's part of KVM.
    const EDGE_LEVEL: u16 = 0x4d0;
    /// Nobody's.
    const NOBODY: u16 = 0x1234;
    // SAFETY: reading these ports has no effect, and all interrupts of the controller are masked.
    unsafe {
        way(bench, "inl_from_qemu", "op", |_| {
            black_box(io::in32(NOBODY));
        });
        way(bench, "inl_from_kernel", "op", |_| {
            black_box(io::in8(EDGE_LEVEL));
        });
        way(bench, "outl_to_kernel", "op", |_| io::out8(EDGE_LEVEL, 0));
    }
    const COUNTER: usize = 0x0f0;
    let registers = boot::hpet().and_then(|physical| Platform.map_device(physical, 1024));
    if let Some(registers) = registers {
        // SAFETY: the registers were just mapped; reading the counter has no effect.
        way(bench, "mmio_from_hpet", "instruction", |_| unsafe {
            black_box(
                registers
                    .as_ptr()
                    .add(COUNTER)
                    .cast::<u32>()
                    .read_volatile(),
            );
        });
    }
}

/// Interrupts that this CPU sends itself, now or by its timer, until they have been handled.
#[inline(never)]
fn own_interrupts(bench: &Bench<'_>) {
    let this = Platform.cpu_index() as u32;
    way(bench, "self_ipi_sti_nop", "op", |_| {
        let before = trap::count(SELF_VECTOR);
        // SAFETY: the vector has a handler, as all interrupts have.
        unsafe {
            smp::send_ipi(this, u32::from(SELF_VECTOR));
            irq::enable();
        }
        until_came(SELF_VECTOR, before);
        irq::disable();
    });
    way(bench, "tscdeadline_immed", "op", |_| {
        let before = trap::count(TIMER_VECTOR);
        let _ = time::set_event(0);
        // SAFETY: as above.
        unsafe { irq::enable() };
        until_came(TIMER_VECTOR, before);
        irq::disable();
    });
    way(bench, "set_event", "op", |_| {
        let _ = time::set_event(u64::MAX / 4);
    });
    time::cancel_event();
    way(bench, "eoi", "op", |_| apic::eoi());
}

/// Waits until a vector has come once more, but not for ever.
#[inline(always)]
fn until_came(vector: u8, before: u64) {
    const PATIENCE: u32 = 10_000_000;
    for _ in 0..PATIENCE {
        if trap::count(vector) != before {
            return;
        }
        spin_loop();
    }
    panic!("interrupt {vector:#x} does not come");
}
