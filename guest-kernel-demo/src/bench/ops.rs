//! What an op costs, against other ways to say the same in Rust.
//!
//! `raw` is the instruction with its operands where the op has them, `crate` the function of the `x86_64`
//! crate, or of `core` where that has none, with operands where the compiler likes; `dyn` is a method of a
//! trait object, `table` a pointer in a struct of functions; `unpatched` is a call site as the library
//! finds it before patching, `patched` one as it leaves it.

#[cfg(target_arch = "x86")]
#[path = "ops/x86.rs"]
mod arch;
#[cfg(target_arch = "x86_64")]
#[path = "ops/x86_64.rs"]
mod arch;

use core::hint::black_box;

use pvops_core::{cpu, irq, mmu, time};

use self::arch::{Raw, SPARE_REGISTER, Unpatched};
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

/// The ways to do what an op does, each a type, and one of them a table of functions.
macro_rules! ways {
    ($(fn $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        trait Way {
            $(fn $name(&self, $($argument: $type),*) $(-> $result)?;)*
        }

        struct Table {
            $($name: fn($($type),*) $(-> $result)?,)*
        }

        /// What the table leads to: the symbols of closures would not say whose they are.
        mod entries {
            use super::{Raw, Way};

            $(
                pub(super) fn $name($($argument: $type),*) $(-> $result)? {
                    Raw.$name($($argument),*)
                }
            )*
        }

        static TABLE: Table = Table {
            $($name: entries::$name,)*
        };

        impl Way for Table {
            $(
                #[inline(always)]
                fn $name(&self, $($argument: $type),*) $(-> $result)? {
                    (self.$name)($($argument),*)
                }
            )*
        }
    };
}

ways! {
    fn save_flags() -> usize;
    fn restore_flags(flags: usize);
    fn disable();
    fn enable();
    fn read_cr2() -> usize;
    fn read_cr3() -> usize;
    fn write_cr3(value: usize);
    fn read_msr(index: u32) -> u64;
    fn write_msr(index: u32, value: u64);
    fn read_tsc() -> u64;
    fn flush_tlb_page(address: usize);
    fn set_pte(entry: *mut u64, value: u64);
}

/// One of the ways, in which nothing is left to be called.
macro_rules! way {
    ($way:ident: $(fn $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)? { $($body:tt)* })*) => {
        impl Way for $way {
            $(
                #[inline(always)]
                fn $name(&self, $($argument: $type),*) $(-> $result)? {
                    // SAFETY: the cases write what they have read, or what nobody uses, and have
                    // interrupts off in the end.
                    #[allow(unused_unsafe)]
                    unsafe { $($body)* }
                }
            )*
        }
    };
}
use way;

struct Patched;

way! {
    Patched:
    fn save_flags() -> usize { irq::save_flags() }
    fn restore_flags(flags: usize) { irq::restore_flags(flags) }
    fn disable() { irq::disable() }
    fn enable() { irq::enable() }
    fn read_cr2() -> usize { mmu::read_cr2() }
    fn read_cr3() -> usize { mmu::read_cr3() }
    fn write_cr3(value: usize) { mmu::write_cr3(value) }
    fn read_msr(index: u32) -> u64 { cpu::read_msr(index) }
    fn write_msr(index: u32, value: u64) { cpu::write_msr(index, value) }
    fn read_tsc() -> u64 { cpu::read_tsc() }
    fn flush_tlb_page(address: usize) { mmu::flush_tlb_page(address) }
    fn set_pte(entry: *mut u64, value: u64) { mmu::set_pte(entry, value) }
}

/// Measures each way. In ring 3 there are no instructions to compare with.
macro_rules! measure {
    ($bench:ident, $name:literal, |$way:ident| $body:expr) => {
        if !$bench.lacks("ring-0") {
            measure!($bench, $name, "raw", Raw, $way, $body);
            #[cfg(target_arch = "x86_64")]
            measure!($bench, $name, "crate", arch::Crate, $way, $body);
            // Of which the compiler knows nothing.
            let object: &dyn Way = black_box(&Raw);
            measure!($bench, $name, "dyn", object, $way, $body);
            let table = black_box(&TABLE);
            measure!($bench, $name, "table", table, $way, $body);
        }
        measure!($bench, $name, "unpatched", Unpatched, $way, $body);
        measure!($bench, $name, "patched", Patched, $way, $body);
    };
    ($bench:ident, $name:literal, $title:literal, $from:expr, $way:ident, $body:expr) => {
        let $way = $from;
        $bench.measure(Work::new("op", $name, $title), |_| {
            black_box($body);
        });
    };
}

#[inline(never)]
fn flags(bench: &Bench<'_>) {
    measure!(bench, "irq.save_flags", |way| way.save_flags());
    let flags = irq::save_flags();
    measure!(bench, "irq.restore_flags", |way| way.restore_flags(flags));
    measure!(bench, "irq.enable_disable", |way| {
        way.enable();
        way.disable();
    });
}

#[inline(never)]
fn control_registers(bench: &Bench<'_>) {
    measure!(bench, "mmu.read_cr2", |way| way.read_cr2());
    measure!(bench, "mmu.read_cr3", |way| way.read_cr3());
    let root = mmu::read_cr3();
    measure!(bench, "mmu.write_cr3", |way| way.write_cr3(root));
}

#[inline(never)]
fn model_specific_registers(bench: &Bench<'_>) {
    measure!(bench, "cpu.read_msr", |way| way.read_msr(SPARE_REGISTER));
    // SAFETY: the register exists.
    let value = unsafe { cpu::read_msr(SPARE_REGISTER) };
    measure!(bench, "cpu.write_msr", |way| way
        .write_msr(SPARE_REGISTER, value));
}

#[inline(never)]
fn page_tables(bench: &Bench<'_>) {
    let page = SCRATCH.start;
    measure!(bench, "mmu.flush_tlb_page", |way| way.flush_tlb_page(page));
    // Memory that is no table, which a host may leave to the kernel.
    let mut memory = 0_u64;
    let entry = &raw mut memory;
    measure!(bench, "mmu.set_pte", |way| way.set_pte(entry, 0));
}

#[inline(never)]
fn time(bench: &Bench<'_>) {
    measure!(bench, "cpu.read_tsc", |way| way.read_tsc());
    let clock = |way| Work::new("op", "time.clock_ns", way);
    bench.measure(clock("unpatched"), |_| {
        black_box(Unpatched.clock_ns());
    });
    bench.measure(clock("patched"), |_| {
        black_box(time::clock_ns());
    });
}
