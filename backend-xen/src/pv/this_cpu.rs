//! The virtual CPU that asks.

use core::sync::atomic::AtomicU32;

use pvops_core::Kernel;

use crate::shared_info::{self, VcpuInfo};
use crate::vcpu::VcpuId;

/// Its index: as the kernel says; before that, it is the boot CPU.
pub(super) fn index() -> usize {
    pvops_core::kernel().map_or(0, Kernel::cpu_index)
}

/// Xen's number of it. PV guests have the same.
pub(super) fn id() -> VcpuId {
    VcpuId(index() as u32)
}

/// What it shares with Xen.
///
/// # Panics
///
/// If it has not been brought up.
pub(super) fn info() -> &'static VcpuInfo {
    shared_info::of(index()).unwrap_or_else(|| panic!("this CPU has not been brought up"))
}

/// How far from the segment's base [`info`] is, where the kernel has given a place in each CPU's own block.
pub(super) static AREA_OFFSET: AtomicU32 = AtomicU32::new(0);
