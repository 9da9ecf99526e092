//! Registers of the CPU and descriptor tables.

use core::arch::asm;
use core::arch::x86::__cpuid;

use crate::abi::INTERRUPTS_ENABLED;
use crate::abi::call::Call;
use crate::console::check;
use crate::interrupts::{self, IDT, gate};
use crate::rom::{Rom, note};
use crate::segments::{
    self, GDT, LDT, LOCAL, SPARE, TASK, TASK_STATE, TableOperand, system_descriptor,
};

const SYSENTER_ESP: u32 = 0x175;
const TASK_SWITCHED: u32 = 8;
const TIME_STAMP_DISABLE: u32 = 4;

pub(super) fn run(rom: Rom) {
    identification(rom);
    tables(rom);
    control_registers(rom);
    interrupt_flag(rom);
    rom.call(Call::WBINVD, 0, 0, 0);
    rom.call(Call::IO_DELAY, 0, 0, 0);
    rom.call(Call::SET_IOPL_MASK, 0x3000, 0, 0);
    check!(flags() & 0x3000 == 0x3000, "SetIOPLMask sets the level");
    rom.call(Call::SET_IOPL_MASK, 0, 0, 0);
    check!(flags() & 0x3000 == 0, "SetIOPLMask clears the level");
}

fn identification(rom: Rom) {
    let relocation = rom.relocation(Call::CPUID);
    note(Call::CPUID);
    let (eax, ebx, ecx, edx): (u32, u32, u32, u32);
    // SAFETY: the call changes these four.
    unsafe {
        asm!(
            "push ebx",
            "call edi",
            "mov edi, ebx",
            "pop ebx",
            inout("edi") relocation.address => ebx,
            inout("eax") 0 => eax,
            inout("ecx") 0 => ecx,
            out("edx") edx,
        );
    }
    let result = [eax, ebx, ecx, edx];
    let native = __cpuid(0);
    check!(
        result == [native.eax, native.ebx, native.ecx, native.edx],
        "CPUID"
    );
    let before = rom.call(Call::RDTSC, 0, 0, 0);
    let after = rom.call(Call::RDTSC, 0, 0, 0);
    check!(before < after, "RDTSC goes on");
    rom.call(Call::WRMSR, 0x1234_5678, 0, SYSENTER_ESP);
    check!(
        rom.call(Call::RDMSR, 0, 0, SYSENTER_ESP) == 0x1234_5678,
        "WRMSR and RDMSR"
    );
}

fn tables(rom: Rom) {
    let operand = segments::gdt_operand();
    rom.call(Call::SET_GDT, &raw const operand as u32, 0, 0);
    let mut read = TableOperand::default();
    rom.call(Call::GET_GDT, &raw mut read as u32, 0, 0);
    check!(read == operand, "SetGDT and GetGDT");
    let operand = interrupts::idt_operand();
    rom.call(Call::SET_IDT, &raw const operand as u32, 0, 0);
    let mut read = TableOperand::default();
    rom.call(Call::GET_IDT, &raw mut read as u32, 0, 0);
    check!(read == operand, "SetIDT and GetIDT");

    write(
        rom,
        Call::WRITE_GDT_ENTRY,
        GDT.address(),
        TASK / 8,
        system_descriptor(TASK_STATE.address(), 103, 0x89),
    );
    write(
        rom,
        Call::WRITE_GDT_ENTRY,
        GDT.address(),
        LOCAL / 8,
        system_descriptor(LDT.address(), 31, 0x82),
    );
    rom.call(Call::SET_TR, TASK.into(), 0, 0);
    check!(
        rom.call(Call::GET_TR, 0, 0, 0) as u32 == u32::from(TASK),
        "SetTR and GetTR"
    );
    rom.call(Call::SET_LDT, LOCAL.into(), 0, 0);
    check!(
        rom.call(Call::GET_LDT, 0, 0, 0) as u32 == u32::from(LOCAL),
        "SetLDT and GetLDT"
    );

    for (call, table) in [
        (Call::WRITE_GDT_ENTRY, GDT.address()),
        (Call::WRITE_LDT_ENTRY, LDT.address()),
        (Call::WRITE_IDT_ENTRY, IDT.address()),
    ] {
        let index = if call == Call::WRITE_LDT_ENTRY {
            2
        } else {
            SPARE as u16
        };
        let old = entry(table, index);
        write(rom, call, table, index, gate(0x1234_5678, 0x8E));
        check!(
            entry(table, index) == gate(0x1234_5678, 0x8E),
            "{call:?} writes an entry"
        );
        write(rom, call, table, index, old);
    }
    let data = u32::from(segments::KERNEL_DATA);
    rom.call(Call::UPDATE_KERNEL_STACK, data, 0x1234_5000, 0);
    // SAFETY: only the CPU uses the task state meanwhile, and no program runs.
    let task = unsafe { TASK_STATE.get().read_volatile() };
    check!(
        task[1] == 0x1234_5000 && task[2] == data,
        "UpdateKernelStack with a selector"
    );
    rom.call(
        Call::UPDATE_KERNEL_STACK,
        TASK_STATE.address(),
        0x1234_6000,
        0,
    );
    // SAFETY: as above.
    let task = unsafe { TASK_STATE.get().read_volatile() };
    check!(
        task[1] == 0x1234_6000 && task[2] == data,
        "UpdateKernelStack with an address"
    );
}

