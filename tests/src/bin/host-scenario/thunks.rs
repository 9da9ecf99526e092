//! The functions in the op table keep the registers that their shape says.

use std::sync::atomic::Ordering;

use pvops_core::{Op, op};
use pvops_tests::check::{Outcome, equal};
use pvops_tests::process::slot_of;
use pvops_tests::registers::{RAX, RBX, RCX, RDI, RDX, RSI, call, pattern};

use crate::backend;

/// Calls what is in the table, with a pattern in all registers, and compares them afterwards.
pub(crate) fn thunks() -> Outcome {
    let enabled = backend::FLAGS_ENABLED as u64;
    let mut entry = 0_u64;
    let entry_address = (&raw mut entry).addr() as u64;
    through::<op::irq::restore_flags>(&[(RDI, enabled)], &[])?;
    through::<op::irq::save_flags>(&[], &[(RAX, enabled)])?;
    through::<op::irq::disable>(&[], &[])?;
    through::<op::irq::save_flags>(&[], &[(RAX, 0)])?;
    through::<op::mmu::set_pte>(&[(RDI, entry_address), (RSI, 77)], &[])?;
    // SAFETY: our own variable, written behind the compiler's back.
    let written = unsafe { (&raw const entry).read_volatile() };
    equal("the entry", written, 77)?;
    let halves = [
        (RCX, 0x1b),
        (RAX, 0xffff_ffff_1234_5678),
        (RDX, 0xeeee_eeee_9abc_def0),
    ];
    through::<op::cpu::write_msr>(&halves, &[])?;
    equal(
        "the register",
        backend::MSR.load(Ordering::Relaxed),
        0x9abc_def0_1234_5678,
    )?;
    let halves = [(RAX, 0x1234_5678), (RDX, 0x9abc_def0)];
    through::<op::cpu::read_msr>(&[(RCX, 0x1b)], &halves)?;
    let halves = [(RAX, backend::TSC & 0xffff_ffff), (RDX, backend::TSC >> 32)];
    through::<op::cpu::read_tsc>(&[], &halves)?;
    let halves = [(RAX, 0xffff_ffff_1234_5678), (RDX, 0xeeee_eeee_9abc_def0)];
    through::<op::cpu::write_fs_base>(&halves, &[])?;
    let base = backend::BASE.load(Ordering::Relaxed);
    equal("the base", base, 0x9abc_def0_1234_5678)?;
    let halves = [(RAX, 0x1234_5678), (RDX, 0x9abc_def0)];
    through::<op::cpu::read_fs_base>(&[], &halves)?;
    let entry_by_index = [(RDI, entry_address - 80), (RSI, 10), (RDX, u64::MAX - 7)];
    through::<op::cpu::write_gdt_entry>(&entry_by_index, &[])?;
    // SAFETY: as above.
    let written = unsafe { (&raw const entry).read_volatile() };
    equal("the entry", written, u64::MAX - 7)?;
    through::<op::io::out8>(&[(RDX, 0xffff_0064), (RAX, 0xfe)], &[])?;
    equal("the port", backend::PORT.load(Ordering::Relaxed), 0x64)?;
    equal(
        "its value",
        backend::PORT_VALUE.load(Ordering::Relaxed),
        0xfe,
    )?;
    // Only al is the result.
    let mut registers = pattern();
    registers[RDX] = 0x60;
    // SAFETY: as in `through`.
    unsafe { call(&mut registers, 0, slot_of::<op::io::in8>()) };
    equal("io.in8", registers[RAX] as u8, 0xfe)?;
    let answer = [(RAX, 7), (RBX, 0xb), (RCX, 3), (RDX, 0xd)];
    through::<op::cpu::cpuid>(&[(RAX, 7), (RCX, 3)], &answer)
}

/// Calls an op with some registers set, and checks that only some others are `changed`: rax may be.
fn through<O: Op>(set: &[(usize, u64)], changed: &[(usize, u64)]) -> Outcome {
    for misalign in [0, 8] {
        let mut registers = pattern();
        set.iter()
            .for_each(|&(register, value)| registers[register] = value);
        let mut wanted = registers;
        // SAFETY: the ops are the host backend's, and the operands as they want them.
        unsafe { call(&mut registers, misalign, slot_of::<O>()) };
        changed
            .iter()
            .for_each(|&(register, value)| wanted[register] = value);
        if !changed.iter().any(|&(register, _)| register == RAX) {
            wanted[RAX] = registers[RAX];
        }
        equal(&O::NUMBER.to_string(), registers, wanted)?;
    }
    Ok(())
}
