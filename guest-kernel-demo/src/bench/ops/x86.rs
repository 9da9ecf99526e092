//! The ways of 32-bit code.

use core::arch::asm;

use pvops_core::{Op, op};

use super::{Way, way};

/// IA32_PAT, which keeps its value.
pub(super) const SPARE_REGISTER: u32 = 0x277;

pub(super) struct Raw;

way! {
    Raw:
    fn save_flags() -> usize {
        let flags;
        asm!("pushfd", "pop eax", out("eax") flags, options(nostack));
        flags
    }
    fn restore_flags(flags: usize) {
        asm!("push eax", "popfd", in("eax") flags, options(nostack));
    }
    fn disable() {
        asm!("cli", options(nostack));
    }
    fn enable() {
        asm!("sti", options(nostack));
    }
    fn read_cr2() -> usize {
        let value;
        asm!("mov eax, cr2", out("eax") value, options(nostack));
        value
    }
    fn read_cr3() -> usize {
        let value;
        asm!("mov eax, cr3", out("eax") value, options(nostack));
        value
    }
    fn write_cr3(value: usize) {
        asm!("mov cr3, eax", in("eax") value, options(nostack));
    }
    fn read_msr(index: u32) -> u64 {
        let (low, high): (u32, u32);
        asm!("rdmsr", in("ecx") index, out("eax") low, out("edx") high, options(nostack));
        u64::from(high) << 32 | u64::from(low)
    }
    fn write_msr(index: u32, value: u64) {
        asm!(
            "wrmsr", in("ecx") index, in("eax") value as u32, in("edx") (value >> 32) as u32,
            options(nostack)
        );
    }
    fn read_tsc() -> u64 {
        let (low, high): (u32, u32);
        asm!("rdtsc", out("eax") low, out("edx") high, options(nostack));
        u64::from(high) << 32 | u64::from(low)
    }
    fn flush_tlb_page(address: usize) {
        asm!("invlpg [eax]", in("eax") address, options(nostack));
    }
    // The half with the bit that it is present by comes last; the op changes both at once.
    fn set_pte(entry: *mut u64, value: u64) {
        asm!(
            "mov [eax + 4], ecx", "mov [eax], edx",
            in("eax") entry, in("edx") value as u32, in("ecx") (value >> 32) as u32,
            options(nostack)
        );
    }
}

/// A call site that patching does not find: there is no record of it.
macro_rules! unpatched {
    ($op:ty, $($operands:tt)*) => {
        asm!(
            "call dword ptr [pvops_op_table + {slot}]",
            slot = const <$op as Op>::NUMBER.0 as usize * size_of::<usize>(),
            $($operands)*
            options(nostack)
        )
    };
}

pub(super) struct Unpatched;

way! {
    Unpatched:
    fn save_flags() -> usize {
        let flags;
        unpatched!(op::irq::save_flags, out("eax") flags,);
        flags
    }
    fn restore_flags(flags: usize) {
        unpatched!(op::irq::restore_flags, inout("eax") flags => _,);
    }
    fn disable() {
        unpatched!(op::irq::disable, out("eax") _,);
    }
    fn enable() {
        unpatched!(op::irq::enable, out("eax") _,);
    }
    fn read_cr2() -> usize {
        let value;
        unpatched!(op::mmu::read_cr2, out("eax") value, out("edx") _, out("ecx") _,);
        value
    }
    fn read_cr3() -> usize {
        let value;
        unpatched!(op::mmu::read_cr3, out("eax") value, out("edx") _, out("ecx") _,);
        value
    }
    fn write_cr3(value: usize) {
        unpatched!(op::mmu::write_cr3, inout("eax") value => _, out("edx") _, out("ecx") _,);
    }
    fn read_msr(index: u32) -> u64 {
        let (low, high): (u32, u32);
        unpatched!(
            op::cpu::read_msr, inout("ecx") index => _, out("eax") low, out("edx") high,
        );
        u64::from(high) << 32 | u64::from(low)
    }
    fn write_msr(index: u32, value: u64) {
        unpatched!(
            op::cpu::write_msr, inout("ecx") index => _, inout("eax") value as u32 => _,
            inout("edx") (value >> 32) as u32 => _,
        );
    }
    fn read_tsc() -> u64 {
        let (low, high): (u32, u32);
        unpatched!(op::cpu::read_tsc, out("eax") low, out("edx") high, out("ecx") _,);
        u64::from(high) << 32 | u64::from(low)
    }
    fn flush_tlb_page(address: usize) {
        unpatched!(
            op::mmu::flush_tlb_page, inout("eax") address => _, out("edx") _, out("ecx") _,
        );
    }
    fn set_pte(entry: *mut u64, value: u64) {
        unpatched!(
            op::mmu::set_pte, inout("eax") entry => _, inout("edx") value as u32 => _,
            inout("ecx") (value >> 32) as u32 => _,
        );
    }
}

impl Unpatched {
    #[inline(always)]
    pub(super) fn clock_ns(&self) -> u64 {
        let (low, high): (u32, u32);
        // SAFETY: the op is safe, and has its result there.
        unsafe {
            unpatched!(op::time::clock_ns, out("eax") low, out("edx") high, out("ecx") _,);
        }
        u64::from(high) << 32 | u64::from(low)
    }
}
