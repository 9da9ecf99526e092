//! Starting another CPU: INIT, start-up interrupts, and the way from real mode to the kernel.
//!
//! Intel SDM volume 3, section 10.4.4. A CPU starts in real mode at a frame below 1 MiB that the
//! start-up interrupt names. The trampoline is copied there; it finds out by itself where it is.

use core::arch::global_asm;
use core::mem::offset_of;
use core::ptr;

use pvops_core::cpu_start::{CpuStart, StartStatus};
use pvops_core::{apic, cpu};
use x86::msr::IA32_EFER;

use crate::clock;

/// The op `smp.start_cpu` on a machine without a local APIC.
pub(crate) unsafe extern "C" fn unavailable(_apic_id: u32, _start: *const CpuStart) -> StartStatus {
    StartStatus::UNAVAILABLE
}

/// The op `smp.start_cpu`.
pub(crate) unsafe extern "C" fn start_cpu(apic_id: u32, start: *const CpuStart) -> StartStatus {
    // SAFETY: the op's caller gives a description that is right.
    let start = unsafe { &*start };
    let (frame, table) = (start.trampoline_physical, start.page_table);
    let page_table = u32::try_from(table);
    let Ok(page_table) = page_table.map_err(drop).and_then(|table| {
        let has_frame = frame % PAGE == 0 && (PAGE..LOW_MEMORY).contains(&frame);
        let good = has_frame && start.stack_top % 16 == 0;
        if good { Ok(table) } else { Err(()) }
    }) else {
        return StartStatus::BAD_ADDRESS;
    };
    let parameters = Parameters {
        efer: efer() & !EFER_LONG_MODE_ACTIVE,
        entry: start.entry as usize as u64,
        stack_top: start.stack_top as u64,
        argument: start.argument as u64,
        ..Parameters::of_registers(cpu::read_cr0(), page_table, cpu::read_cr4())
    };
    // SAFETY: the frame is the caller's to lend, and the trampoline with its parameters fits.
    unsafe {
        let length = (&raw const trampoline_end).addr() - (&raw const trampoline_start).addr();
        ptr::copy_nonoverlapping(&raw const trampoline_start, start.trampoline, length);
        start
            .trampoline
            .add(PARAMETERS)
            .cast::<Parameters>()
            .write_volatile(parameters);
    }
    let destination = u64::from(apic_id) << 32;
    let vector = frame / PAGE;
    // SAFETY: the CPU does not run, and finds the trampoline.
    unsafe {
        apic::write_icr(destination | ASSERT | INIT);
        wait_us(10_000);
        for _ in 0..2 {
            apic::write_icr(destination | ASSERT | START_UP | vector);
            wait_us(200);
        }
    }
    StartStatus::TOLD
}

/// The lower half of IA32_EFER, which has all its bits: the extended features that are on. 0 on a 32-bit CPU
/// that lacks the register. Another CPU needs them before it turns on paging with this one's tables. Any
/// context. Intel SDM volume 4, table 2-2.
pub fn efer() -> u32 {
    const EXTENDED: u32 = 0x8000_0000;
    const EXTENDED_FEATURES: u32 = 0x8000_0001;
    // SYSCALL, execute-disable and long mode, each of which comes with the register.
    const EDX_EFER: u32 = 1 << 11 | 1 << 20 | 1 << 29;
    let has_register = cpu::cpuid(EXTENDED, 0).eax >= EXTENDED_FEATURES
        && cpu::cpuid(EXTENDED_FEATURES, 0).edx & EDX_EFER != 0;
    match has_register {
        // SAFETY: the CPU has the register.
        true => unsafe { cpu::read_msr(IA32_EFER) as u32 },
        false => 0,
    }
}

/// By the time-stamp counter, which runs whatever a hypervisor's clock does.
fn wait_us(microseconds: u64) {
    let ticks = clock::ticks(microseconds * 1000);
    let start = cpu::read_tsc_ordered();
    while cpu::read_tsc_ordered().wrapping_sub(start) < ticks {}
}

