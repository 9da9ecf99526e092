//! Registers, ports and what is noted of them.

use pvops_core::msr::MsrFault;
use pvops_core::probe::CpuIdResult;
use pvops_core::testing::Cpu;
use pvops_core::{apic, cpu, io, mmu, op, system};

const WIDE: u64 = 0xfedc_ba98_7654_3210;

#[test]
fn model_specific_registers_exist_if_the_test_says_so() {
    let this = Cpu::new();
    this.set_msr(0x1b, 1);
    // SAFETY: the register is there.
    unsafe { cpu::write_msr(0x1b, WIDE) };
    // SAFETY: as above.
    assert_eq!(unsafe { cpu::read_msr(0x1b) }, WIDE);
    assert_eq!(cpu::read_msr_safe(0x1b), Ok(WIDE));
    assert_eq!(cpu::read_msr_safe(0x10), Err(MsrFault));
    // SAFETY: the register is a variable.
    unsafe {
        assert_eq!(cpu::write_msr_safe(0x1b, 2), Ok(()));
        assert_eq!(cpu::write_msr_safe(0x10, 2), Err(MsrFault));
    }
    assert_eq!((this.msr(0x1b), this.msr(0x10)), (Some(2), None));
    assert_eq!(
        this.take_ops(),
        [
            "cpu.write_msr(0x1b, 0xfedcba9876543210)",
            "cpu.read_msr(0x1b) = 0xfedcba9876543210",
            "cpu.read_msr_safe(0x1b) = 0x0",
            "cpu.read_msr_safe(0x10) = 0x1",
            "cpu.write_msr_safe(0x1b, 0x2) = 0x0",
            "cpu.write_msr_safe(0x10, 0x2) = 0x1",
        ]
    );
    assert!(this.take_ops().is_empty());
}

#[test]
#[should_panic = "RDMSR of 0x10"]
fn reading_a_register_that_there_is_not_fails_the_test() {
    let _this = Cpu::new();
    // SAFETY: the register is not there, which is the test.
    assert_eq!(unsafe { cpu::read_msr(0x10) }, 0);
}

#[test]
#[should_panic = "WRMSR of 0x10"]
fn writing_a_register_that_there_is_not_fails_the_test() {
    let this = Cpu::new();
    // SAFETY: as above.
    unsafe { cpu::write_msr(0x10, 0) };
    this.msr(0x10);
}

#[test]
fn cpuid_answers_as_it_was_told() {
    let this = Cpu::new();
    let answer = CpuIdResult {
        eax: 1,
        ebx: 0xb,
        ecx: 0xc,
        edx: 0xffff_ffff,
    };
    this.set_cpuid(7, 1, answer);
    assert_eq!(cpu::cpuid(7, 1), answer);
    assert_eq!(cpu::cpuid(7, 0).edx, 0);
    let ops = this.take_ops();
    assert_eq!(ops, ["cpu.cpuid(0x7, 0x1)", "cpu.cpuid(0x7, 0x0)"]);
    assert_eq!((ops[0].operands(), ops[0].result()), (&[7, 1][..], None));
}

#[test]
fn control_registers_keep_what_is_written() {
    const TASK_SWITCHED: usize = 8;
    let this = Cpu::new();
    // SAFETY: these are variables.
    unsafe {
        mmu::write_cr3(0x1000);
        mmu::write_cr2(0x123);
        cpu::write_cr4(cpu::read_cr4() | 1 << 7);
        cpu::set_task_switched();
        cpu::write_debug_register(7, 5);
        cpu::write_debug_register(4, 5);
        cpu::write_xcr(0, WIDE);
        assert_eq!(cpu::read_xcr(0), WIDE);
    }
    assert_eq!((mmu::read_cr3(), mmu::read_cr2()), (0x1000, 0x123));
    assert_eq!(cpu::read_cr4(), 1 << 7 | 1 << 5);
    assert_ne!(cpu::read_cr0() & TASK_SWITCHED, 0);
    cpu::clear_task_switched();
    assert_eq!(cpu::read_cr0() & TASK_SWITCHED, 0);
    assert_eq!(cpu::read_debug_register(7), 5);
    assert_eq!(cpu::read_debug_register(4), 0);
    assert!(!this.take_ops().is_empty());
}

#[cfg(target_arch = "x86_64")]
#[test]
fn bases_are_exchanged_by_swapgs() {
    let _this = Cpu::new();
    // SAFETY: these are variables.
    unsafe {
        cpu::write_gs_base(0x7fed_cba9_8765_4321);
        cpu::write_kernel_gs_base(5);
        cpu::write_fs_base(6);
        cpu::swapgs();
    }
    assert_eq!(cpu::read_gs_base(), 5);
    assert_eq!(cpu::read_kernel_gs_base(), 0x7fed_cba9_8765_4321);
    assert_eq!(cpu::read_fs_base(), 6);
}

#[test]
fn ports_read_as_written_or_as_nothing() {
    let this = Cpu::new();
    this.set_port(0x3fd, 0x20);
    let mut string = [0_u16; 3];
    // SAFETY: these are variables.
    unsafe {
        assert_eq!((io::in8(0x3fd), io::in8(0x60)), (0x20, 0xff));
        assert_eq!((io::in16(0x60), io::in32(0x60)), (0xffff, 0xffff_ffff));
        io::out16(0x1f0, 0xa55a);
        io::in16_string(0x1f0, string.as_mut_ptr(), 2);
        io::out8_string(0x60, [1, 2].as_ptr(), 2);
        io::out8_string(0x61, [1, 2].as_ptr(), 0);
        assert_eq!((io::in8(0x60), io::in8(0x61)), (2, 0xff));
    }
    assert_eq!(string, [0xa55a, 0xa55a, 0]);
}

#[test]
fn what_is_said_to_the_machine_is_noted() {
    let this = Cpu::new();
    this.set_apic(2, 0x0300_0000);
    b"no \xffway\n"
        .iter()
        .for_each(|&byte| system::console_byte(byte));
    // SAFETY: nobody is reached.
    unsafe {
        assert_eq!(apic::read(2), 0x0300_0000);
        apic::write(0xf, 0x1ff);
        assert_eq!(apic::read(0xf), 0x1ff);
    }
    apic::eoi();
    system::poweroff();
    assert_eq!(this.take_console(), "no \u{fffd}way\n");
    let ops = this.take_ops();
    assert_eq!(ops[3..], ["apic.eoi()", "system.poweroff()"]);
    assert!(ops[1].is::<op::apic::write>());
}
