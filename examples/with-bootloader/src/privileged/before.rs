//! By the crate `x86_64`.

use x86_64::instructions::port::Port;
use x86_64::instructions::{hlt, interrupts, tables, tlb};
use x86_64::registers::control::{Cr2, Cr3};
use x86_64::registers::model_specific::Msr;
use x86_64::structures::gdt::{GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::idt::InterruptDescriptorTable;
use x86_64::structures::paging::mapper::MapperFlush;
use x86_64::structures::paging::{PhysFrame, Size4KiB};

pub(crate) fn without_interrupts<T>(run: impl FnOnce() -> T) -> T {
    interrupts::without_interrupts(run)
}

pub(crate) fn interrupts_are_on() -> bool {
    interrupts::are_enabled()
}

pub(crate) fn halt() {
    hlt();
}

pub(crate) fn page_table() -> PhysFrame {
    Cr3::read().0
}

pub(crate) fn fault_address() -> u64 {
    Cr2::read_raw()
}

/// Drops what this CPU's TLB has of a page whose entry was changed.
pub(crate) fn flush(changed: MapperFlush<Size4KiB>) {
    tlb::flush(changed.page().start_address());
}

/// # Safety
///
/// The register exists.
pub(crate) unsafe fn read_msr(index: u32) -> u64 {
    // SAFETY: as the caller says.
    unsafe { Msr::new(index).read() }
}

/// # Safety
///
/// The table has what the selector names.
pub(crate) unsafe fn load_gdt(table: &'static GlobalDescriptorTable, tss: SegmentSelector) {
    table.load();
    // SAFETY: as the caller says.
    unsafe { tables::load_tss(tss) };
}

pub(crate) fn load_idt(table: &'static InterruptDescriptorTable) {
    table.load();
}

/// # Safety
///
/// The device bears it.
pub(crate) unsafe fn write_port(port: u16, value: u32) {
    // SAFETY: as the caller says.
    unsafe { Port::new(port).write(value) };
}

pub(crate) fn console_byte(byte: u8) {
    // SAFETY: the port of a serial line, which QEMU always takes.
    unsafe { Port::new(0x3f8).write(byte) };
}
