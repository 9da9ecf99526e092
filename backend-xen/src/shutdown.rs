//! The end of this domain: SCHEDOP_shutdown of Xen's public/sched.h.

use crate::console;
use crate::error::XenError;
use crate::hypercall::{HypercallNumber, hypercall};

/// Why a domain stops: SHUTDOWN_ and the name. What follows is the toolstack's to decide, by the
/// domain's configuration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(transparent)]
pub struct ShutdownReason(pub u32);

impl ShutdownReason {
    /// The domain has ended. Of dom0, Xen halts the machine and leaves it on.
    pub const POWER_OFF: Self = ShutdownReason(0);
    /// The domain is to start anew. Of dom0, Xen resets the machine.
    pub const REBOOT: Self = ShutdownReason(1);
    /// By [`suspend`](crate::suspend::suspend) only.
    pub const SUSPEND: Self = ShutdownReason(2);
    /// The kernel has failed. Of dom0, Xen waits for five seconds and resets the machine.
    pub const CRASH: Self = ShutdownReason(3);
    /// A watchdog has run out.
    pub const WATCHDOG: Self = ShutdownReason(4);
    /// The domain stays, with its memory and CPUs, and Xen forgets all it has set up with it.
    pub const SOFT_RESET: Self = ShutdownReason(5);

    /// Stops the domain, all its CPUs. Any context. Returns only if Xen refuses, and why.
    ///
    /// # Safety
    ///
    /// All that runs may end here. Not [`SUSPEND`](Self::SUSPEND).
    pub unsafe fn shut_down(self) -> XenError {
        console::flush();
        #[cfg(target_arch = "x86_64")]
        crate::pv::console::flush();
        // SAFETY: as the caller vouches.
        let result = unsafe { self.call(0) };
        result.err().unwrap_or(XenError::INVALID)
    }

    /// The call, with its third argument.
    ///
    /// # Safety
    ///
    /// As for [`shut_down`](Self::shut_down), or for [`suspend`](crate::suspend::suspend).
    pub(crate) unsafe fn call(self, argument: u64) -> Result<u64, XenError> {
        const SHUTDOWN: u64 = 2;
        let structure = (&raw const self).expose_provenance() as u64;
        let arguments = [SHUTDOWN, structure, argument];
        // SAFETY: the structure, one integer, is the command's; the rest is as the caller vouches.
        unsafe { hypercall(HypercallNumber::SCHED_OP, arguments) }
    }
}

/// The op `system.poweroff`.
pub(crate) unsafe extern "C" fn poweroff() {
    // SAFETY: what is running is to end.
    unsafe { ShutdownReason::POWER_OFF.shut_down() };
}

/// The op `system.reboot`.
pub(crate) unsafe extern "C" fn reboot() {
    // SAFETY: as for `poweroff`.
    unsafe { ShutdownReason::REBOOT.shut_down() };
}

/// The op `system.report_crash`.
pub(crate) unsafe extern "C" fn report_crash() {
    // SAFETY: as for `poweroff`.
    unsafe { ShutdownReason::CRASH.shut_down() };
}
