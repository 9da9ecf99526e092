//! The rate of the time-stamp counter, from the CPU or by measuring.

use core::sync::atomic::{AtomicU64, Ordering};

use pvops_core::backend::BindError;
use pvops_core::tsc::TscFrequency;
use pvops_core::{Kernel, atomic64, cpu};

use crate::{hpet, pit, pm_timer};

/// Asks the kernel and CPUID, then measures against what the machine has.
///
/// # Errors
///
/// If nothing answers: there is no guess.
pub(crate) fn frequency(kernel: &dyn Kernel) -> Result<TscFrequency, BindError> {
    let sources: [(&str, &dyn Fn() -> Option<u64>); 6] = [
        ("kernel", &told),
        ("cpuid 0x15", &from_cpuid),
        ("hpet", &|| hpet::tsc_khz(kernel)),
        ("pm timer", &pm_timer::tsc_khz),
        ("pit", &pit::tsc_khz),
        ("cpuid 0x16", &from_base_frequency),
    ];
    sources
        .iter()
        .find_map(|&(source, ask)| TscFrequency::new(ask()?, source))
        .ok_or(BindError(
            "nothing on this machine tells the rate of the time-stamp counter",
        ))
}

/// Tells the rate of the time-stamp counter in kHz, of which the machine is not asked then: for one where
/// nothing else tells it. 0 takes that back. On the boot CPU, before the backend is installed.
pub fn set_tsc_khz(khz: u64) {
    atomic64::store(&TOLD_KHZ, khz, Ordering::Relaxed);
}

/// 0 if nobody has told us.
static TOLD_KHZ: AtomicU64 = AtomicU64::new(0);

fn told() -> Option<u64> {
    Some(atomic64::load(&TOLD_KHZ, Ordering::Relaxed))
}

/// Leaf 0x16: eax is the base frequency in MHz, which is the counter's on the CPUs that have the
/// leaf, but rounded; so it comes last. Intel SDM volume 2, CPUID.
fn from_base_frequency() -> Option<u64> {
    const LEAF: u32 = 0x16;
    if cpu::cpuid(0, 0).eax < LEAF {
        return None;
    }
    Some(u64::from(cpu::cpuid(LEAF, 0).eax & 0xffff) * 1000)
}

/// Leaf 0x15: eax and ebx are a ratio, ecx the crystal's rate in Hz. Intel SDM volume 2, CPUID.
fn from_cpuid() -> Option<u64> {
    const LEAF: u32 = 0x15;
    if cpu::cpuid(0, 0).eax < LEAF {
        return None;
    }
    let leaf = cpu::cpuid(LEAF, 0);
    if leaf.eax == 0 {
        return None;
    }
    let khz = u128::from(leaf.ecx) * u128::from(leaf.ebx) / u128::from(leaf.eax) / 1000;
    u64::try_from(khz).ok()
}