const PAGE: u64 = 4096;
const LOW_MEMORY: u64 = 1 << 20;
/// Interrupt command: delivery modes and level. Intel SDM volume 3, figure 12-12.
const INIT: u64 = 0b101 << 8;
const START_UP: u64 = 0b110 << 8;
const ASSERT: u64 = 1 << 14;
/// Read-only; long mode becomes active by itself.
const EFER_LONG_MODE_ACTIVE: u32 = 1 << 10;

/// What the trampoline needs to know, at [`PARAMETERS`] in its frame.
#[derive(Default)]
#[repr(C)]
struct Parameters {
    cr0: u32,
    cr3: u32,
    cr4: u32,
    efer: u32,
    /// What the registers have in the end, when paging is on.
    paged_cr3: u64,
    paged_cr4: u64,
    entry: u64,
    stack_top: u64,
    argument: u64,
}

impl Parameters {
    /// Those of control registers. What of CR4 can't be on before paging, and with it CR0.WP and long mode,
    /// comes later; and PCIDs are turned on while CR3 names number 0. Intel SDM volume 2, MOV to control
    /// registers.
    fn of_registers(cr0: usize, cr3: u32, cr4: usize) -> Self {
        const PCIDS: u32 = 1 << 17;
        const CONTROL_FLOW_ENFORCEMENT: u32 = 1 << 23;
        const PCID: u32 = 0xfff;
        let has_pcid = cr4 as u32 & PCIDS != 0;
        Parameters {
            cr0: cr0 as u32,
            cr3: if has_pcid { cr3 & !PCID } else { cr3 },
            cr4: cr4 as u32 & !(PCIDS | CONTROL_FLOW_ENFORCEMENT),
            paged_cr3: cr3.into(),
            paged_cr4: cr4 as u64,
            ..Parameters::default()
        }
    }
}

/// The end of the frame; below it is the trampoline's stack.
const PARAMETERS: usize = 4096 - size_of::<Parameters>();

unsafe extern "C" {
    static trampoline_start: u8;
    static trampoline_end: u8;
}

cfg_if::cfg_if! {
    if #[cfg(target_arch = "x86_64")] {
        /// The selector of 64-bit code.
        const CODE: u16 = 0x18;

        /// Calls the entry in 64-bit mode.
        macro_rules! paged {
            () => {
                ".code64
                movl %ebx, %ebx
                movq {paged_cr4}(%rbx), %rax
                movq {paged_cr3}(%rbx), %rcx
                movq %rax, %cr4
                movq %rcx, %cr3
                movq {stack_top}(%rbx), %rsp
                movq {argument}(%rbx), %rdi
                movq {entry}(%rbx), %rax
                xorl %ebp, %ebp
                pushq $0
                jmpq *%rax"
            };
        }
    } else {
        /// The selector of 32-bit code.
        const CODE: u16 = 0x08;

        /// Calls the entry in 32-bit mode, with the stack as the C ABI has it: the argument aligned to
        /// 16 bytes, above the return address.
        macro_rules! paged {
            () => {
                "movl {paged_cr4}(%ebx), %eax
                movl {paged_cr3}(%ebx), %ecx
                movl %eax, %cr4
                movl %ecx, %cr3
                movl {stack_top}(%ebx), %esp
                movl {entry}(%ebx), %eax
                xorl %ebp, %ebp
                subl $12, %esp
                pushl {argument}(%ebx)
                pushl $0
                jmpl *%eax"
            };
        }
    }
}

