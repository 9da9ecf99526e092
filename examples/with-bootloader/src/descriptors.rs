//! Descriptor tables by the crate's types, and handlers. These are naked, as the crate's own way of writing
//! them needs nightly Rust.

use core::arch::naked_asm;
use core::sync::atomic::{AtomicU32, Ordering};

use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable};
use x86_64::structures::idt::InterruptDescriptorTable;
use x86_64::structures::tss::TaskStateSegment;

use crate::privileged;

/// The vector of the event timer.
pub(crate) const TIMER: u8 = 32;

/// How often it has come.
pub(crate) static TICKS: AtomicU32 = AtomicU32::new(0);

/// Loads the tables. Once, at the start.
pub(crate) fn load() {
    static TSS: TaskStateSegment = TaskStateSegment::new();
    static mut GDT: GlobalDescriptorTable = GlobalDescriptorTable::new();
    static mut IDT: InterruptDescriptorTable = InterruptDescriptorTable::new();

    let (gdt, idt) = (&raw mut GDT, &raw mut IDT);
    // SAFETY: this is called once, by the only CPU, and afterwards nobody writes them.
    let (gdt, idt) = unsafe { (&mut *gdt, &mut *idt) };
    let code = gdt.append(Descriptor::kernel_code_segment());
    let data = gdt.append(Descriptor::kernel_data_segment());
    let tss = gdt.append(Descriptor::tss_segment(&TSS));
    // SAFETY: the selectors are the table's; a segment register may be loaded in any ring.
    unsafe {
        privileged::load_gdt(gdt, tss);
        CS::set_reg(code);
        SS::set_reg(data);
        DS::set_reg(data);
        ES::set_reg(data);
    }
    let address = |handler: unsafe extern "C" fn()| VirtAddr::new(handler as usize as u64);
    // SAFETY: these two push an error code, and the timer none.
    unsafe {
        idt.general_protection_fault
            .set_handler_addr(address(fault));
        idt.page_fault.set_handler_addr(address(fault));
        idt[TIMER].set_handler_addr(address(timer));
    }
    privileged::load_idt(idt);
}

/// What the CPU has pushed, behind the error code.
#[repr(C)]
struct Frame {
    instruction: usize,
    selector: usize,
    flags: usize,
}

/// Goes on where an op that may fault wants to; all other faults are the end.
extern "C" fn handle_fault(frame: &mut Frame) {
    #[cfg(not(feature = "before"))]
    if let Some(next) = pvops_core::extable::fixup(frame.instruction) {
        frame.instruction = next;
        return;
    }
    panic!(
        "fault at {:#x} ({:#x}, flags {:#x}), CR2 {:#x}",
        frame.instruction,
        frame.selector,
        frame.flags,
        privileged::fault_address()
    );
}

extern "C" fn handle_timer() {
    TICKS.fetch_add(1, Ordering::Relaxed);
    #[cfg(not(feature = "before"))]
    crate::pvops::tick();
}

macro_rules! save {
    () => {
        "push rax\npush rcx\npush rdx\npush rsi\npush rdi\npush r8\npush r9\npush r10\npush r11"
    };
}
macro_rules! restore {
    () => {
        "pop r11\npop r10\npop r9\npop r8\npop rdi\npop rsi\npop rdx\npop rcx\npop rax"
    };
}

#[unsafe(naked)]
unsafe extern "C" fn fault() {
    naked_asm!(
        save!(),
        "lea rdi, [rsp + 80]",
        // The alignment that a call wants.
        "push rax",
        "call {handle}",
        "pop rax",
        restore!(),
        // The error code.
        "add rsp, 8",
        "iretq",
        handle = sym handle_fault,
    )
}

#[unsafe(naked)]
unsafe extern "C" fn timer() {
    naked_asm!(save!(), "call {handle}", restore!(), "iretq", handle = sym handle_timer)
}
