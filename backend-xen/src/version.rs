//! What Xen says of itself. Xen's public/version.h and public/features.h.

use bitflags::bitflags;

use crate::error::XenError;
use crate::hypercall::{self, HypercallNumber, hypercall};

/// A version of Xen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Version {
    /// The 4 of 4.17.
    pub major: u16,
    /// The 17 of 4.17.
    pub minor: u16,
}

/// The version of the Xen that runs this domain. The cheapest call there is. Any context.
///
/// # Errors
///
/// If Xen can't be called.
pub fn version() -> Result<Version, XenError> {
    // SAFETY: the call has no effect but that of every call: pending events are delivered.
    let version = unsafe { hypercall(HypercallNumber::XEN_VERSION, [VERSION])? };
    Ok(Version {
        major: (version >> 16) as u16,
        minor: version as u16,
    })
}

bitflags! {
    /// XENFEAT_ and the name: what this domain can do, and has to.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct Features: u32 {
        /// Xen makes page tables that the guest writes.
        const WRITABLE_PAGE_TABLES = 1 << 0;
        /// Descriptor tables need not be read-only.
        const WRITABLE_DESCRIPTOR_TABLES = 1 << 1;
        /// Frames have the numbers that the guest gives them: all but PV.
        const AUTO_TRANSLATED_PHYSMAP = 1 << 2;
        /// The kernel runs in ring 0.
        const SUPERVISOR_MODE_KERNEL = 1 << 3;
        /// Page tables may lie above 4 GiB.
        const PAE_PGDIR_ABOVE_4GB = 1 << 4;
        /// An entry can be changed without loss of its accessed and dirty bits.
        const MMU_PT_UPDATE_PRESERVE_AD = 1 << 5;
        /// Grants can be mapped with the available bits of the entry.
        const GNTTAB_MAP_AVAIL_BITS = 1 << 7;
        /// Events can come as an interrupt vector.
        const HVM_CALLBACK_VECTOR = 1 << 8;
        /// The paravirtual clock is good in HVM guests.
        const HVM_SAFE_PVCLOCK = 1 << 9;
        /// Physical interrupts can be event channels in HVM guests.
        const HVM_PIRQS = 1 << 10;
        /// This domain runs the machine.
        const DOM0 = 1 << 11;
        /// The records of a virtual CPU's states can be registered by physical address.
        const RUNSTATE_PHYS_AREA = 1 << 18;
        /// The clock record of a virtual CPU can be registered by physical address.
        const VCPU_TIME_PHYS_AREA = 1 << 19;
    }
}

/// The features of this domain. Any context.
///
/// # Errors
///
/// If Xen can't be called.
pub fn features() -> Result<Features, XenError> {
    let mut information = FeatureInformation::default();
    // SAFETY: the structure is the command's, and of integers.
    unsafe {
        hypercall::command(HypercallNumber::XEN_VERSION, GET_FEATURES, &mut information)?;
    }
    Ok(Features::from_bits_retain(information.submap))
}

const VERSION: u64 = 0;
const GET_FEATURES: u32 = 6;

/// `xen_feature_info_t`.
#[derive(Default)]
#[repr(C)]
struct FeatureInformation {
    submap_index: u32,
    submap: u32,
}
