//! What leaving for the hypervisor costs, by the names of kvm-unit-tests' `vmexit` where that has the same.
//!
//! A way is an `instruction`, a `call` of the host, or an `op`. Where instructions are refused, as to a PV
//! guest of Xen, `xen` has these.

use core::arch::asm;
use core::hint::black_box;

use pvops_backend_kvm::{self as kvm, Features};
use pvops_backend_native::HypercallInstruction;
use pvops_backend_xen as xen;
use pvops_core::{cpu, irq, mmu};

use super::{Bench, arch};
use crate::layout::SCRATCH;

/// Runs all that this host can do.
pub(super) fn run(bench: &Bench<'_>) {
    irq::without(|| {
        if !bench.lacks("ring-0") {
            calls(bench);
            cpuid(bench);
            control_registers(bench);
            toggles(bench);
            caches(bench);
            flushes(bench);
            model_specific_registers(bench);
        }
    });
}

/// A call that does nothing: one that KVM does not know, and Xen's for its version.
#[inline(never)]
fn calls(bench: &Bench<'_>) {
    const UNKNOWN: kvm::HypercallNumber = kvm::HypercallNumber(999);
    if bench.lacks("hypercall") {
        return;
    }
    if !Features::in_use().is_empty() {
        bench.exit("vmcall", "instruction", bare_call());
        bench.exit("vmcall", "call", |_| {
            // SAFETY: there is no such call.
            black_box(unsafe { kvm::hypercall(UNKNOWN, []) }).ok();
        });
    } else if xen::version().is_ok() {
        bench.exit("vmcall", "call", |_| {
            // SAFETY: the call asks only.
            black_box(unsafe { xen::hypercall(xen::HypercallNumber::XEN_VERSION, [0]) }).ok();
        });
    }
}

/// The instruction alone, with a number that is no call, as in `vmexit`.
fn bare_call() -> fn(u64) {
    match HypercallInstruction::of(&cpu::cpuid) {
        Some(HypercallInstruction::Vmcall) => vmcall,
        _ => vmmcall,
    }
}

fn vmcall(_round: u64) {
    // SAFETY: KVM changes rax only.
    unsafe { asm!("vmcall", inout("eax") 0 => _, options(nostack)) };
}

fn vmmcall(_round: u64) {
    // SAFETY: as above.
    unsafe { asm!("vmmcall", inout("eax") 0 => _, options(nostack)) };
}

#[inline(never)]
fn cpuid(bench: &Bench<'_>) {
    bench.exit("cpuid", "instruction", |_| {
        black_box(arch::__cpuid_count(0, 0));
    });
    bench.exit("cpuid", "op", |_| {
        black_box(cpu::cpuid(0, 0));
    });
}

#[inline(never)]
fn control_registers(bench: &Bench<'_>) {
    const TASK_SWITCHED: usize = 1 << 3;
    let root = mmu::read_cr3();
    let switched = cpu::read_cr0() | TASK_SWITCHED;
    // SAFETY: what is written is what was there; no breakpoint is on; the kernel uses no floating point; and
    // all interrupts have handlers.
    unsafe {
        bench.exit("cr3", "instruction", |_| {
            asm!("mov cr3, {}", in(reg) root, options(nostack));
        });
        bench.exit("cr3", "op", |_| mmu::write_cr3(root));
        bench.exit("mov_dr", "instruction", |_| {
            asm!("mov dr0, {}", in(reg) 0_usize, options(nostack));
        });
        bench.exit("mov_dr", "op", |_| cpu::write_debug_register(0, 0));
        #[cfg(target_arch = "x86_64")]
        if !bench.lacks("cr8") {
            bench.exit("mov_from_cr8", "instruction", |_| {
                asm!("mov {}, cr8", out(reg) _, options(nostack));
            });
            bench.exit("mov_from_cr8", "op", |_| {
                black_box(cpu::read_cr8());
            });
            bench.exit("mov_to_cr8", "instruction", |_| {
                asm!("mov cr8, {}", in(reg) 0_u64, options(nostack));
            });
            bench.exit("mov_to_cr8", "op", |_| cpu::write_cr8(0));
        }
        bench.exit("task_switched", "instruction", |_| {
            asm!("clts", "mov cr0, {}", in(reg) switched, options(nostack));
        });
        bench.exit("task_switched", "op", |_| {
            cpu::clear_task_switched();
            cpu::set_task_switched();
        });
        cpu::clear_task_switched();
        bench.exit("interrupt_flag", "instruction", |_| {
            asm!("sti", "cli", options(nostack));
        });
        bench.exit("interrupt_flag", "op", |_| {
            irq::enable();
            irq::disable();
        });
    }
}

