//! LFENCE that waits for all earlier instructions, which [`cpu::read_tsc_ordered`] relies on.
//!
//! Intel's does. AMD's does on some CPUs, and on others if a bit says so. AMD, "Software Techniques for Managing
//! Speculation on AMD Processors", mitigation G-2.

use pvops_core::cpu;

/// Has this CPU's LFENCE wait, where that is to be said. Not under a hypervisor, which owns the physical CPU and has
/// said it or not.
pub(crate) fn have_it_wait() {
    const FEATURES: u32 = 1;
    const ECX_HYPERVISOR: u32 = 1 << 31;
    const DE_CFG: u32 = 0xc001_1029;
    const LFENCE_WAITS: u64 = 1 << 1;
    let features = cpu::cpuid(FEATURES, 0);
    if features.ecx & ECX_HYPERVISOR != 0 || !has_choice(family(features.eax)) {
        return;
    }
    if let Ok(value) = cpu::read_msr_safe(DE_CFG)
        && value & LFENCE_WAITS == 0
    {
        // SAFETY: the instruction takes longer, and does nothing else than before. A hypervisor that hides may
        // refuse.
        let _ = unsafe { cpu::write_msr_safe(DE_CFG, value | LFENCE_WAITS) };
    }
}

/// Whether a CPU of AMD's, or made by its design, of this family has the bit. Those before it wait in any case, as
/// does family 0x11; of later ones CPUID says which do: AMD APM volume 3, appendix E, leaf 0x80000021,
/// eax bit 2.
fn has_choice(family: u32) -> bool {
    const EXTENDED: u32 = 0x8000_0000;
    const EXTENDED_FEATURES_2: u32 = 0x8000_0021;
    const EAX_LFENCE_ALWAYS_WAITS: u32 = 1 << 2;
    let maker = cpu::cpuid(0, 0);
    let name = [maker.ebx, maker.edx, maker.ecx].map(u32::to_le_bytes);
    matches!(name.as_flattened(), b"AuthenticAMD" | b"HygonGenuine")
        && matches!(family, 0x10 | 0x12..)
        && (cpu::cpuid(EXTENDED, 0).eax < EXTENDED_FEATURES_2
            || cpu::cpuid(EXTENDED_FEATURES_2, 0).eax & EAX_LFENCE_ALWAYS_WAITS == 0)
}

/// The family in a CPU's signature: AMD APM volume 3, CPUID leaf 1.
fn family(signature: u32) -> u32 {
    let base = signature >> 8 & 0xf;
    match base {
        0xf => base + (signature >> 20 & 0xff),
        _ => base,
    }
}
