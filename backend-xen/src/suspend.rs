//! The domain stands still, to be saved, moved or copied: SCHEDOP_shutdown of Xen's public/sched.h, with
//! a reason of its own.

use crate::error::XenError;
use crate::memory::FrameNumber;
use crate::shutdown::ShutdownReason;

/// How a suspension ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Suspension {
    /// The domain goes on in a new place. Its event channels and grants are gone; the shared page, the
    /// CPUs' records, the callback and the pages of xenstore and console are to be set up as at boot.
    Resumed,
    /// It was called off, or the domain was only copied: all is as it was before.
    Cancelled,
}

/// Suspends the domain. On one CPU, with interrupts off, while no other runs. In PV guests
/// `start_info` is the machine number of the `start_info` frame, which then is new; in others `None`.
///
/// # Errors
///
/// Xen refuses, and nothing has happened.
///
/// # Safety
///
/// Whatever may differ in the new place is put away: machine numbers of frames (PV), mappings of other
/// domains' frames, devices in use.
pub unsafe fn suspend(start_info: Option<FrameNumber>) -> Result<Suspension, XenError> {
    let start_info = start_info.map_or(0, |frame| frame.0 as u64);
    // SAFETY: as the caller vouches.
    match unsafe { ShutdownReason::SUSPEND.call(start_info)? } {
        0 => Ok(Suspension::Resumed),
        _ => Ok(Suspension::Cancelled),
    }
}
