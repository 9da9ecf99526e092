//! The ways of 64-bit code.

use core::arch::{asm, x86_64};

use ::x86_64::registers::control::{Cr2, Cr3, Cr3Flags};
use ::x86_64::registers::model_specific::Msr;
use ::x86_64::registers::rflags;
use ::x86_64::structures::paging::PhysFrame;
use ::x86_64::{PhysAddr, VirtAddr, instructions};
use pvops_core::{Op, op};

use super::{Way, way};

/// Where SWAPGS gets the base of GS from: nobody uses that here.
pub(super) const SPARE_REGISTER: u32 = 0xc000_0102;

pub(super) struct Raw;

way! {
    Raw:
    fn save_flags() -> usize {
        let flags;
        asm!("pushfq", "pop rax", out("rax") flags, options(nostack));
        flags
    }
    fn restore_flags(flags: usize) {
        asm!("push rdi", "popfq", in("rdi") flags, options(nostack));
    }
    fn disable() {
        asm!("cli", options(nostack));
    }
    fn enable() {
        asm!("sti", options(nostack));
    }
    fn read_cr2() -> usize {
        let value;
        asm!("mov rax, cr2", out("rax") value, options(nostack));
        value
    }
    fn read_cr3() -> usize {
        let value;
        asm!("mov rax, cr3", out("rax") value, options(nostack));
        value
    }
    fn write_cr3(value: usize) {
        asm!("mov cr3, rdi", in("rdi") value, options(nostack));
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
        asm!("invlpg [rdi]", in("rdi") address, options(nostack));
    }
    fn set_pte(entry: *mut u64, value: u64) {
        asm!("mov [rdi], rsi", in("rdi") entry, in("rsi") value, options(nostack));
    }
}

pub(super) struct Crate;

way! {
    Crate:
    fn save_flags() -> usize { rflags::read_raw() as usize }
    fn restore_flags(flags: usize) { rflags::write_raw(flags as u64) }
    fn disable() { instructions::interrupts::disable() }
    fn enable() { instructions::interrupts::enable() }
    fn read_cr2() -> usize { Cr2::read_raw() as usize }
    fn read_cr3() -> usize { Cr3::read_raw().0.start_address().as_u64() as usize }
    fn write_cr3(value: usize) {
        let frame = PhysFrame::containing_address(PhysAddr::new_truncate(value as u64));
        Cr3::write(frame, Cr3Flags::empty())
    }
    fn read_msr(index: u32) -> u64 { Msr::new(index).read() }
    fn write_msr(index: u32, value: u64) { Msr::new(index).write(value) }
    fn read_tsc() -> u64 { x86_64::_rdtsc() }
    fn flush_tlb_page(address: usize) {
        instructions::tlb::flush(VirtAddr::new_truncate(address as u64))
    }
    fn set_pte(entry: *mut u64, value: u64) { entry.write_volatile(value) }
}

/// A call site that patching does not find: there is no record of it.
macro_rules! unpatched {
    ($op:ty, $($operands:tt)*) => {
        asm!(
            "call qword ptr [rip + pvops_op_table + {slot}]",
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
        unpatched!(op::irq::save_flags, out("rax") flags,);
        flags
    }
    fn restore_flags(flags: usize) {
        unpatched!(op::irq::restore_flags, in("rdi") flags, out("rax") _,);
    }
    fn disable() {
        unpatched!(op::irq::disable, out("rax") _,);
    }
    fn enable() {
        unpatched!(op::irq::enable, out("rax") _,);
    }
    fn read_cr2() -> usize {
        let value;
        unpatched!(op::mmu::read_cr2, out("rax") value,);
        value
    }
    fn read_cr3() -> usize {
        let value;
        unpatched!(op::mmu::read_cr3, out("rax") value,);
        value
    }
    fn write_cr3(value: usize) {
        unpatched!(op::mmu::write_cr3, in("rdi") value, out("rax") _,);
    }
    fn read_msr(index: u32) -> u64 {
        let (low, high): (u32, u32);
        unpatched!(op::cpu::read_msr, in("ecx") index, out("eax") low, out("edx") high,);
        u64::from(high) << 32 | u64::from(low)
    }
    fn write_msr(index: u32, value: u64) {
        unpatched!(
            op::cpu::write_msr, in("ecx") index, inout("eax") value as u32 => _,
            in("edx") (value >> 32) as u32,
        );
    }
    fn read_tsc() -> u64 {
        let (low, high): (u32, u32);
        unpatched!(op::cpu::read_tsc, out("eax") low, out("edx") high,);
        u64::from(high) << 32 | u64::from(low)
    }
    fn flush_tlb_page(address: usize) {
        unpatched!(op::mmu::flush_tlb_page, in("rdi") address, out("rax") _,);
    }
    fn set_pte(entry: *mut u64, value: u64) {
        unpatched!(op::mmu::set_pte, in("rdi") entry, in("rsi") value, out("rax") _,);
    }
}

impl Unpatched {
    #[inline(always)]
    pub(super) fn clock_ns(&self) -> u64 {
        let value;
        // SAFETY: the op is safe, and has its result there.
        unsafe { unpatched!(op::time::clock_ns, out("rax") value,) };
        value
    }
}