/// Flags of control registers, off and on again.
#[inline(never)]
fn toggles(bench: &Bench<'_>) {
    const CR0_WRITE_PROTECT: usize = 1 << 16;
    const CR4_GLOBAL_PAGES: usize = 1 << 7;
    let (cr0, cr4) = (cpu::read_cr0(), cpu::read_cr4());
    let unprotected = cr0 & !CR0_WRITE_PROTECT;
    let without_global = cr4 & !CR4_GLOBAL_PAGES;
    // SAFETY: meanwhile the kernel writes only to what it may, and global pages are faster at most.
    unsafe {
        bench.exit("toggle_cr0_wp", "instruction", |_| {
            asm!(
                "mov cr0, {}", "mov cr0, {}", in(reg) unprotected, in(reg) cr0, options(nostack)
            );
        });
        bench.exit("toggle_cr0_wp", "op", |_| {
            cpu::write_cr0(unprotected);
            cpu::write_cr0(cr0);
        });
        bench.exit("toggle_cr4_pge", "instruction", |_| {
            asm!(
                "mov cr4, {}", "mov cr4, {}", in(reg) without_global, in(reg) cr4, options(nostack)
            );
        });
        bench.exit("toggle_cr4_pge", "op", |_| {
            cpu::write_cr4(without_global);
            cpu::write_cr4(cr4);
        });
    }
}

#[inline(never)]
fn caches(bench: &Bench<'_>) {
    bench.exit("wbinvd", "instruction", |_| {
        // SAFETY: memory stays as it is.
        unsafe { asm!("wbinvd", options(nostack)) };
    });
    bench.exit("wbinvd", "op", |_| cpu::wbinvd());
}

/// Of the TLB, on this CPU.
#[inline(never)]
fn flushes(bench: &Bench<'_>) {
    let page = SCRATCH.start;
    // SAFETY: nothing that is in use changes.
    unsafe {
        bench.exit("flush_page", "instruction", |_| {
            asm!("invlpg [{}]", in(reg) page, options(nostack));
        });
        bench.exit("flush_page", "op", |_| mmu::flush_tlb_page(page));
        bench.exit("flush", "instruction", |_| {
            asm!("mov {root}, cr3", "mov cr3, {root}", root = out(reg) _, options(nostack));
        });
    }
    bench.exit("flush", "op", |_| mmu::flush_tlb());
    bench.exit("flush_all", "op", |_| mmu::flush_tlb_all());
}

#[inline(never)]
fn model_specific_registers(bench: &Bench<'_>) {
    const TSC_ADJUST: u32 = 0x3b;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the kernel uses neither FS nor SWAPGS here.
    unsafe {
        const FS_BASE: u32 = 0xc000_0100;
        const KERNEL_GS_BASE: u32 = 0xc000_0102;
        bench.exit("fs_base", "instruction", |_| write_msr(FS_BASE, 0));
        bench.exit("fs_base", "op", |_| cpu::write_fs_base(0));
        bench.exit("wr_kernel_gs_base", "instruction", |_| {
            write_msr(KERNEL_GS_BASE, 0);
        });
        bench.exit("wr_kernel_gs_base", "op", |_| cpu::write_kernel_gs_base(0));
    }
    if let Ok(value) = cpu::read_msr_safe(TSC_ADJUST)
        // SAFETY: this is its value.
        && unsafe { cpu::write_msr_safe(TSC_ADJUST, value) }.is_ok()
    {
        bench.exit("rd_tsc_adjust_msr", "instruction", |_| {
            // SAFETY: the register exists.
            unsafe {
                asm!(
                    "rdmsr", in("ecx") TSC_ADJUST, out("eax") _, out("edx") _, options(nostack)
                );
            }
        });
        bench.exit("wr_tsc_adjust_msr", "instruction", |_| {
            // SAFETY: as above.
            unsafe { write_msr(TSC_ADJUST, value) };
        });
    }
}

/// # Safety
///
/// As for WRMSR.
#[inline(always)]
pub(super) unsafe fn write_msr(index: u32, value: u64) {
    // SAFETY: as the caller vouches.
    unsafe {
        asm!(
            "wrmsr", in("ecx") index, in("eax") value as u32, in("edx") (value >> 32) as u32,
            options(nostack)
        );
    }
}
