//! The functions in the op table keep the registers that their shape says.

use pvops_core::arch::shape;
#[cfg(target_arch = "x86_64")]
use pvops_core::cpu;
use pvops_core::probe::CpuIdResult;
use pvops_core::testing::Cpu;
use pvops_core::{Op, io, op};
use pvops_tests::check::{Outcome, equal};
use pvops_tests::process::slot_of;
use pvops_tests::registers::{ARGUMENTS, LOST, MISALIGNED, RAX, RBX, RCX, RDX, call, pattern};
#[cfg(target_arch = "x86_64")]
use pvops_tests::registers::{RDI, RSI};

use crate::backend;
use crate::ops::{APIC_BASE, FLAGS_ENABLED};

/// Calls what is in the table, with a pattern in all registers, and compares them afterwards.
pub(crate) fn thunks() -> Outcome {
    /// Bit 1 is always set.
    const FIXED: usize = 2;
    let this = Cpu::new();
    this.set_msr(APIC_BASE, 0);
    let [first, second] = ARGUMENTS;
    let enabled = FLAGS_ENABLED | FIXED;
    let mut entry = 0_u64;
    let entry_address = (&raw mut entry).addr();
    through::<op::irq::restore_flags>(&[(first, enabled)], &[])?;
    through::<op::irq::save_flags>(&[], &[(RAX, enabled)])?;
    through::<op::irq::disable>(&[], &[])?;
    through::<op::irq::save_flags>(&[], &[(RAX, FIXED)])?;
    // The upper half, where that is a word of its own.
    let upper = if cfg!(target_arch = "x86_64") {
        RBX
    } else {
        RCX
    };
    through::<op::mmu::set_pte>(&[(first, entry_address), (second, 77), (upper, 5)], &[])?;
    // SAFETY: our own variable, written behind the compiler's back.
    let written = unsafe { (&raw const entry).read_volatile() };
    let wanted = if cfg!(target_arch = "x86_64") {
        77
    } else {
        5 << 32 | 77
    };
    equal("the entry", written, wanted)?;
    let halves = [
        (RCX, APIC_BASE as usize),
        (RAX, 0xffff_ffff_1234_5678_u64 as usize),
        (RDX, 0xeeee_eeee_9abc_def0_u64 as usize),
    ];
    through::<op::cpu::write_msr>(&halves, &[])?;
    equal(
        "the register",
        this.msr(APIC_BASE),
        Some(0x9abc_def0_1234_5678),
    )?;
    let halves = [(RAX, 0x1234_5678), (RDX, 0x9abc_def0)];
    through::<op::cpu::read_msr>(&[(RCX, APIC_BASE as usize)], &halves)?;
    let halves = [
        (RAX, backend::TSC as u32 as usize),
        (RDX, (backend::TSC >> 32) as usize),
    ];
    through::<op::cpu::read_tsc>(&[], &halves)?;
    #[cfg(target_arch = "x86_64")]
    bases_and_descriptors(&mut entry)?;
    through::<op::io::out8>(&[(RDX, 0xffff_0064), (RAX, 0xfe)], &[])?;
    // SAFETY: a variable.
    equal("the port's value", unsafe { io::in8(0x64) }, 0xfe)?;
    this.set_port(0x60, 0xfe);
    // Only al is the result.
    let mut registers = pattern();
    registers[RDX] = 0x60;
    // SAFETY: as in `through`.
    unsafe { call(&mut registers, 0, slot_of::<op::io::in8>()) };
    equal("io.in8", registers[RAX] as u8, 0xfe)?;
    let result = CpuIdResult {
        eax: 7,
        ebx: 0xb,
        ecx: 3,
        edx: 0xd,
    };
    this.set_cpuid(7, 3, result);
    let answer = [(RAX, 7), (RBX, 0xb), (RCX, 3), (RDX, 0xd)];
    through::<op::cpu::cpuid>(&[(RAX, 7), (RCX, 3)], &answer)
}

/// Ops that exist in 64-bit code only, or take a word on the stack elsewhere.
#[cfg(target_arch = "x86_64")]
fn bases_and_descriptors(entry: &mut u64) -> Outcome {
    let entry_address = (&raw mut *entry).addr();
    let halves = [(RAX, 0xffff_ffff_1234_5678), (RDX, 0xeeee_eeee_9abc_def0)];
    through::<op::cpu::write_fs_base>(&halves, &[])?;
    equal("the base", cpu::read_fs_base(), 0x9abc_def0_1234_5678)?;
    let halves = [(RAX, 0x1234_5678), (RDX, 0x9abc_def0)];
    through::<op::cpu::read_fs_base>(&[], &halves)?;
    let entry_by_index = [(RDI, entry_address - 80), (RSI, 10), (RDX, usize::MAX - 7)];
    through::<op::cpu::write_gdt_entry>(&entry_by_index, &[])?;
    // SAFETY: our own variable, written behind the compiler's back.
    let written = unsafe { (&raw const *entry).read_volatile() };
    equal("the entry", written, u64::MAX - 7)
}

/// Calls an op with some registers set, and checks that only some others are `changed`: those that
/// its sites lose may be.
fn through<O: Op>(set: &[(usize, usize)], changed: &[(usize, usize)]) -> Outcome {
    let keeps_all = [shape::flags_read, shape::flags_write].contains(&O::SHAPE);
    let lost = match keeps_all && cfg!(target_arch = "x86") {
        true => &[],
        false => LOST,
    };
    for misalign in [0, MISALIGNED] {
        let mut registers = pattern();
        set.iter()
            .for_each(|&(register, value)| registers[register] = value);
        let mut wanted = registers;
        // SAFETY: the ops are the host backend's, and the operands as they want them.
        unsafe { call(&mut registers, misalign, slot_of::<O>()) };
        for &register in lost {
            wanted[register] = registers[register];
        }
        changed
            .iter()
            .for_each(|&(register, value)| wanted[register] = value);
        equal(&O::NUMBER.to_string(), registers, wanted)?;
    }
    Ok(())
}
