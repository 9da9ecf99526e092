//! Another CPU, which begins as SetInitialAPState says, and what the ROM keeps for each.

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU32, Ordering};

use crate::abi::LazyMode;
use crate::abi::ap_state::ApState;
use crate::abi::call::Call;
use crate::abi::paging::{level, update};
use crate::console::check;
use crate::interrupts;
use crate::rom::Rom;
use crate::segments::{self, GDT, KERNEL_CODE, KERNEL_DATA, Shared, TableOperand};

/// The second CPU's local APIC.
const SECOND: u32 = 1;
const COMMAND: u32 = 0x300;
const COMMAND_HIGH: u32 = 0x310;
const INIT: u32 = 0x4500;
/// With a vector that leads nowhere.
const START_UP: u32 = 0x4600;

static STACK: Shared<[u32; 1024]> = Shared::new([0; 1024]);
static OWN_GDT: Shared<[u64; 8]> = Shared::new([0; 8]);
static TABLE: Shared<[u32; 1024]> = Shared::new([0; 1024]);

/// EDI, ESI, EBP, ESP, EBX, EDX, ECX, EAX, EFLAGS as the CPU found them; then CR0, CR3, CR4.
static REGISTERS: [AtomicU32; 12] = [const { AtomicU32::new(0) }; 12];
/// How far the CPU has come.
static STEP: AtomicU32 = AtomicU32::new(0);

pub(super) fn run(rom: Rom) {
    let [cr0, cr3, cr4] =
        [Call::GET_CR0, Call::GET_CR3, Call::GET_CR4].map(|call| rom.call(call, 0, 0, 0) as u32);
    let gdt = segments::gdt_operand();
    let idt = interrupts::idt_operand();
    let state = ApState {
        cr0,
        cr3,
        cr4,
        eip: second_entry_address(),
        eflags: 2,
        eax: 0xA,
        ebx: 0xB,
        ecx: 0xC,
        edx: 0xD,
        esp: STACK.address() + 4096,
        ebp: 0xE,
        esi: 0xF,
        edi: 0x10,
        cs: KERNEL_CODE,
        ss: KERNEL_DATA,
        ds: KERNEL_DATA,
        es: KERNEL_DATA,
        gdtr_limit: gdt.limit,
        gdtr_base: gdt.base,
        idtr_limit: idt.limit,
        idtr_base: idt.base,
        ..ApState::default()
    };
    let command = |value| {
        rom.call(Call::APIC_WRITE, COMMAND_HIGH, SECOND << 24, 0);
        rom.call(Call::APIC_WRITE, COMMAND, value, 0);
    };
    command(INIT);
    let address = &raw const state as u32;
    rom.call(Call::SET_INITIAL_AP_STATE, address, SECOND, 0);
    command(START_UP);
    check!(reaches(1), "the second CPU begins");
    let found =
        [0, 1, 2, 3, 4, 5, 6, 7, 8].map(|word: usize| REGISTERS[word].load(Ordering::SeqCst));
    let wanted = [0x10, 0xF, 0xE, state.esp - 4, 0xB, 0xD, 0xC, 0xA, 2];
    check!(found == wanted, "its registers: {found:x?}");
    let found = [9, 10, 11].map(|word: usize| REGISTERS[word].load(Ordering::SeqCst));
    check!(
        found == [cr0, cr3, cr4],
        "its control registers: {found:x?}"
    );
    queues(rom, 2);
    go(6);
    check!(reaches(7), "the second CPU loads a table of its own");
    queues(rom, 8);
}

/// What waits on one CPU is none of the other's business, whether both have loaded one descriptor table or
/// not.
fn queues(rom: Rom, first_step: u32) {
    let set = |index: u32| {
        let flags = level::PT | update::DEFER;
        rom.call(Call::SET_PXE, 1, TABLE.address() + index * 4, flags);
    };
    // SAFETY: both CPUs write words of their own.
    let entry = |index: usize| unsafe { TABLE.get().cast::<u32>().add(index) };
    let value = |index: usize| {
        // SAFETY: as above.
        unsafe { entry(index).read_volatile() }
    };
    for index in 0..2 {
        // SAFETY: no update waits.
        unsafe { entry(index).write_volatile(0) };
    }
    rom.call(Call::SET_LAZY_MODE, LazyMode::MMU.0, 0, 0);
    set(0);
    go(first_step);
    check!(reaches(first_step + 1), "the second CPU defers updates too");
    check!(
        value(0) == 0 && value(1) == 0,
        "an update of each CPU waits"
    );
    rom.call(Call::SET_LAZY_MODE, LazyMode::OFF.0, 0, 0);
    check!(
        value(0) == 1 && value(1) == 0,
        "the first CPU makes up for its own"
    );
    go(first_step + 2);
    check!(reaches(first_step + 3), "the second CPU leaves the mode");
    check!(value(1) == 1, "and makes up for its own");
}

fn go(step: u32) {
    STEP.store(step, Ordering::SeqCst);
}

/// Waits for the other CPU, up to a generous bound.
fn reaches(step: u32) -> bool {
    (0..2_000_000_000_u32).any(|_| STEP.load(Ordering::SeqCst) == step)
}

global_asm!(
    ".pushsection .text.second, \"ax\", @progbits",
    "second_entry:",
    "pushfl",
    "pushal",
    "pushl %esp",
    "call {second}",
    "second_entry_address: movl $second_entry, %eax; ret",
    ".popsection",
    second = sym second,
    options(att_syntax)
);

unsafe extern "C" {
    safe fn second_entry_address() -> u32;
}

extern "C" fn second(registers: *const [u32; 9]) -> ! {
    let rom = Rom::get();
    // SAFETY: the entry has pushed them.
    let words = unsafe { registers.read() };
    for (saved, word) in REGISTERS.iter().zip(words) {
        saved.store(word, Ordering::SeqCst);
    }
    for (saved, call) in REGISTERS[9..]
        .iter()
        .zip([Call::GET_CR0, Call::GET_CR3, Call::GET_CR4])
    {
        saved.store(rom.call(call, 0, 0, 0) as u32, Ordering::SeqCst);
    }
    go(1);
    defer(rom, 2);
    reaches(6);
    // SAFETY: nobody uses this CPU's table yet.
    unsafe { OWN_GDT.get().write(GDT.get().read()) };
    let operand = TableOperand {
        limit: 63,
        base: OWN_GDT.address(),
    };
    rom.call(Call::SET_GDT, &raw const operand as u32, 0, 0);
    go(7);
    defer(rom, 8);
    loop {
        // SAFETY: this CPU has done its part.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}

/// The second CPU's part of [`queues`].
fn defer(rom: Rom, first_step: u32) {
    reaches(first_step);
    rom.call(Call::SET_LAZY_MODE, LazyMode::MMU.0, 0, 0);
    let flags = level::PT | update::DEFER;
    rom.call(Call::SET_PXE, 1, TABLE.address() + 4, flags);
    go(first_step + 1);
    reaches(first_step + 2);
    rom.call(Call::SET_LAZY_MODE, LazyMode::OFF.0, 0, 0);
    go(first_step + 3);
}
