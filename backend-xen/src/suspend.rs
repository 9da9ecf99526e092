//! The domain stands still, to be saved, moved or copied: SCHEDOP_shutdown of Xen's public/sched.h, with
//! a reason of its own.
//!
//! What the kernel does when the toolstack [asks](crate::shutdown_request) for it:
//!
//! 1. It puts away what other domains have of it or it of them: devices, grants, mapped frames, channels.
//! 2. It locks its [`Xenstore`](crate::xenstore::Xenstore), so that no request is under way.
//! 3. It has every other CPU wait with interrupts off, outside of anything of this library, for a word that
//!    the boot CPU writes.
//! 4. The boot CPU calls [`suspend`].
//! 5. If the domain has moved, each other CPU calls [`bring_up_cpu`](fn@pvops_core::bring_up_cpu) before
//!    anything else: its clock, locks that sleep, and events work from then on. Then it sets its event
//!    anew, if it had one.
//! 6. The kernel binds its ports anew, and takes xenstore, the grant table and the console's ring up again
//!    ([`Xenstore::resume`](crate::xenstore::Xenstore::resume),
//!    [`GrantTable::resume`](crate::grant_table::GrantTable::resume),
//!    [`console_ring`](crate::console_ring())).

use core::fmt;

use pvops_core::backend::BindError;
use pvops_core::{Kernel, bring_up_cpu, time};

use crate::error::XenError;
#[cfg(target_arch = "x86_64")]
use crate::pv;
use crate::shutdown::ShutdownReason;
use crate::vcpu::{self, VcpuId};
use crate::{clock, event_channel, hvm, lock, runstate, shared_info};

/// How a suspension ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "what was bound, granted and watched is gone after a move"]
pub enum Suspension {
    /// The domain goes on in a new place, perhaps on another host. The shared page, the clock, and all of
    /// this CPU's are as after it was brought up. The clock goes on from where it was; what passed since
    /// shows in the time of day. All event channels are gone but those that the library itself has for this
    /// CPU, and so are grants, and the connection to xenstored.
    Moved,
    /// It was called off, or the domain was only copied: all is as it was before.
    Cancelled,
}

/// Suspends the domain. On the boot CPU, with interrupts off, while all others wait.
///
/// # Errors
///
/// [`SuspendError::Refused`], and nothing has happened; or [`SuspendError::Lost`].
///
/// # Safety
///
/// Nothing is in use that may differ in the new place: frames of other domains that are mapped, devices.
/// The other CPUs wait with interrupts off, and then do as [said above](self).
pub unsafe fn suspend() -> Result<Suspension, SuspendError> {
    let kernel = pvops_core::kernel().ok_or(SuspendError::Refused(XenError::NO_SUCH_CALL))?;
    // The toolstack tells the first CPU how the call has ended.
    if vcpu::id(kernel.cpu_index()) != Some(VcpuId(0)) {
        return Err(SuspendError::Refused(XenError::INVALID));
    }
    let clock_ns = time::clock_ns();
    // SAFETY: as the caller vouches.
    let has_moved = unsafe { stand_still() };
    if !has_moved.map_err(SuspendError::Refused)? {
        return Ok(Suspension::Cancelled);
    }
    clock::restart();
    runstate::restart();
    shared_info::forget_vcpu_infos();
    lock::forget_ports();
    // SAFETY: it has stood still, and moved.
    unsafe { resume(kernel) }
        .map_err(|_| SuspendError::Lost(BindError("Xen does not share its page")))?;
    // The new page begins with no port masked.
    event_channel::forget();
    // SAFETY: interrupts are off, and this CPU has gone on.
    unsafe { bring_up_cpu() }.map_err(SuspendError::Lost)?;
    clock::go_on_from(clock_ns);
    Ok(Suspension::Moved)
}

/// Whether the domain has moved when it goes on.
///
/// # Safety
///
/// As for [`suspend`].
unsafe fn stand_still() -> Result<bool, XenError> {
    #[cfg(target_arch = "x86_64")]
    if pv::is_started() {
        // SAFETY: as the caller vouches.
        unsafe {
            let start_info = pv::suspension::begin()?;
            let called_off = ShutdownReason::SUSPEND.call(start_info.0);
            if called_off != Ok(0) {
                pv::suspension::cancel();
            }
            return Ok(called_off? == 0);
        }
    }
    // SAFETY: as the caller vouches.
    unsafe { Ok(ShutdownReason::SUSPEND.call(0)? == 0) }
}

/// Takes what the new place shares.
///
/// # Safety
///
/// The domain has stood still, and moved.
unsafe fn resume(kernel: &dyn Kernel) -> Result<(), XenError> {
    #[cfg(target_arch = "x86_64")]
    if pv::is_started() {
        // SAFETY: as the caller vouches.
        return unsafe { pv::suspension::resume(kernel) };
    }
    hvm::resume(kernel)
}

/// Why a domain was not suspended, or can't go on.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum SuspendError {
    /// Xen refuses, or this is not the boot CPU, or no backend is installed. Nothing has happened.
    Refused(XenError),
    /// The domain has moved, and does not get there what it had. Report a crash.
    Lost(BindError),
}

impl fmt::Display for SuspendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SuspendError::Refused(error) => error.fmt(formatter),
            SuspendError::Lost(error) => write!(formatter, "after the suspension: {error}"),
        }
    }
}

impl core::error::Error for SuspendError {}
