//! The bindings of the lock's ops, which are only right together.
//!
//! If waiters sleep, the release must wake them. So the fields of [`bindings::lock`] are not for
//! backends, which say here what they have.

use crate::binding::Binding;
use crate::bindings;
use crate::lock::release_to_sleeper;
use crate::op::lock::{kick, release, vcpu_is_preempted, wait};

impl bindings::lock {
    /// Nobody sleeps, so nobody is to be woken, and no CPU is known to be preempted.
    pub const AWAKE: Self = bindings::lock {
        wait: inline!(lock::wait, "pause"),
        kick: Binding::nothing(),
        vcpu_is_preempted: inline!(lock::vcpu_is_preempted, "xor eax, eax"),
        // The low byte of the queue's first word; every store is a release.
        release: inline!(lock::release, "mov byte ptr [rdi], 0"),
    };

    /// The same with waiters that sleep, for as long as the two ops that it takes say.
    #[must_use]
    pub const fn with_sleep(self, wait: Binding<wait>, kick: Binding<kick>) -> Self {
        bindings::lock {
            wait,
            kick,
            release: RELEASE,
            ..self
        }
    }

    /// The same where it is known which CPUs are preempted.
    #[must_use]
    pub const fn with_preemption(self, vcpu_is_preempted: Binding<vcpu_is_preempted>) -> Self {
        bindings::lock {
            vcpu_is_preempted,
            ..self
        }
    }
}

/// The release where waiters sleep. Three instructions if none does.
const RELEASE: Binding<release> = {
    preserve_thunk!(to_sleeper, lock::release, release_to_sleeper);
    #[unsafe(naked)]
    unsafe extern "C" fn thunk() {
        core::arch::naked_asm!(
            // `Queue::count_down`: in the low byte of the queue's first word, which is not 0.
            "lock dec byte ptr [rdi]",
            "jnz {to_sleeper}",
            "ret",
            to_sleeper = sym to_sleeper,
        )
    }
    // SAFETY: it changes flags only; the thunk that it goes on to finds the stack and the operand as
    // the site has left them.
    unsafe { Binding::preserve(thunk) }
};