fn write(rom: Rom, call: Call, table: u32, index: u16, value: u64) {
    let (low, high) = (value as u32, (value >> 32) as u32);
    rom.call_with_stack(call, [table, index.into(), low], [high, 0]);
}

fn entry(table: u32, index: u16) -> u64 {
    // SAFETY: it is one of the kernel's tables.
    unsafe { (table as *const u64).add(index.into()).read_volatile() }
}

fn control_registers(rom: Rom) {
    let value = |call| rom.call(call, 0, 0, 0) as u32;
    let cr0 = value(Call::GET_CR0);
    rom.call(Call::SET_CR0, cr0 | TASK_SWITCHED, 0, 0);
    check!(
        value(Call::GET_CR0) == cr0 | TASK_SWITCHED,
        "SetCR0 and GetCR0"
    );
    rom.call(Call::CLTS, 0, 0, 0);
    check!(value(Call::GET_CR0) == cr0 & !TASK_SWITCHED, "CLTS");
    rom.call(Call::SET_CR2, 0xCAFE_0000, 0, 0);
    check!(value(Call::GET_CR2) == 0xCAFE_0000, "SetCR2 and GetCR2");
    let cr3 = value(Call::GET_CR3);
    rom.call(Call::SET_CR3, cr3, 0, 0);
    check!(value(Call::GET_CR3) == cr3, "SetCR3 and GetCR3");
    let cr4 = value(Call::GET_CR4);
    rom.call(Call::SET_CR4, cr4 | TIME_STAMP_DISABLE, 0, 0);
    check!(
        value(Call::GET_CR4) == cr4 | TIME_STAMP_DISABLE,
        "SetCR4 and GetCR4"
    );
    rom.call(Call::SET_CR4, cr4, 0, 0);
    for register in 0..4 {
        rom.call(Call::SET_DR, register, 0x1000 + register, 0);
        check!(
            rom.call(Call::GET_DR, register, 0, 0) as u32 == 0x1000 + register,
            "DR{register}"
        );
    }
    rom.call(Call::SET_DR, 7, 0x400, 0);
    check!(rom.call(Call::GET_DR, 7, 0, 0) as u32 == 0x400, "DR7");
    check!(rom.call(Call::GET_DR, 99, 0, 0) == 0, "there is no DR99");
}

fn interrupt_flag(rom: Rom) {
    let mask = || rom.call(Call::GET_INTERRUPT_MASK, 0, 0, 0) as u32;
    check!(
        keeps_registers(rom, Call::ENABLE_INTERRUPTS, 5),
        "EnableInterrupts keeps registers"
    );
    check!(
        flags() & INTERRUPTS_ENABLED != 0 && mask() == INTERRUPTS_ENABLED,
        "EnableInterrupts"
    );
    check!(
        keeps_registers(rom, Call::DISABLE_INTERRUPTS, 5),
        "DisableInterrupts keeps registers"
    );
    check!(
        flags() & INTERRUPTS_ENABLED == 0 && mask() == 0,
        "DisableInterrupts"
    );
    check!(
        keeps_registers(rom, Call::SET_INTERRUPT_MASK, 0x246),
        "SetInterruptMask keeps registers"
    );
    check!(mask() == INTERRUPTS_ENABLED, "SetInterruptMask enables");
    rom.call(Call::SET_INTERRUPT_MASK, 0x46, 0, 0);
    check!(mask() == 0, "SetInterruptMask disables");
}

/// Whether EAX, EDX and ECX are as before, with interrupts as the call has left them.
fn keeps_registers(rom: Rom, call: Call, argument: u32) -> bool {
    let address = rom.relocation(call).address;
    note(call);
    let (eax, edx, ecx): (u32, u32, u32);
    // SAFETY: interrupts have handlers.
    unsafe {
        asm!("call {}", in(reg) address, inout("eax") argument => eax,
             inout("edx") 0x1111 => edx, inout("ecx") 0x2222 => ecx);
    }
    [eax, edx, ecx] == [argument, 0x1111, 0x2222]
}

fn flags() -> u32 {
    let flags;
    // SAFETY: it only tells.
    unsafe { asm!("pushfd", "pop {}", out(reg) flags) };
    flags
}
