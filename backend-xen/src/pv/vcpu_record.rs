//! Where each virtual CPU shares its record with Xen.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use pvops_core::Kernel;

use super::address;
use crate::error::XenError;
use crate::shared_frame;
use crate::shared_info::{self, VcpuInfo};
use crate::vcpu::{self, VcpuId};

/// Has Xen use a record for a CPU that is this one or does not run: in the CPU's own block, where the
/// kernel gives a place; else in Xen's page, or beyond what that has in a frame of the CPU's. Does nothing
/// for a CPU that has been here before, as it keeps its record.
pub(super) fn register(kernel: &dyn Kernel, cpu: usize) -> Result<(), XenError> {
    let page = shared_info::get().ok_or(XenError::INVALID)?;
    let legacy = page.vcpu_info.get(cpu).map(NonNull::from);
    let area = kernel.per_cpu_area(cpu).map(|area| area.address.cast());
    let record: NonNull<VcpuInfo> = match area.or(legacy) {
        Some(record) => record,
        None => {
            let frame = shared_frame::of_cpu(kernel, cpu).ok_or(XenError::OUT_OF_MEMORY)?;
            NonNull::from(&frame.vcpu_info)
        }
    };
    // SAFETY: it is 64 bytes, for good: as the kernel has promised, or of Xen's page or a frame of ours. It
    // is made of atomics, which can have any value.
    let info = unsafe { record.as_ref() };
    if shared_info::is_known(cpu, info) {
        return Ok(());
    }
    if legacy != Some(record) {
        let (frame, offset) =
            address::frame_at(record.addr().get()).ok_or(XenError::BAD_ADDRESS)?;
        let frame = frame.machine().ok_or(XenError::BAD_ADDRESS)?;
        // Xen copies the record that it has, in which this may be stale where the domain has moved.
        if let Some(info) = page.vcpu_info.get(cpu) {
            info.upcall_mask.store(1, Ordering::Relaxed);
        }
        // SAFETY: the record is Xen's to write for good.
        unsafe { vcpu::register_vcpu_info(VcpuId(cpu as u32), frame.0, offset as u32)? };
    }
    shared_info::set_vcpu_info(cpu, info);
    Ok(())
}
