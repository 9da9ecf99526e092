//! IRET, SYSEXIT, Halt: calls that go elsewhere, or wait.

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU32, Ordering};

use crate::abi::INTERRUPTS_ENABLED;
use crate::abi::call::Call;
use crate::boot::BootInformation;
use crate::console::{check, out};
use crate::interrupts::{self, PROGRAM, PROGRAM_FRAME, TIMER};
use crate::rom::{Rom, note};
use crate::segments::{KERNEL_CODE, KERNEL_DATA, Shared};

const SYSENTER_CS: u32 = 0x174;

static KERNEL_STACK: Shared<[u32; 1024]> = Shared::new([0; 1024]);
static PROGRAM_STACK: Shared<[u32; 1024]> = Shared::new([0; 1024]);

pub(super) fn run(rom: Rom, information: &BootInformation) {
    iret(rom);
    if !information.has("no-sysexit") {
        sysexit(rom);
    }
    halt(rom);
}

/// To the next instruction, with other flags; the general registers stay.
fn iret(rom: Rom) {
    let address = rom.relocation(Call::IRET).address;
    note(Call::IRET);
    let (eax, ecx, edx, flags): (u32, u32, u32, u32);
    // SAFETY: the frame leads to the next label.
    unsafe {
        asm!(
            "push 0x247",
            "push {code}",
            "call 2f",
            "jmp 3f",
            // CALL has pushed where to go on.
            "2: jmp edi",
            "3: pushfd",
            "cli",
            "pop edi",
            code = const KERNEL_CODE,
            inout("edi") address => flags,
            inout("eax") 0x11 => eax,
            inout("ecx") 0x22 => ecx,
            inout("edx") 0x33 => edx,
        );
    }
    check!(
        [eax, ecx, edx] == [0x11, 0x22, 0x33],
        "IRET keeps registers"
    );
    check!(flags & 0x247 == 0x247, "IRET takes the flags of the frame");
}

/// To a program, which comes back at once on the stack that UpdateKernelStack has set.
fn sysexit(rom: Rom) {
    let top = KERNEL_STACK.address() + 4096;
    rom.call(Call::UPDATE_KERNEL_STACK, KERNEL_DATA.into(), top, 0);
    rom.call(Call::WRMSR, KERNEL_CODE.into(), 0, SYSENTER_CS);
    note(Call::SYSEXIT);
    let before = interrupts::count(PROGRAM);
    let program_stack = PROGRAM_STACK.address() + 4096;
    // SAFETY: the program comes back by its interrupt.
    unsafe { run_program(rom.relocation(Call::SYSEXIT).address, program_stack) };
    check!(
        interrupts::count(PROGRAM) == before + 1,
        "SYSEXIT leads to the program"
    );
    let [eip, cs, flags, esp, ss, kernel_stack] =
        [0, 1, 2, 3, 4, 5].map(|word: usize| PROGRAM_FRAME[word].load(Ordering::SeqCst));
    check!(eip == program_address() + 2, "the program has run");
    check!(
        cs == (u32::from(KERNEL_CODE) + 16) | 3 && ss == (u32::from(KERNEL_CODE) + 24) | 3,
        "in ring 3"
    );
    check!(
        flags & INTERRUPTS_ENABLED != 0,
        "SYSEXIT turns interrupts on"
    );
    check!(esp == program_stack, "SYSEXIT takes the stack in ECX");
    check!(kernel_stack == top, "UpdateKernelStack is the CPU's");
}

static SAVED_STACK: AtomicU32 = AtomicU32::new(0);

global_asm!(
    ".pushsection .text.program, \"ax\", @progbits",
    "run_program:",
    "pushl %ebp",
    "pushl %ebx",
    "pushl %esi",
    "pushl %edi",
    "movl 20(%esp), %eax",
    "movl 24(%esp), %ecx",
    "movl $program, %edx",
    "movl %esp, {saved}",
    "jmpl *%eax",
    "program: int $0x80",
    ".globl back_from_program",
    "back_from_program:",
    "movl {saved}, %esp",
    "popl %edi",
    "popl %esi",
    "popl %ebx",
    "popl %ebp",
    "ret",
    "program_address: movl $program, %eax; ret",
    ".popsection",
    saved = sym SAVED_STACK,
    options(att_syntax)
);

unsafe extern "C" {
    fn run_program(sysexit: u32, stack: u32);
    safe fn program_address() -> u32;
    /// Goes on behind [`run_program`].
    pub(crate) safe fn back_from_program() -> !;
}

fn halt(rom: Rom) {
    let before = interrupts::count(TIMER);
    // One interrupt after 10 ms.
    for (port, value) in [(0x43, 0x30), (0x40, 0x9B), (0x40, 0x2E)] {
        out(port, value);
    }
    rom.call(Call::HALT, 0, 0, 0);
    rom.call(Call::DISABLE_INTERRUPTS, 0, 0, 0);
    check!(
        interrupts::count(TIMER) == before + 1,
        "Halt waits for the interrupt"
    );
}
