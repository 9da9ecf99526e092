//! The descriptor tables that the kernel begins with, and the task state.

use core::arch::asm;
use core::cell::UnsafeCell;

pub(crate) const KERNEL_CODE: u16 = 0x08;
pub(crate) const KERNEL_DATA: u16 = 0x10;
pub(crate) const TASK: u16 = 0x28;
pub(crate) const LOCAL: u16 = 0x30;
/// Nobody uses this entry.
pub(crate) const SPARE: u32 = 7;

/// What a check may write to.
#[repr(C, align(4096))]
pub(crate) struct Shared<T>(UnsafeCell<T>);

// SAFETY: there is one CPU, and interrupt handlers do not use them.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    pub(crate) fn address(&self) -> u32 {
        self.0.get() as u32
    }

    pub(crate) fn get(&self) -> *mut T {
        self.0.get()
    }
}

/// Flat code and data for the kernel, then for programs in the order that SYSEXIT wants.
pub(crate) static GDT: Shared<[u64; 8]> = Shared::new([
    0,
    0x00CF_9B00_0000_FFFF,
    0x00CF_9300_0000_FFFF,
    0x00CF_FB00_0000_FFFF,
    0x00CF_F300_0000_FFFF,
    0,
    0,
    0,
]);
pub(crate) static TASK_STATE: Shared<[u32; 26]> = Shared::new([0; 26]);
pub(crate) static LDT: Shared<[u64; 4]> = Shared::new([0; 4]);

/// The operand of LGDT and LIDT.
#[repr(C, packed)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct TableOperand {
    pub(crate) limit: u16,
    pub(crate) base: u32,
}

pub(crate) fn gdt_operand() -> TableOperand {
    TableOperand {
        limit: 63,
        base: GDT.address(),
    }
}

/// A system descriptor of a kind, for 4 KiB at most.
pub(crate) fn system_descriptor(base: u32, limit: u16, kind: u8) -> u64 {
    let base = u64::from(base);
    u64::from(limit) | (base & 0xFF_FFFF) << 16 | u64::from(kind) << 40 | (base >> 24) << 56
}

pub(crate) fn load() {
    let operand = gdt_operand();
    // SAFETY: the table's first entries are as the loader's: flat.
    unsafe {
        asm!(
            "lgdt [{operand}]",
            "push {code}",
            "lea {scratch}, [2f]",
            "push {scratch}",
            "retf",
            "2:",
            "mov ds, {data:x}",
            "mov es, {data:x}",
            "mov fs, {data:x}",
            "mov gs, {data:x}",
            "mov ss, {data:x}",
            operand = in(reg) &raw const operand,
            code = const KERNEL_CODE,
            data = in(reg) u32::from(KERNEL_DATA),
            scratch = out(reg) _,
        );
    }
}
