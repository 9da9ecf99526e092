//! The two rings that the toolstack gives a domain when it builds it: to xenstored, and to the console.

use core::ptr::NonNull;

use pvops_core::Kernel;

use crate::error::XenError;
use crate::event_channel::Port;
use crate::hvm::parameter;
use crate::{console_ring as console, is_pv, xenstore};

/// A ring, as it is given: the page, mapped for good, and the port to tell the other side by.
#[derive(Clone, Copy, Debug)]
pub struct GivenRing<Page> {
    /// For [`Xenstore`](xenstore::Xenstore) or [`Console`](console::Console). Only accessed
    /// atomically.
    pub page: NonNull<Page>,
    /// Bound already: take it [into use](crate::event_channel::bind_given).
    pub port: Port,
}

/// The ring to xenstored: HVM_PARAM_STORE_PFN and HVM_PARAM_STORE_EVTCHN of Xen's public/hvm/params.h in PVH
/// and HVM guests, where each call has the kernel [map](Kernel::map_device) the page; `store_mfn` and
/// `store_evtchn` of the start information in PV guests. Not in an interrupt handler.
///
/// # Errors
///
/// [`XenError::NOT_FOUND`] if there is none, as in dom0; [`XenError::OUT_OF_MEMORY`] if the kernel does
/// not map it; [`XenError::NO_SUCH_CALL`] if Xen can't be called.
pub fn xenstore_ring(kernel: &dyn Kernel) -> Result<GivenRing<xenstore::Page>, XenError> {
    const STORE_PFN: u32 = 1;
    const STORE_EVTCHN: u32 = 2;
    #[cfg(target_arch = "x86_64")]
    if is_pv() {
        return crate::pv::given::xenstore();
    }
    by_parameters(kernel, STORE_PFN, STORE_EVTCHN)
}

/// The ring to the console: HVM_PARAM_CONSOLE_PFN and HVM_PARAM_CONSOLE_EVTCHN in PVH and HVM guests. There is
/// none to be had in PV guests, where the op `system.console_byte` has it and `pv::read_console` reads from it.
/// Not in an interrupt handler.
///
/// # Errors
///
/// As for [`xenstore_ring`].
pub fn console_ring(kernel: &dyn Kernel) -> Result<GivenRing<console::Page>, XenError> {
    const CONSOLE_PFN: u32 = 17;
    const CONSOLE_EVTCHN: u32 = 18;
    match is_pv() {
        true => Err(XenError::NOT_FOUND),
        false => by_parameters(kernel, CONSOLE_PFN, CONSOLE_EVTCHN),
    }
}

fn by_parameters<Page>(
    kernel: &dyn Kernel,
    frame: u32,
    port: u32,
) -> Result<GivenRing<Page>, XenError> {
    let (frame, port) = (parameter(frame)?, parameter(port)?);
    if frame == 0 || port == 0 {
        return Err(XenError::NOT_FOUND);
    }
    let physical = frame.checked_mul(4096).ok_or(XenError::BAD_ADDRESS)?;
    let page = kernel
        .map_device(physical, 4096)
        .ok_or(XenError::OUT_OF_MEMORY)?;
    let port = Port(u32::try_from(port).map_err(|_| XenError::INVALID)?);
    Ok(GivenRing {
        page: page.cast(),
        port,
    })
}
