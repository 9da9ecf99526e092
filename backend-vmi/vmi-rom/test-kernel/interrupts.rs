//! Interrupts: each vector counts, faults end the test.

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU32, Ordering};

use crate::abi::call::Call;
use crate::console::{self, out, say};
use crate::rom::Rom;
use crate::segments::{Shared, TableOperand};

/// IRQ 0, behind the exceptions.
pub(crate) const TIMER: usize = 0x20;
/// The local APIC's timer.
pub(crate) const LOCAL_TIMER: usize = 0x40;
/// From this CPU to itself.
pub(crate) const SELF: usize = 0x41;
/// As well, before those two.
pub(crate) const URGENT: usize = 0x50;
/// From a program.
pub(crate) const PROGRAM: usize = 0x80;
const SPURIOUS: usize = 0xFF;

pub(crate) static IDT: Shared<[u64; 256]> = Shared::new([0; 256]);

pub(crate) fn idt_operand() -> TableOperand {
    TableOperand {
        limit: 0x7FF,
        base: IDT.address(),
    }
}

static COUNTS: [AtomicU32; 256] = [const { AtomicU32::new(0) }; 256];

pub(crate) fn count(vector: usize) -> u32 {
    COUNTS[vector].load(Ordering::SeqCst)
}

/// Waits for an interrupt with interrupts on, up to a generous bound. The count from before.
pub(crate) fn wait(vector: usize, before: u32) -> bool {
    for _ in 0..1_000_000_000_u32 {
        if count(vector) != before {
            return true;
        }
        let_come();
    }
    false
}

/// Lets an interrupt come that waits.
pub(crate) fn let_come() {
    // SAFETY: interrupts have handlers.
    unsafe { asm!("sti", "nop", "cli", options(nomem, nostack)) };
}

global_asm!(
    ".pushsection .text.vectors, \"ax\", @progbits",
    ".balign 16",
    "vectors:",
    ".set vector, 0",
    ".rept 256",
    ".balign 16",
    "pushl $vector",
    "jmp interrupt_entry",
    ".set vector, vector + 1",
    ".endr",
    "interrupt_entry:",
    "pushal",
    "pushl 32(%esp)",
    "leal 40(%esp), %eax",
    "pushl %eax",
    "call {interrupt}",
    "addl $8, %esp",
    "popal",
    "addl $4, %esp",
    "iretl",
    ".globl vectors_address",
    "vectors_address: movl $vectors, %eax; ret",
    ".popsection",
    interrupt = sym interrupt,
    options(att_syntax)
);

unsafe extern "C" {
    safe fn vectors_address() -> u32;
}

pub(crate) fn gate(address: u32, kind: u8) -> u64 {
    let code = u64::from(crate::segments::KERNEL_CODE);
    let address = u64::from(address);
    address & 0xFFFF | code << 16 | u64::from(kind) << 40 | (address >> 16) << 48
}

pub(crate) fn load() {
    let mut table = [0; 256];
    for (vector, entry) in table.iter_mut().enumerate() {
        let kind = if vector == PROGRAM { 0xEE } else { 0x8E };
        *entry = gate(vectors_address() + vector as u32 * 16, kind);
    }
    let operand = idt_operand();
    // SAFETY: nothing else uses the table yet, and it has a handler for all.
    unsafe {
        IDT.get().write(table);
        asm!("lidt [{}]", in(reg) &raw const operand);
    }
    // The interrupt controller behind the exceptions, with IRQ 0 only.
    for (port, value) in [
        (0x20, 0x11),
        (0xA0, 0x11),
        (0x21, TIMER as u8),
        (0xA1, TIMER as u8 + 8),
        (0x21, 4),
        (0xA1, 2),
        (0x21, 1),
        (0xA1, 1),
        (0x21, 0xFE),
        (0xA1, 0xFF),
    ] {
        out(port, value);
    }
}

/// What a program's interrupt has left on the kernel's stack: EIP, CS, EFLAGS, ESP, SS; and where.
pub(crate) static PROGRAM_FRAME: [AtomicU32; 6] = [const { AtomicU32::new(0) }; 6];

extern "C" fn interrupt(frame: *const u32, vector: u32) {
    let vector = vector as usize;
    COUNTS[vector].fetch_add(1, Ordering::SeqCst);
    match vector {
        TIMER => out(0x20, 0x20),
        LOCAL_TIMER | SELF | URGENT => {
            Rom::get().call(Call::APIC_WRITE, 0xB0, 0, 0);
        }
        SPURIOUS => {}
        PROGRAM => {
            for (word, saved) in PROGRAM_FRAME[..5].iter().enumerate() {
                // SAFETY: the CPU has pushed five words when it came from a program.
                saved.store(unsafe { frame.add(word).read() }, Ordering::SeqCst);
            }
            PROGRAM_FRAME[5].store(frame as u32 + 20, Ordering::SeqCst);
            crate::checks::back_from_program();
        }
        _ => {
            // SAFETY: at least that much is on the stack.
            let words = unsafe { frame.cast::<[u32; 4]>().read() };
            say!("vector {vector}: {words:#x?}");
            console::exit(console::FAIL);
        }
    }
}
