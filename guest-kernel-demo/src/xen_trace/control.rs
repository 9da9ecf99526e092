//! Calls of Xen by which dom0 controls the trace.

use pvops_backend_xen::{HypercallNumber, XenError, hypercall};

use crate::paging;

/// XEN_SYSCTL_TBUFOP_ and the name.
pub(super) struct Operation;

impl Operation {
    pub(super) const GET_INFORMATION: u32 = 0;
    pub(super) const SET_EVENT_MASK: u32 = 2;
    pub(super) const SET_SIZE: u32 = 3;
    pub(super) const ENABLE: u32 = 4;
}

/// XEN_SYSCTL_tbuf_op. Gives the frame of the information, and its bytes.
pub(super) fn control(operation: u32, event_mask: u32, pages: u32) -> Result<(u64, u32), XenError> {
    const SYSCTL: HypercallNumber = HypercallNumber(35);
    const TRACE_BUFFERS: u32 = 2;
    /// XEN_SYSCTL_INTERFACE_VERSION of Xen 4.17.
    const INTERFACE_VERSION: u32 = 0x15;
    #[repr(C)]
    struct Control {
        command: u32,
        version: u32,
        operation: u32,
        cpu_bits: u64,
        cpu_bit_count: u64,
        event_mask: u32,
        frame: u64,
        size: u32,
        reserved: [u64; 12],
    }
    let mut control = Control {
        command: TRACE_BUFFERS,
        version: INTERFACE_VERSION,
        operation,
        cpu_bits: 0,
        cpu_bit_count: 0,
        event_mask,
        frame: 0,
        size: pages,
        reserved: [0; 12],
    };
    let pointer = (&raw mut control).expose_provenance() as u64;
    // SAFETY: the structure is the call's, and longer than what Xen writes.
    unsafe { hypercall(SYSCTL, [pointer])? };
    Ok((control.frame, control.size))
}

/// Maps one of Xen's own frames. HYPERVISOR_update_va_mapping_otherdomain.
pub(super) fn map(address: usize, frame: u64, flags: u64) -> Result<(), XenError> {
    const UPDATE_MAPPING_OF_OTHER: HypercallNumber = HypercallNumber(22);
    const DOMAIN_XEN: u64 = 0x7ff2;
    // So that there is a table.
    paging::entry(address, 0).map_err(|_| XenError::OUT_OF_MEMORY)?;
    let entry = frame << 12 | flags;
    // SAFETY: nobody uses the page.
    unsafe {
        hypercall(
            UPDATE_MAPPING_OF_OTHER,
            [address as u64, entry, 0, DOMAIN_XEN],
        )?
    };
    Ok(())
}
