//! What ops do: those of this CPU before patching, the backend's afterwards.

use pvops_core::msr::MsrFault;
use pvops_core::probe::CpuIdResult;
use pvops_core::testing::Cpu;
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
    equal("a write", write, Err(MsrFault))
}

pub(crate) fn patched() -> Outcome {
    let this = Cpu::new();
    this.set_msr(APIC_BASE, 0);
    let answer = CpuIdResult {
        eax: 7,
        ebx: 0xb,
        ecx: 3,
        edx: 0xd,
    };
    this.set_cpuid(7, 3, answer);
    irq::disable();
    equal("interrupts after disable", this.interrupts_are_on(), false)?;
    let mut entry = 0;
    // SAFETY: the CPU is simulated, and the entry is ours.
    unsafe {
        irq::enable();
        irq::restore_flags(FLAGS_ENABLED);
        equal("interrupts after restore", this.interrupts_are_on(), true)?;
        let flags = irq::save_flags() & FLAGS_ENABLED;
        equal("the flags after restore", flags, FLAGS_ENABLED)?;
        cpu::write_msr(APIC_BASE, WIDE);
        equal("the register", cpu::read_msr(APIC_BASE), WIDE)?;
        equal("the register's content", this.msr(APIC_BASE), Some(WIDE))?;
        io::out8(0x3f8, 0xa5);
        equal("the port's value", io::in8(0x3f8), 0xa5)?;
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
    equal("CPUID", cpu::cpuid(7, 3), answer)?;
    equal(
        "an entry",
        mmu::entry_value(mmu::make_entry(0x1234_5067)),
        0x1234_5067,
    )?;
    mmu::flush_tlb();
    io::delay();
    system::console_byte(b'x');
    equal("the console", this.take_console().as_str(), "x")?;
    equal("an MSR", cpu::read_msr_safe(0x10), Err(MsrFault))
}

pub(crate) const FLAGS_ENABLED: usize = 0x200;
pub(crate) const APIC_BASE: u32 = 0x1b;
const WIDE: u64 = 0xfedc_ba98_7654_3210;

pub(crate) fn lazy() -> Outcome {
    let _this = Cpu::new();
    let mut table = [0_u64; 1];
    let entry = table.as_mut_ptr();
    // SAFETY: the table is ours, and outlives lazy mode.
    let read = || unsafe { entry.read_volatile() };
    // SAFETY: as above.
    let stores_at_once = |value| unsafe {
        mmu::set_pte(entry, value);
        read() == value
    };
    equal("before", stores_at_once(1), true)?;
    let outer = mmu::lazy();
    equal("in lazy mode", stores_at_once(2), false)?;
    drop(mmu::lazy());
    equal("after an inner guard", read(), 1)?;
    outer.flush();
    equal("after a flush", (read(), stores_at_once(3)), (2, false))?;
    let eager = mmu::eager();
    equal("in a handler", (read(), stores_at_once(4)), (3, true))?;
    drop(mmu::lazy());
    equal("after the handler's own guard", stores_at_once(5), true)?;
    drop(eager);
    equal("after the handler", stores_at_once(6), false)?;
    drop(outer);
    equal("after the outermost guard", read(), 6)
}

pub(crate) fn trap() -> Outcome {
    let before = faults::traps();
    apic::eoi();
    equal("the number of traps", faults::traps() - before, 1)
}
