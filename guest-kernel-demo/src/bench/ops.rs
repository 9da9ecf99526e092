//! What an op costs, against other ways to say the same in Rust.
//!
//! `raw` is the instruction with its operands where the op has them, `crate` the function of the `x86_64`
//! crate, or of `core` where that has none, with operands where the compiler likes; `dyn` is a method of a
//! trait object, `table` a pointer in a struct of functions; `unpatched` is a call site as the library
//! finds it before patching, `patched` one as it leaves it.

use core::arch::asm;
use core::hint::black_box;

use pvops_core::{Op, cpu, irq, mmu, op, time};
use x86_64::registers::control::{Cr2, Cr3};
use x86_64::registers::model_specific::Msr;
use x86_64::registers::rflags;
use x86_64::{VirtAddr, instructions};

use super::{Bench, Work};
use crate::layout::SCRATCH;

/// Runs all.
pub(super) fn run(bench: &Bench<'_>) {
    irq::without(|| {
        flags(bench);
        control_registers(bench);
        model_specific_registers(bench);
        page_tables(bench);
        time(bench);
    });
}

/// What a kernel without pvops may have, as a trait and as a struct of functions.
macro_rules! dispatch {
    ($($name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)? { $($body:tt)* })*) => {
        /// The instructions.
        mod raw {
            use super::*;

            $(
                #[inline(always)]
                pub(super) fn $name($($argument: $type),*) $(-> $result)? {
                    // SAFETY: the cases write what they have read, and have interrupts off in the end.
                    unsafe { $($body)* }
                }
            )*
        }

        trait Dispatch {
            $(fn $name(&self, $($argument: $type),*) $(-> $result)?;)*
        }

        struct Hardware;

        impl Dispatch for Hardware {
            $(fn $name(&self, $($argument: $type),*) $(-> $result)? {
                raw::$name($($argument),*)
            })*
        }

        struct Table {
            $($name: fn($($type),*) $(-> $result)?,)*
        }

        static TABLE: Table = Table {
            $($name: raw::$name,)*
        };
    };
}

dispatch! {
    save_flags() -> usize {
        let flags;
        asm!("pushfq", "pop rax", out("rax") flags, options(nostack));
        flags
    }
    restore_flags(flags: usize) {
        asm!("push rdi", "popfq", in("rdi") flags, options(nostack));
    }
    disable() {
        asm!("cli", options(nostack));
    }
    enable() {
        asm!("sti", options(nostack));
    }
    read_cr2() -> usize {
        let value;
        asm!("mov rax, cr2", out("rax") value, options(nostack));
        value
    }
    read_cr3() -> usize {
        let value;
        asm!("mov rax, cr3", out("rax") value, options(nostack));
        value
    }
    write_cr3(value: usize) {
        asm!("mov cr3, rdi", in("rdi") value, options(nostack));
    }
    read_msr(index: u32) -> u64 {
        let (low, high): (u32, u32);
        asm!("rdmsr", in("ecx") index, out("eax") low, out("edx") high, options(nostack));
        u64::from(high) << 32 | u64::from(low)
    }
    write_msr(index: u32, value: u64) {
        asm!(
            "wrmsr", in("ecx") index, in("eax") value as u32, in("edx") (value >> 32) as u32,
            options(nostack)
        );
    }
    read_tsc() -> u64 {
        let (low, high): (u32, u32);
        asm!("rdtsc", out("eax") low, out("edx") high, options(nostack));
        u64::from(high) << 32 | u64::from(low)
    }
    flush_tlb_page(address: usize) {
        asm!("invlpg [rdi]", in("rdi") address, options(nostack));
    }
    set_pte(entry: *mut u64, value: u64) {
        asm!("mov [rdi], rsi", in("rdi") entry, in("rsi") value, options(nostack));
    }
}

/// A call site that patching does not find: there is no record of it.
macro_rules! unpatched {
    ($op:ty, $($operands:tt)*) => {
        // SAFETY: as for the op; the operands are where its shape has them.
        unsafe {
            asm!(
                "call qword ptr [rip + pvops_op_table + {slot}]",
                slot = const <$op as Op>::NUMBER.0 as usize * size_of::<usize>(),
                $($operands)*
                options(nostack)
            )
        }
    };
}

