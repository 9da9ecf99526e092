//! Hypercalls and recordings.

use pvops_core::testing::{ClockReading, Cpu, Process, Recording};
use pvops_core::{Kernel, cpu};
#[cfg(target_arch = "x86_64")]
use pvops_core::{asm_op, asm_site, op};

const RECORDING: &str = "
    # A host with one register, which writes to the frame that it is told of.
    cpuid 0x1 0x0 = 0x1 0x2 0x3 0x4
    cpuid 0x1 0x0 = 0x5 0x2 0x3 0x4
    rdmsr 0x10 = fault
    rdmsr 0x1b = 0xfee00900
    wrmsr 0x4b564d01 frame1+0x81
    memory frame1+0x80 0102ff
    wrmsr 0x4b564d01 0x0
    wrmsr 0x4b564d02 0x9 = fault
    hypercall 0x9 0x1 frame0+0x10 = 0xffffffffffffffa1
    memory frame0+0x10 aa
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
    assert!(cpu::read_msr_safe(0x10).is_err());
    assert_eq!(cpu::read_msr_safe(0x1b), Ok(0xfee0_0900));
    assert_eq!(cpu::read_msr_safe(0x1b), Ok(0xfee0_0900));
    assert_eq!(
        this.left_to_replay(),
        [
            "wrmsr 0x4b564d01",
            "wrmsr 0x4b564d01",
            "wrmsr 0x4b564d02",
            "hypercall 0x9"
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
        assert!(cpu::write_msr_safe(0x4b56_4d02, 9).ok().is_err());
    }
    assert_eq!(this.msr(0x4b56_4d01), Some(0));
    assert_eq!(this.left_to_replay(), ["hypercall 0x9"]);
}

#[test]
#[should_panic = "wrmsr 0x4b564d02 0x8, where Number(9) is recorded"]
fn another_value_fails_the_test() {
    let _this = replaying();
    // SAFETY: the host is a recording.
    let _ = unsafe { cpu::write_msr_safe(0x4b56_4d02, 8) };
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
    assert_eq!(recording.exchanges().len(), 8);
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
        "wrmsr 0x1 0x2 = 0x3",
        "wrmsr 0x1 frame0+0x1000",
        "wrmsr 0x1 frame+0x1",
        "hypercall 0x1",
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

#[cfg(target_arch = "x86_64")]
#[test]
fn a_hypercall_has_the_registers_of_its_host() {
    const VALUES: [u64; 3] = [11, 12, 13];
    let call = |number: u64| {
        let (result, third, kept): (u64, u64, f64);
        // SAFETY: the host takes and gives what these operands say.
        unsafe {
            core::arch::asm!(
                asm_site!("hypercall"),
                inout("rax") number => result,
                in("rdi") VALUES[0],
                in("rsi") VALUES[1],
                inout("r10") VALUES[2] => third,
                inout("xmm5") 0.5_f64 => kept,
                hypercall = const asm_op::<op::system::hypercall>(),
            );
        }
        (result, third, kept)
    };
    let this = replaying();
    Process.shared_frame();
    assert_eq!(call(9).0 as i64, -95);
    assert!(
        this.left_to_replay()
            .iter()
            .all(|left| left.starts_with("wrmsr"))
    );
    this.on_hypercall(|registers| {
        assert_eq!([registers.rdi, registers.rsi, registers.r10], [11, 12, 13]);
        registers.rax += 1;
        registers.r10 = 0x55;
    });
    assert_eq!(call(40), (41, 0x55, 0.5));
    assert_eq!(
        this.take_ops(),
        ["system.hypercall(0x9)", "system.hypercall(0x28)"]
    );
    this.on_hypercall(|_| panic!("what a host says"));
    call(1);
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| this.pending()));
    assert!(failed.is_err());
}

#[cfg(target_arch = "x86_64")]
#[test]
#[should_panic = "hypercall 0x5, and no host that answers it"]
fn a_call_that_nobody_answers_fails_the_test() {
    let _this = replaying();
    // SAFETY: nobody answers.
    unsafe {
        core::arch::asm!(
            asm_site!("hypercall"),
            inout("rax") 5_usize => _,
            hypercall = const asm_op::<op::system::hypercall>(),
        );
    }
}
