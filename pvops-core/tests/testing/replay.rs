//! Hypercalls and recordings.

use pvops_core::testing::{ClockReading, Cpu, Process, Recording};
use pvops_core::{Kernel, cpu};
#[cfg(target_arch = "x86_64")]
use pvops_core::{asm_op, asm_site, op};

const RECORDING: &str = "
    # A host with one register, which writes to the frame that it is told of.
    cpuid 0x1 0x0 = 0x1 0x2 0x3 0x4
    cpuid 0x1 0x0 = 0x5 0x2 0x3 0x4
    rdtsc = 0x100
    rdtsc = 0x80
    rdmsr 0x10 = fault
    rdmsr 0x1b = 0xfee00900
    wrmsr 0x4b564d01 frame1+0x81
    memory frame1+0x80 0102ff
    wrmsr 0x4b564d01 0x0
    wrmsr 0x4b564d02 0x9 = fault
    hypercall 0x9 rdi=0xb rsi=&0xc,frame0/0x1000 = 0xffffffffffffffa1
    memory frame0+0x10 aa
    memory rsi+0x4 0d
    wrmsr 0x4b564d01 0x1
    hypercall 0xa = 0x7
    clock 0x10 0x20 0x30
";

fn replaying() -> Cpu {
    let this = Cpu::new();
    this.replay(&RECORDING.parse().unwrap());
    this
}

#[test]
fn questions_are_answered_in_their_order() {
    let this = replaying();
    assert_eq!(cpu::cpuid(1, 0).eax, 1);
    assert_eq!(cpu::cpuid(1, 0).eax, 5);
    assert_eq!(cpu::cpuid(1, 0).eax, 5);
    assert_eq!(cpu::cpuid(2, 0).eax, 0);
    assert_eq!([(); 3].map(|()| cpu::read_tsc()), [0x100, 0x80, 0x81]);
    assert!(cpu::read_msr_safe(0x10).is_err());
    assert_eq!(cpu::read_msr_safe(0x1b), Ok(0xfee0_0900));
    assert_eq!(cpu::read_msr_safe(0x1b), Ok(0xfee0_0900));
    assert_eq!(
        this.left_to_replay(),
        [
            "wrmsr 0x4b564d01",
            "wrmsr 0x4b564d01",
            "wrmsr 0x4b564d02",
            "hypercall 0x9",
            "wrmsr 0x4b564d01",
            "hypercall 0xa"
        ]
    );
}

#[test]
fn the_host_writes_where_it_wrote() {
    let this = replaying();
    let frames = [(); 2].map(|()| Process.shared_frame().unwrap());
    let physical = frames[1].addr().get() as u64;
    let record = || {
        // SAFETY: a part of the frame.
        unsafe { frames[1].add(0x80).cast::<[u8; 4]>().read_volatile() }
    };
    // SAFETY: the host is a recording.
    unsafe {
        cpu::write_msr(0x4b56_4d01, physical + 0x81);
        assert_eq!(record(), [1, 2, 0xff, 0]);
        cpu::write_msr(0x4b56_4d01, 0);
        assert!(cpu::write_msr_safe(0x4b56_4d02, 9).is_err());
    }
    assert_eq!(this.msr(0x4b56_4d01), Some(0));
    assert_eq!(this.left_to_replay().len(), 3);
}

#[test]
#[should_panic = "wrmsr 0x4b564d01 0x8, where wrmsr 0x4b564d01 frame1+0x81 is recorded"]
fn another_value_fails_the_test() {
    let _this = replaying();
    // SAFETY: the host is a recording.
    let _ = unsafe { cpu::write_msr_safe(0x4b56_4d01, 8) };
}

#[test]
#[should_panic = "wrmsr 0x4b564d02 0x9, where wrmsr 0x4b564d01 frame1+0x81 is recorded"]
fn another_order_fails_the_test() {
    let _this = replaying();
    // SAFETY: the host is a recording.
    let _ = unsafe { cpu::write_msr_safe(0x4b56_4d02, 9) };
}

#[test]
fn a_register_that_is_not_recorded_is_the_tests_own() {
    let this = replaying();
    this.set_msr(0x10, 1);
    // SAFETY: as above.
    unsafe { cpu::write_msr(0x10, 2) };
    assert_eq!((this.msr(0x10), this.left_to_replay().len()), (Some(2), 6));
}

#[test]
#[should_panic = "is recorded"]
fn a_frame_that_nobody_asked_for_fails_the_test() {
    let _this = replaying();
    // SAFETY: as above.
    unsafe { cpu::write_msr(0x4b56_4d01, 0x81) };
}

#[test]
fn lines_that_say_nothing_are_named() {
    let recording: Recording = RECORDING.parse().unwrap();
    assert_eq!(recording.exchange_count(), 12);
    let reading = ClockReading {
        tsc_before: 0x10,
        clock_ns: 0x20,
        tsc_after: 0x30,
    };
    assert_eq!(recording.clocks(), [reading]);
    for bad in [
        "cpuid 0x1 0x0 = 0x1 0x2 0x3",
        "cpuid 1 0x0 = 0x1 0x2 0x3 0x4",
        "cpuid 0x100000000 0x0 = 0x1 0x2 0x3 0x4",
        "rdmsr 0x1 0x2",
        "rdtsc 0x1",
        "wrmsr 0x1 0x2 = 0x3",
        "wrmsr 0x1 frame0+0x1000",
        "wrmsr 0x1 frame+0x1",
        "hypercall 0x1",
        "hypercall 0x1 0x2 = 0x0",
        "hypercall 0x1 rdi=& = 0x0",
        "hypercall 0x1 rdi=frame0/0x1 = 0x0",
        "memory frame0+0x0 00",
        "wrmsr 0x1 0x2\nmemory 0x1000 00",
        "wrmsr 0x1 0x2\nmemory frame0+0x0 0",
        "wrmsr 0x1 0x2\nmemory frame0+0x0 0g",
        "clock 0x1 0x2",
        "what",
    ] {
        let error = format!("\n{bad}").parse::<Recording>().unwrap_err();
        assert_eq!(error.line, 1 + bad.lines().count(), "{bad}");
    }
}

