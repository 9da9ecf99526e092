//! The rate of the time-stamp counter, from the CPU or by measuring.

use pvops_core::backend::BindError;
use pvops_core::cpu;
use pvops_core::tsc::TscFrequency;

use crate::pit;

/// Asks CPUID, then measures against the PIT.
///
/// # Errors
///
/// If neither answers.
pub(crate) fn frequency() -> Result<TscFrequency, BindError> {
    if let Some(khz) = from_cpuid() {
        return Ok(TscFrequency {
            khz,
            source: "cpuid 0x15",
        });
    }
    match pit::tsc_khz() {
        Some(khz) => Ok(TscFrequency { khz, source: "pit" }),
        None => Err(BindError(
            "neither CPUID nor a PIT tells the rate of the time-stamp counter",
        )),
    }
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
    u64::try_from(khz).ok().filter(|&khz| khz != 0)
}