// ebx is the frame's address throughout, and all addresses are relative to it.
global_asm!(
    ".pushsection .rodata.trampoline, \"a\", @progbits",
    ".balign 16",
    ".code16",
    "trampoline_start:",
    "cli",
    "cld",
    "movw %cs, %ax",
    "movw %ax, %ds",
    "movw %ax, %ss",
    "movl ${stack}, %esp",
    "xorl %ebx, %ebx",
    "movw %ax, %bx",
    "shll $4, %ebx",
    "leal trampoline_gdt - trampoline_start(%ebx), %eax",
    "movl %eax, trampoline_gdt_pointer - trampoline_start + 2",
    "lgdtl trampoline_gdt_pointer - trampoline_start",
    "movl $0x11, %eax",
    "movl %eax, %cr0",
    "pushl $0x08",
    "leal trampoline_32 - trampoline_start(%ebx), %eax",
    "pushl %eax",
    "lretl",

    ".code32",
    "trampoline_32:",
    "movl $0x10, %eax",
    "movl %eax, %ds",
    "movl %eax, %es",
    "movl %eax, %ss",
    "leal {stack}(%ebx), %esp",
    // Pushed now: the page tables need not let us write.
    "pushl ${code}",
    "leal trampoline_paged - trampoline_start(%ebx), %eax",
    "pushl %eax",
    "movl {cr4}(%ebx), %eax",
    "movl %eax, %cr4",
    "movl {cr3}(%ebx), %eax",
    "movl %eax, %cr3",
    // 0 if the CPU has no such register.
    "movl {efer}(%ebx), %eax",
    "testl %eax, %eax",
    "jz 2f",
    "movl ${efer_index}, %ecx",
    "xorl %edx, %edx",
    "wrmsr",
    "2:",
    "movl {cr0}(%ebx), %eax",
    "movl %eax, %cr0",
    "lretl",

    "trampoline_paged:",
    paged!(),

    ".balign 8",
    // Null, 32-bit code, data, 64-bit code.
    "trampoline_gdt: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff",
    "trampoline_gdt_pointer: .short 31",
    ".long 0",
    "trampoline_end:",
    ".popsection",
    stack = const PARAMETERS,
    code = const CODE,
    cr0 = const PARAMETERS + offset_of!(Parameters, cr0),
    cr3 = const PARAMETERS + offset_of!(Parameters, cr3),
    cr4 = const PARAMETERS + offset_of!(Parameters, cr4),
    efer = const PARAMETERS + offset_of!(Parameters, efer),
    paged_cr3 = const PARAMETERS + offset_of!(Parameters, paged_cr3),
    paged_cr4 = const PARAMETERS + offset_of!(Parameters, paged_cr4),
    efer_index = const IA32_EFER,
    entry = const PARAMETERS + offset_of!(Parameters, entry),
    stack_top = const PARAMETERS + offset_of!(Parameters, stack_top),
    argument = const PARAMETERS + offset_of!(Parameters, argument),
    options(att_syntax),
);

#[cfg(test)]
mod tests {
    use super::Parameters;

    const PROTECTED_AND_PAGED: usize = 1 << 31 | 1 << 16 | 1;
    const ADDRESS_EXTENSION: usize = 1 << 5;

    #[test]
    fn ordinary_registers_are_those_of_the_starting_cpu_at_once() {
        let cr4 = ADDRESS_EXTENSION | 1 << 7;
        let found = Parameters::of_registers(PROTECTED_AND_PAGED, 0x10_1018, cr4);
        assert_eq!((found.cr0, found.cr3), (0x8001_0001, 0x10_1018));
        assert_eq!((found.paged_cr3, found.paged_cr4), (0x10_1018, 0xa0));
        assert_eq!(found.cr4, 0xa0);
    }

    #[test]
    fn what_needs_paging_waits_for_it() {
        let cr4 = ADDRESS_EXTENSION | 1 << 17 | 1 << 23;
        let found = Parameters::of_registers(PROTECTED_AND_PAGED, 0x10_1007, cr4);
        assert_eq!((found.cr3, found.cr4), (0x10_1000, 0x20));
        assert_eq!((found.paged_cr3, found.paged_cr4), (0x10_1007, 0x82_0020));
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn the_upper_half_of_cr4_comes_along() {
        let found = Parameters::of_registers(PROTECTED_AND_PAGED, 0x10_1000, 1 << 32 | 0x20);
        assert_eq!((found.cr4, found.paged_cr4), (0x20, 0x1_0000_0020));
    }
}
