//! The interrupt descriptor table.

use core::cell::UnsafeCell;

use pvops_core::cpu;
use pvops_core::descriptor::DescriptorTablePointer;

use super::gdt::{DOUBLE_FAULT_STACK, KERNEL_CODE};
use super::trap_entry;
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
            let stack = if vector == DOUBLE_FAULT {
                DOUBLE_FAULT_STACK
            } else {
                0
            };
            let gate = Gate::new(trap_entry::stub(vector), stack);
            cpu::write_idt_entry(GATES.0.get().cast(), vector, (&raw const gate).cast());
        }
    }
}

/// Loads the interrupt descriptor table.
///
/// # Safety
///
/// Once on each CPU, interrupts off, after [`gdt::load`](super::gdt::load) and
/// [`per_cpu::load`](crate::per_cpu::load).
pub(crate) unsafe fn load() {
    // SAFETY: the table was made, and stays where it is for good.
    unsafe {
        let limit = size_of::<[Gate; VECTORS]>() as u16 - 1;
        cpu::load_idt(&DescriptorTablePointer {
            limit,
            base: GATES.0.get().addr(),
        });
    }
}

const DOUBLE_FAULT: usize = 8;

/// Intel SDM volume 3, figure 7-8: a 64-bit interrupt gate.
#[derive(Clone, Copy)]
#[repr(C)]
struct Gate {
    offset_low: u16,
    selector: u16,
    stack: u8,
    kind: u8,
    offset_middle: u16,
    offset_high: u32,
    reserved: u32,
}

impl Gate {
    const fn new(handler: usize, stack: u8) -> Self {
        Gate {
            offset_low: handler as u16,
            selector: KERNEL_CODE,
            stack,
            // Present, interrupt gate.
            kind: 0x8e,
            offset_middle: (handler >> 16) as u16,
            offset_high: (handler >> 32) as u32,
            reserved: 0,
        }
    }
}

#[repr(align(16))]
struct Gates(UnsafeCell<[Gate; VECTORS]>);

// SAFETY: written once, by `prepare`; afterwards only CPUs look at it.
unsafe impl Sync for Gates {}

static GATES: Gates = Gates(UnsafeCell::new([Gate::new(0, 0); VECTORS]));
