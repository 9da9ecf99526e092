//! The end of the machine.

use pvops_core::{bindings, call};

use super::binder::Binder;
use super::entries::call_if_there;
use super::native;
use crate::abi::call::Call;
use crate::abi::reboot;

pub(super) fn bind(binder: &Binder<'_>, native: bindings::system) -> bindings::system {
    bindings::system {
        poweroff: binder.wrapped(
            Call::SHUTDOWN,
            native.poweroff,
            call!(system::poweroff, poweroff),
        ),
        reboot: binder.wrapped(Call::REBOOT, native.reboot, call!(system::reboot, reboot)),
        ..native
    }
}

/// The ROM turns off one CPU, ACPI the machine.
unsafe extern "C" fn poweroff() {
    // SAFETY: the kernel wants the machine off.
    unsafe {
        native::power_off();
        call_if_there(Call::SHUTDOWN, [0; 3], [0; 2]);
    }
}

unsafe extern "C" fn reboot() {
    // SAFETY: the kernel wants the machine reset.
    unsafe {
        call_if_there(Call::REBOOT, [reboot::HARD, 0, 0], [0; 2]);
        native::reset();
    }
}