/// Calls of the host, which 64-bit code was recorded to make.
#[cfg(target_arch = "x86_64")]
mod calls {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// Result, r10 and a vector register.
    fn call(number: u64, first: u64, second: u64) -> (u64, u64, f64) {
        let (result, third, kept);
        // SAFETY: the host takes and gives what these operands say.
        unsafe {
            core::arch::asm!(
                asm_site!("hypercall"),
                inout("rax") number => result,
                in("rdi") first,
                in("rsi") second,
                inout("r10") 13_u64 => third,
                inout("xmm5") 0.5_f64 => kept,
                hypercall = const asm_op::<op::system::hypercall>(),
            );
        }
        (result, third, kept)
    }

    #[test]
    fn a_hypercall_has_the_registers_of_its_host() {
        let this = replaying();
        this.on_hypercall(|registers| {
            assert_eq!([registers.rdi, registers.rsi, registers.r10], [11, 12, 13]);
            registers.rax += 1;
            registers.r10 = 0x55;
        });
        assert_eq!(call(40, 11, 12), (41, 0x55, 0.5));
        assert_eq!(this.take_ops(), ["system.hypercall(0x28)"]);
        this.on_hypercall(|_| panic!("what a host says"));
        call(1, 0, 0);
        let failed = catch_unwind(AssertUnwindSafe(|| this.pending()));
        assert!(failed.is_err());
    }

    /// A CPU that has told the host all before the first call; the address of its first frame.
    fn before_the_first_call() -> (Cpu, u64) {
        let this = replaying();
        let frames = [(); 2].map(|()| Process.shared_frame().unwrap().addr().get() as u64);
        // SAFETY: the host is a recording.
        unsafe {
            cpu::write_msr(0x4b56_4d01, frames[1] + 0x81);
            cpu::write_msr(0x4b56_4d01, 0);
            _ = cpu::write_msr_safe(0x4b56_4d02, 9);
        }
        (this, frames[0])
    }

    fn address(structure: &mut [u64; 2]) -> u64 {
        structure.as_mut_ptr().expose_provenance() as u64
    }

    #[test]
    fn the_host_reads_and_writes_a_structure() {
        let (this, frame) = before_the_first_call();
        let mut structure = [12, frame / 4096];
        assert_eq!(call(9, 11, address(&mut structure)).0 as i64, -95);
        assert_eq!(structure, [12 | 13 << 32, frame / 4096]);
        assert_eq!(this.left_to_replay(), ["wrmsr 0x4b564d01", "hypercall 0xa"]);
        // SAFETY: the host is a recording.
        unsafe { cpu::write_msr(0x4b56_4d01, 1) };
        assert_eq!(call(10, 0, 0).0, 7);
        assert_eq!(this.left_to_replay(), [""; 0]);
    }

    #[test]
    #[should_panic = "hypercall 0x9: rdi is 0xc, where 0xb is recorded"]
    fn another_argument_fails_the_test() {
        let (_this, frame) = before_the_first_call();
        call(9, 12, address(&mut [12, frame / 4096]));
    }

    #[test]
    #[should_panic = "hypercall 0x9: rsi+0x8 is 0x0, where frame0/0x1000 is recorded"]
    fn another_structure_fails_the_test() {
        let _this = before_the_first_call();
        call(9, 11, address(&mut [12, 0]));
    }

    #[test]
    #[should_panic = "hypercall 0x9: rsi+0x0 is not there, where 0xc is recorded"]
    fn a_structure_that_is_not_there_fails_the_test() {
        let _this = before_the_first_call();
        call(9, 11, 0);
    }

    #[test]
    #[should_panic = "is in no frame that was asked for, and in no argument"]
    fn the_host_writes_nowhere_else() {
        let recording = "hypercall 0x1 rsi=&0x0 = 0x0\n memory rsi+0x8 00";
        let this = Cpu::new();
        this.replay(&recording.parse().unwrap());
        call(1, 0, address(&mut [0, 0]));
    }

    #[test]
    #[should_panic = "hypercall 0xa, where hypercall 0x9 is recorded"]
    fn another_call_fails_the_test() {
        let _this = before_the_first_call();
        call(10, 0, 0);
    }

    #[test]
    #[should_panic = "hypercall 0x9, where wrmsr 0x4b564d01 is recorded"]
    fn a_call_that_comes_early_fails_the_test() {
        let _this = replaying();
        call(9, 0, 0);
    }

    #[test]
    #[should_panic = "hypercall 0x5, and no host that answers it"]
    fn a_call_that_nobody_answers_fails_the_test() {
        let _this = Cpu::new();
        call(5, 0, 0);
    }
}
