//! The end of this domain: SCHEDOP_shutdown of Xen's public/sched.h.

use crate::console;
use crate::hypercall::{self, HypercallNumber};

/// The op `system.poweroff`. Of dom0, Xen halts the machine and leaves it on.
pub(crate) unsafe extern "C" fn poweroff() {
    shut_down(POWEROFF);
}

/// The op `system.reboot`. Of dom0, Xen resets the machine.
pub(crate) unsafe extern "C" fn reboot() {
    shut_down(REBOOT);
}

/// The op `system.report_crash`: the toolstack does with the domain what it was told to do then. Of
/// dom0, Xen waits for five seconds and resets the machine.
pub(crate) unsafe extern "C" fn report_crash() {
    shut_down(CRASH);
}

/// Returns only if Xen refuses.
fn shut_down(reason: u32) {
    console::flush();
    // SAFETY: the structure is the command's, and what is running is to end.
    let _ = unsafe { hypercall::command(HypercallNumber::SCHED_OP, SHUTDOWN, &mut { reason }) };
}

/// SCHEDOP_shutdown.
const SHUTDOWN: u32 = 2;
// SHUTDOWN_ and the name.
const POWEROFF: u32 = 0;
const REBOOT: u32 = 1;
const CRASH: u32 = 3;
