//! By ops.

use pvops_core::descriptor::DescriptorTablePointer;
use pvops_core::{cpu, io, irq, mmu, system};
use x86_64::PhysAddr;
use x86_64::structures::gdt::{GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::idt::InterruptDescriptorTable;
use x86_64::structures::paging::mapper::MapperFlush;
use x86_64::structures::paging::{PhysFrame, Size4KiB};

pub(crate) fn without_interrupts<T>(run: impl FnOnce() -> T) -> T {
    irq::without(run)
}

pub(crate) fn interrupts_are_on() -> bool {
    const INTERRUPTS: usize = 1 << 9;
    irq::save_flags() & INTERRUPTS != 0
}

pub(crate) fn halt() {
    irq::halt();
}

pub(crate) fn page_table() -> PhysFrame {
    PhysFrame::containing_address(PhysAddr::new(mmu::read_cr3() as u64))
}

pub(crate) fn fault_address() -> u64 {
    mmu::read_cr2() as u64
}

/// Drops what this CPU's TLB has of a page whose entry was changed.
pub(crate) fn flush(changed: MapperFlush<Size4KiB>) {
    mmu::flush_tlb_page(changed.page().start_address().as_u64() as usize);
}

/// # Safety
///
/// The register exists.
pub(crate) unsafe fn read_msr(index: u32) -> u64 {
    // SAFETY: as the caller says.
    unsafe { cpu::read_msr(index) }
}

/// # Safety
///
/// The table has what the selector names.
pub(crate) unsafe fn load_gdt(table: &'static GlobalDescriptorTable, tss: SegmentSelector) {
    let pointer = pointer(table.entries().as_ptr().addr(), table.limit());
    // SAFETY: as the caller says; the tables stay where they are.
    unsafe {
        cpu::load_gdt(&pointer);
        cpu::load_task_register(tss.0);
    }
}

pub(crate) fn load_idt(table: &'static InterruptDescriptorTable) {
    let limit = size_of::<InterruptDescriptorTable>() as u16 - 1;
    let pointer = pointer((&raw const *table).addr(), limit);
    // SAFETY: the gates lead to handlers; the table stays where it is.
    unsafe { cpu::load_idt(&pointer) };
}

fn pointer(base: usize, limit: u16) -> DescriptorTablePointer {
    DescriptorTablePointer { limit, base }
}

/// # Safety
///
/// The device bears it.
pub(crate) unsafe fn write_port(port: u16, value: u32) {
    // SAFETY: as the caller says.
    unsafe { io::out32(port, value) };
}

pub(crate) fn console_byte(byte: u8) {
    system::console_byte(byte);
}
