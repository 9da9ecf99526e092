//! The interrupt descriptor table.

use core::cell::UnsafeCell;

use pvops_core::cpu;
use pvops_core::descriptor::{DescriptorTablePointer, GateDescriptor};

use super::gdt::{self, KERNEL_CODE};
use super::trap_entry::{self, SYSTEM_CALL};
use crate::trap::VECTORS;

/// Makes the interrupt descriptor table, which all CPUs share.
///
/// # Safety
///
/// Once, on the boot CPU, before anybody [loads](load) it.
pub(crate) unsafe fn prepare() {
    // SAFETY: nobody else runs, and the table stays where it is for good.
    unsafe {
        for vector in 0..VECTORS {
            let gate = match vector {
                DOUBLE_FAULT => gate(0, gdt::DOUBLE_FAULT, TASK_GATE),
                SYSTEM_CALL => gate(trap_entry::stub(vector), KERNEL_CODE, INTERRUPT_GATE | USER),
                _ => gate(trap_entry::stub(vector), KERNEL_CODE, INTERRUPT_GATE),
            };
            cpu::write_idt_entry(GATES.0.get().cast(), vector, &raw const gate);
        }
    }
}

/// Loads the interrupt descriptor table.
///
/// # Safety
///
/// Once on each CPU, interrupts off, after [`gdt::load`] and
/// [`per_cpu::load`](crate::per_cpu::load).
pub(crate) unsafe fn load() {
    // SAFETY: the table was made, and stays where it is for good.
    unsafe {
        cpu::load_idt(&DescriptorTablePointer {
            limit: size_of::<[GateDescriptor; VECTORS]>() as u16 - 1,
            base: GATES.0.get().addr(),
        });
    }
}

const DOUBLE_FAULT: usize = 8;

/// Kinds of gates, present. Intel SDM volume 3, figure 7-2.
const TASK_GATE: u32 = 0x85 << 8;
const INTERRUPT_GATE: u32 = 0x8e << 8;
/// Programs may use it.
const USER: u32 = 3 << 13;

fn gate(handler: usize, selector: u16, kind: u32) -> GateDescriptor {
    GateDescriptor {
        low: u32::from(selector) << 16 | handler as u32 & 0xffff,
        high: handler as u32 & 0xffff_0000 | kind,
    }
}

#[repr(align(16))]
struct Gates(UnsafeCell<[GateDescriptor; VECTORS]>);

// SAFETY: written once, by `prepare`; afterwards only CPUs look at it.
unsafe impl Sync for Gates {}

static GATES: Gates = Gates(UnsafeCell::new(
    [GateDescriptor { low: 0, high: 0 }; VECTORS],
));
