//! What ops do: those of this CPU before patching, the backend's afterwards.

use std::sync::atomic::Ordering;

use pvops_core::msr::MsrFault;
use pvops_core::{apic, cpu, installed, io, irq, mmu, system};
use pvops_tests::check::{Outcome, equal};
use pvops_tests::ensure;

use crate::{backend, faults};

pub(crate) fn unpatched() -> Outcome {
    ensure!(installed().is_none(), "a backend is installed already");
    let first = cpu::read_tsc_ordered();
    ensure!(
        cpu::read_tsc_ordered() > first,
        "the time-stamp counter stands still"
    );
    equal(
        "an entry",
        mmu::entry_value(mmu::make_entry(0x1234_5067)),
        0x1234_5067,
    )?;
    ensure!(cpu::cpuid(0, 0).eax >= 1, "CPUID has no leaf 1");
    ensure!(irq::save_flags() & 0x200 != 0, "interrupts are off");
    // Ring 3 may read no model-specific register: #GP, which the exception table knows of.
    equal("an MSR", cpu::read_msr_safe(0x10), Err(MsrFault))?;
    // SAFETY: as the read, it faults.
    let write = unsafe { cpu::write_msr_safe(0x10, 0) };
    equal("a write", write.ok(), Err(MsrFault))
}

pub(crate) fn patched() -> Outcome {
    irq::disable();
    equal("the flags after disable", irq::save_flags(), 0)?;
    let mut entry = 0;
    // SAFETY: the backend's CPU is made of variables, and the entry is ours.
    unsafe {
        irq::enable();
        irq::restore_flags(backend::FLAGS_ENABLED);
        equal(
            "the flags after restore",
            irq::save_flags(),
            backend::FLAGS_ENABLED,
        )?;
        cpu::write_msr(0x1b, 0xfedc_ba98_7654_3210);
        equal("the register", cpu::read_msr(0x1b), 0xfedc_ba98_7654_3210)?;
        equal(
            "its index",
            backend::MSR_INDEX.load(Ordering::Relaxed),
            0x1b,
        )?;
        io::out8(0x3f8, 0xa5);
        equal("the port's value", io::in8(0x3f8), 0xa5)?;
        equal("the port", backend::PORT.load(Ordering::Relaxed), 0x3f8)?;
        mmu::set_pte(&mut entry, 0x8000_0000_0000_0067);
        #[cfg(target_arch = "x86_64")]
        {
            cpu::write_fs_base(0x7fed_cba9_8765_4321);
            equal("the base", cpu::read_fs_base(), 0x7fed_cba9_8765_4321)?;
        }
        let mut table = [0; 5];
        cpu::write_gdt_entry(table.as_mut_ptr(), 4, u64::MAX - 1);
        cpu::load_tls(table.as_mut_ptr(), 1, &[7, 8, 9]);
        equal("the descriptors", table, [0, 7, 8, 9, u64::MAX - 1])?;
    }
    equal("the entry", entry, 0x8000_0000_0000_0067)?;
    equal("the time-stamp counter", cpu::read_tsc(), backend::TSC)?;
    let leaf = cpu::cpuid(7, 3);
    equal(
        "CPUID",
        (leaf.eax, leaf.ebx, leaf.ecx, leaf.edx),
        (7, 0xb, 3, 0xd),
    )?;
    equal(
        "an entry",
        mmu::entry_value(mmu::make_entry(0x1234_5067)),
        0x1234_5067,
    )?;
    mmu::flush_tlb();
    io::delay();
    system::console_byte(u32::from(b'x'));
    equal(
        "the console",
        backend::CONSOLE.load(Ordering::Relaxed),
        u32::from(b'x'),
    )?;
    equal("an MSR", cpu::read_msr_safe(0x10), Err(MsrFault))
}

pub(crate) fn lazy() -> Outcome {
    let state = || {
        let flushes = backend::FLUSHES.load(Ordering::Relaxed);
        (backend::LAZY.is_lazy(), flushes)
    };
    equal("before", state(), (false, 0))?;
    let outer = mmu::lazy();
    equal("in lazy mode", state(), (true, 0))?;
    drop(mmu::lazy());
    equal("after an inner guard", state(), (true, 0))?;
    outer.flush();
    equal("after a flush", state(), (true, 1))?;
    let eager = mmu::eager();
    equal("in a handler", state(), (false, 2))?;
    drop(mmu::lazy());
    equal("after the handler's own guard", state(), (false, 2))?;
    drop(eager);
    equal("after the handler", state(), (true, 2))?;
    drop(outer);
    equal("after the outermost guard", state(), (false, 3))
}

pub(crate) fn trap() -> Outcome {
    let before = faults::traps();
    apic::eoi();
    equal("the number of traps", faults::traps() - before, 1)
}
