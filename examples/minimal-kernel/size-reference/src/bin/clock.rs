//! A kernel that takes only the clock: it looks for KVM by `probe`, has KVM keep a record of the time, and
//! reads it by `pvclock`. It has its own privileged instructions, uses no ops and installs nothing.
#![no_std]
#![no_main]

#[path = "../console.rs"]
mod console;
#[path = "../../../src/entry.rs"]
mod entry;

use core::arch::asm;
use core::arch::x86_64::__cpuid_count;
use core::ptr::NonNull;

use console::{FAIL, PASS, end, println};
use pvops_core::probe::{CpuIdResult, Interfaces, Signature};
use pvops_core::pvclock::{MonotonicClock, TimeInfo, TimeInfoPointer};

static RECORD: TimeInfo = TimeInfo::zeroed();
static CLOCK: MonotonicClock = MonotonicClock::new();

extern "C" fn start() -> ! {
    let cpuid = |leaf, subleaf| {
        let result = __cpuid_count(leaf, subleaf);
        CpuIdResult {
            eax: result.eax,
            ebx: result.ebx,
            ecx: result.ecx,
            edx: result.edx,
        }
    };
    let interfaces = Interfaces::scan(&cpuid);
    for interface in interfaces.iter() {
        let (signature, base) = (interface.signature(), interface.base());
        println(format_args!("interface {signature} at {base:#x}"));
    }
    let kvm = Signature::new(*b"KVMKVMKVM\0\0\0");
    if interfaces.find(&kvm).is_none() {
        println(format_args!("no kvmclock here"));
        end(PASS)
    }
    // SAFETY: the record is mapped for good.
    let Ok(record) = (unsafe { TimeInfoPointer::new(NonNull::from(&RECORD)) }) else {
        end(FAIL)
    };
    const SYSTEM_TIME_NEW: u32 = 0x4b56_4d01;
    const ENABLE: u64 = 1;
    // SAFETY: KVM has the register, and writes the record, which is at its physical address.
    unsafe { write_msr(SYSTEM_TIME_NEW, (&raw const RECORD).addr() as u64 | ENABLE) };
    // SAFETY: the host keeps the counter readable in ring 0.
    let ns = CLOCK.now_ns(record, || unsafe { ordered_tsc() });
    println(format_args!("clock {ns} ns"));
    end(if ns > 0 { PASS } else { FAIL })
}

/// # Safety
///
/// The register exists, and takes the value.
unsafe fn write_msr(index: u32, value: u64) {
    let (low, high) = (value as u32, (value >> 32) as u32);
    // SAFETY: as the caller vouches.
    unsafe { asm!("wrmsr", in("ecx") index, in("eax") low, in("edx") high, options(nostack)) };
}

/// # Safety
///
/// In ring 0, or where CR4.TSD is clear.
unsafe fn ordered_tsc() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: as the caller vouches.
    unsafe { asm!("lfence", "rdtsc", out("eax") low, out("edx") high, options(nostack)) };
    u64::from(high) << 32 | u64::from(low)
}
