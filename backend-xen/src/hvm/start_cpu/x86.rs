//! What a CPU begins with in 32-bit mode.

use core::arch::naked_asm;

use pvops_core::cpu;
use pvops_core::cpu_start::CpuStart;

/// `struct vcpu_hvm_context`, for 32-bit mode.
#[repr(C)]
pub(super) struct Context {
    mode: u32,
    padding: u32,
    registers: Registers,
}

/// `struct vcpu_hvm_x86_32`.
#[derive(Default)]
#[repr(C)]
struct Registers {
    eax: u32,
    ecx: u32,
    edx: u32,
    ebx: u32,
    esp: u32,
    ebp: u32,
    esi: u32,
    edi: u32,
    eip: u32,
    eflags: u32,
    cr0: u32,
    cr3: u32,
    cr4: u32,
    padding: u32,
    efer: [u32; 2],
    bases: Segments<u32>,
    limits: Segments<u32>,
    attributes: Segments<u16>,
    padding_2: [u16; 3],
}

#[derive(Default)]
#[repr(C)]
struct Segments<T> {
    cs: T,
    ds: T,
    ss: T,
    es: T,
    tr: T,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<Context>() == 128);
    assert!(offset_of!(Context, registers) == 8);
    assert!(offset_of!(Registers, eip) == 32);
    assert!(offset_of!(Registers, efer) == 56);
    assert!(offset_of!(Registers, bases) == 64);
    assert!(offset_of!(Registers, limits) == 84);
    assert!(offset_of!(Registers, attributes) == 104);
};

impl Context {
    /// With the control registers of this CPU, and flat segments.
    pub(super) fn of(start: &CpuStart) -> Self {
        /// VCPU_HVM_MODE_32B.
        const MODE_32: u32 = 0;
        /// Intel SDM volume 4, table 2-2.
        const IA32_EFER: u32 = 0xc000_0080;
        /// CPUID leaf 0x80000001, edx: no-execute, without which the register may not be there.
        const NO_EXECUTE: u32 = 1 << 20;
        /// Segments of 4 GiB, and a busy task-state segment. Intel SDM volume 3, figure 3-8.
        const CODE: u16 = 0xc9b;
        const DATA: u16 = 0xc93;
        const TASK: u16 = 0x8b;
        /// The smallest that a task-state segment can be. Intel SDM volume 3, 9.2.2.
        const TASK_LIMIT: u32 = 0x67;
        let extended = cpu::cpuid(0x8000_0000, 0).eax >= 0x8000_0001;
        let efer = match extended && cpu::cpuid(0x8000_0001, 0).edx & NO_EXECUTE != 0 {
            // SAFETY: the CPU has the register.
            true => unsafe { cpu::read_msr(IA32_EFER) },
            false => 0,
        };
        Context {
            mode: MODE_32,
            padding: 0,
            registers: Registers {
                eax: start.argument as u32,
                ecx: start.entry as usize as u32,
                esp: start.stack_top as u32,
                eip: begin as *const () as usize as u32,
                // Bit 1 is always set. Intel SDM volume 1, figure 3-8.
                eflags: 1 << 1,
                cr0: cpu::read_cr0() as u32,
                cr3: start.page_table as u32,
                cr4: cpu::read_cr4() as u32,
                efer: [efer as u32, (efer >> 32) as u32],
                limits: Segments {
                    cs: u32::MAX,
                    ds: u32::MAX,
                    ss: u32::MAX,
                    es: u32::MAX,
                    tr: TASK_LIMIT,
                },
                attributes: Segments {
                    cs: CODE,
                    ds: DATA,
                    ss: DATA,
                    es: DATA,
                    tr: TASK,
                },
                ..Registers::default()
            },
        }
    }
}

/// Calls the entry in ecx with the argument in eax, on a stack as the C ABI has it.
#[unsafe(naked)]
unsafe extern "C" fn begin() -> ! {
    naked_asm!("sub esp, 12", "push eax", "push 0", "jmp ecx")
}
