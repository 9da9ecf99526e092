//! What a CPU begins with in 64-bit mode.

use pvops_core::cpu;
use pvops_core::cpu_start::CpuStart;

/// `struct vcpu_hvm_context`, for 64-bit mode.
#[repr(C)]
pub(super) struct Context {
    mode: u32,
    padding: u32,
    registers: Registers,
    /// The rest of what a CPU in 32-bit mode would need.
    rest: u64,
}

/// `struct vcpu_hvm_x86_64`.
#[derive(Default)]
#[repr(C)]
struct Registers {
    rax: u64,
    rcx: u64,
    rdx: u64,
    rbx: u64,
    rsp: u64,
    rbp: u64,
    rsi: u64,
    rdi: u64,
    rip: u64,
    rflags: u64,
    cr0: u64,
    cr3: u64,
    cr4: u64,
    efer: u64,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<Context>() == 128);
    assert!(offset_of!(Context, registers) == 8);
    assert!(offset_of!(Registers, rip) == 64);
    assert!(offset_of!(Registers, efer) == 104);
};

impl Context {
    /// With the control registers of this CPU.
    pub(super) fn of(start: &CpuStart) -> Self {
        /// VCPU_HVM_MODE_64B.
        const MODE_64: u32 = 1;
        /// Intel SDM volume 4, table 2-2.
        const IA32_EFER: u32 = 0xc000_0080;
        Context {
            mode: MODE_64,
            padding: 0,
            registers: Registers {
                rdi: start.argument as u64,
                // As after a call.
                rsp: start.stack_top as u64 - 8,
                rip: start.entry as usize as u64,
                // Bit 1 is always set. Intel SDM volume 1, figure 3-8.
                rflags: 1 << 1,
                cr0: cpu::read_cr0() as u64,
                cr3: start.page_table,
                cr4: cpu::read_cr4() as u64,
                // SAFETY: every 64-bit CPU has the register.
                efer: unsafe { cpu::read_msr(IA32_EFER) },
                ..Registers::default()
            },
            rest: 0,
        }
    }
}
