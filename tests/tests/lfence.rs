//! Where a CPU is told that LFENCE is to wait for earlier instructions, as the ordered reading of the time-stamp
//! counter has it.

use pvops_backend_native as native;
use pvops_core::backend::Host;
use pvops_core::probe::CpuIdResult;
use pvops_core::testing::{Cpu, Process};

const DE_CFG: u32 = 0xc001_1029;
/// Signatures of families 0xf, 0x11 and 0x19.
const K8: u32 = 0xf40;
const GRIFFIN: u32 = 0x0020_0f30;
const ZEN_3: u32 = 0x00a2_0f10;
const HYPERVISOR: u32 = 1 << 31;

/// What becomes of a register that has another bit set.
fn after_bring_up(maker: &[u8; 12], signature: u32, features: u32, waits: u32) -> u64 {
    let this = Cpu::new();
    let answer = |eax, ebx, ecx, edx| CpuIdResult { eax, ebx, ecx, edx };
    let word = |at| u32::from_le_bytes(maker[at..at + 4].try_into().unwrap());
    this.set_cpuid(0, 0, answer(1, word(0), word(8), word(4)));
    this.set_cpuid(1, 0, answer(signature, 0, features, 0));
    this.set_cpuid(0x8000_0000, 0, answer(0x8000_0021, 0, 0, 0));
    this.set_cpuid(0x8000_0021, 0, answer(waits << 2, 0, 0, 0));
    this.set_msr(DE_CFG, 0x200);
    let host = Host {
        kernel: &Process,
        interface: None,
    };
    (native::BACKEND.bring_up_cpu)(&host).unwrap();
    this.msr(DE_CFG).unwrap()
}

#[test]
fn it_is_told_where_it_has_a_choice() {
    assert_eq!(after_bring_up(b"AuthenticAMD", ZEN_3, 0, 0), 0x202);
    assert_eq!(after_bring_up(b"HygonGenuine", ZEN_3, 0, 0), 0x202);
}

#[test]
fn where_it_has_none_it_is_left_alone() {
    assert_eq!(after_bring_up(b"AuthenticAMD", ZEN_3, 0, 1), 0x200);
    assert_eq!(after_bring_up(b"AuthenticAMD", K8, 0, 0), 0x200);
    assert_eq!(after_bring_up(b"AuthenticAMD", GRIFFIN, 0, 0), 0x200);
    assert_eq!(after_bring_up(b"GenuineIntel", ZEN_3, 0, 0), 0x200);
}

#[test]
fn it_is_the_hypervisors_where_there_is_one() {
    let found = after_bring_up(b"AuthenticAMD", ZEN_3, HYPERVISOR, 0);
    assert_eq!(found, 0x200);
}

#[test]
fn a_register_that_is_not_there_is_borne() {
    let this = Cpu::new();
    let maker = CpuIdResult {
        eax: 1,
        ebx: u32::from_le_bytes(*b"Auth"),
        edx: u32::from_le_bytes(*b"enti"),
        ecx: u32::from_le_bytes(*b"cAMD"),
    };
    this.set_cpuid(0, 0, maker);
    this.set_cpuid(
        1,
        0,
        CpuIdResult {
            eax: ZEN_3,
            ebx: 0,
            ecx: 0,
            edx: 0,
        },
    );
    let host = Host {
        kernel: &Process,
        interface: None,
    };
    (native::BACKEND.bring_up_cpu)(&host).unwrap();
    assert_eq!(this.msr(DE_CFG), None);
}