/// Measures each way. In ring 3 there are no instructions to compare with.
macro_rules! ways {
    ($bench:ident, $name:literal, $($way:literal: $body:expr,)*) => {
        $({
            let is_op = matches!($way, "unpatched" | "patched");
            if is_op || !$bench.lacks("ring-0") {
                $bench.measure(Work::new("op", $name, $way), |_| {
                    black_box($body);
                });
            }
        })*
    };
}

/// The trait object and the table, of which the compiler knows nothing.
fn dispatchers() -> (&'static dyn Dispatch, &'static Table) {
    (black_box(&Hardware), black_box(&TABLE))
}

#[inline(never)]
fn flags(bench: &Bench<'_>) {
    let (dynamic, table) = dispatchers();
    ways!(bench, "irq.save_flags",
        "raw": raw::save_flags(),
        "crate": rflags::read_raw(),
        "dyn": dynamic.save_flags(),
        "table": (table.save_flags)(),
        "unpatched": {
            let flags: usize;
            unpatched!(op::irq::save_flags, out("rax") flags,);
            flags
        },
        "patched": irq::save_flags(),
    );
    let flags = irq::save_flags();
    ways!(bench, "irq.restore_flags",
        "raw": raw::restore_flags(flags),
        // SAFETY: these are the flags as they are.
        "crate": unsafe { rflags::write_raw(flags as u64) },
        "dyn": dynamic.restore_flags(flags),
        "table": (table.restore_flags)(flags),
        "unpatched": unpatched!(op::irq::restore_flags, in("rdi") flags, out("rax") _,),
        // SAFETY: as above.
        "patched": unsafe { irq::restore_flags(flags) },
    );
    ways!(bench, "irq.enable_disable",
        "raw": { raw::enable(); raw::disable() },
        "crate": { instructions::interrupts::enable(); instructions::interrupts::disable() },
        "dyn": { dynamic.enable(); dynamic.disable() },
        "table": { (table.enable)(); (table.disable)() },
        "unpatched": {
            unpatched!(op::irq::enable, out("rax") _,);
            unpatched!(op::irq::disable, out("rax") _,)
        },
        "patched": {
            // SAFETY: all interrupts have handlers.
            unsafe { irq::enable() };
            irq::disable()
        },
    );
}

#[inline(never)]
fn control_registers(bench: &Bench<'_>) {
    let (dynamic, table) = dispatchers();
    ways!(bench, "mmu.read_cr2",
        "raw": raw::read_cr2(),
        "crate": Cr2::read_raw(),
        "dyn": dynamic.read_cr2(),
        "table": (table.read_cr2)(),
        "unpatched": {
            let value: usize;
            unpatched!(op::mmu::read_cr2, out("rax") value,);
            value
        },
        "patched": mmu::read_cr2(),
    );
    ways!(bench, "mmu.read_cr3",
        "raw": raw::read_cr3(),
        "crate": Cr3::read_raw().0.start_address().as_u64(),
        "dyn": dynamic.read_cr3(),
        "table": (table.read_cr3)(),
        "unpatched": {
            let value: usize;
            unpatched!(op::mmu::read_cr3, out("rax") value,);
            value
        },
        "patched": mmu::read_cr3(),
    );
    let root = mmu::read_cr3();
    if !bench.lacks("ring-0") {
        let (frame, bits) = Cr3::read_raw();
        // SAFETY: this is the table in use.
        ways!(bench, "mmu.write_cr3", "crate": unsafe { Cr3::write_raw(frame, bits) },);
    }
    ways!(bench, "mmu.write_cr3",
        "raw": raw::write_cr3(root),
        "dyn": dynamic.write_cr3(root),
        "table": (table.write_cr3)(root),
        "unpatched": unpatched!(op::mmu::write_cr3, in("rdi") root, out("rax") _,),
        // SAFETY: this is the table in use.
        "patched": unsafe { mmu::write_cr3(root) },
    );
}

#[inline(never)]
fn model_specific_registers(bench: &Bench<'_>) {
    /// Where SWAPGS gets the base of GS from; nobody uses that here.
    const KERNEL_GS_BASE: u32 = 0xc000_0102;
    let (dynamic, table) = dispatchers();
    let register = Msr::new(KERNEL_GS_BASE);
    ways!(bench, "cpu.read_msr",
        "raw": raw::read_msr(KERNEL_GS_BASE),
        // SAFETY: the register exists.
        "crate": unsafe { register.read() },
        "dyn": dynamic.read_msr(KERNEL_GS_BASE),
        "table": (table.read_msr)(KERNEL_GS_BASE),
        "unpatched": {
            let (low, high): (u32, u32);
            unpatched!(op::cpu::read_msr, in("ecx") KERNEL_GS_BASE, out("eax") low, out("edx") high,);
            u64::from(high) << 32 | u64::from(low)
        },
        // SAFETY: as above.
        "patched": unsafe { cpu::read_msr(KERNEL_GS_BASE) },
    );
    let value = black_box(0_u64);
    let mut register = register;
    ways!(bench, "cpu.write_msr",
        "raw": raw::write_msr(KERNEL_GS_BASE, value),
        // SAFETY: nobody uses the register.
        "crate": unsafe { register.write(value) },
        "dyn": dynamic.write_msr(KERNEL_GS_BASE, value),
        "table": (table.write_msr)(KERNEL_GS_BASE, value),
        "unpatched": unpatched!(
            op::cpu::write_msr, in("ecx") KERNEL_GS_BASE, inout("eax") value as u32 => _,
            in("edx") (value >> 32) as u32,
        ),
        // SAFETY: as above.
        "patched": unsafe { cpu::write_msr(KERNEL_GS_BASE, value) },
    );
}

#[inline(never)]
fn page_tables(bench: &Bench<'_>) {
    let (dynamic, table) = dispatchers();
    let page = SCRATCH.start;
    ways!(bench, "mmu.flush_tlb_page",
        "raw": raw::flush_tlb_page(page),
        "crate": instructions::tlb::flush(VirtAddr::new_truncate(page as u64)),
        "dyn": dynamic.flush_tlb_page(page),
        "table": (table.flush_tlb_page)(page),
        "unpatched": unpatched!(op::mmu::flush_tlb_page, in("rdi") page, out("rax") _,),
        "patched": mmu::flush_tlb_page(page),
    );
    // Memory that is no table, which a host may leave to the kernel.
    let mut memory = 0_u64;
    let entry = &raw mut memory;
    ways!(bench, "mmu.set_pte",
        "raw": raw::set_pte(entry, 0),
        // SAFETY: the entry is ours.
        "crate": unsafe { entry.write_volatile(0) },
        "dyn": dynamic.set_pte(entry, 0),
        "table": (table.set_pte)(entry, 0),
        "unpatched": unpatched!(op::mmu::set_pte, in("rdi") entry, in("rsi") 0, out("rax") _,),
        // SAFETY: the entry maps nothing.
        "patched": unsafe { mmu::set_pte(entry, 0) },
    );
}

#[inline(never)]
fn time(bench: &Bench<'_>) {
    let (dynamic, table) = dispatchers();
    ways!(bench, "cpu.read_tsc",
        "raw": raw::read_tsc(),
        // SAFETY: reading the time-stamp counter has no effect.
        "crate": unsafe { core::arch::x86_64::_rdtsc() },
        "dyn": dynamic.read_tsc(),
        "table": (table.read_tsc)(),
        "unpatched": {
            let (low, high): (u32, u32);
            unpatched!(op::cpu::read_tsc, out("eax") low, out("edx") high,);
            u64::from(high) << 32 | u64::from(low)
        },
        "patched": cpu::read_tsc(),
    );
    ways!(bench, "time.clock_ns",
        "unpatched": {
            let value: u64;
            unpatched!(op::time::clock_ns, out("rax") value,);
            value
        },
        "patched": time::clock_ns(),
    );
}
