//! The bindings of the lock's ops, which are only right together.
//!
//! If waiters sleep, the release must wake them. So the fields of [`bindings::lock`] are not for
//! backends, which say here what they have.

use super::selected::lock::{RELEASE, release_to_sleeper};
use crate::binding::Binding;
use crate::bindings;
use crate::lock::Ops;
use crate::op::lock::{kick, vcpu_is_preempted, wait};

impl bindings::lock {
    /// Nobody sleeps, so nobody is to be woken, and no CPU is known to be preempted.
    pub const AWAKE: Self = bindings::lock {
        wait: inline!(lock::wait, "pause"),
        kick: Binding::nothing(),
        vcpu_is_preempted: inline!(lock::vcpu_is_preempted, "xor eax, eax"),
        release: RELEASE,
    };

    /// The same with waiters that sleep, for as long as the two ops that it takes say.
    // Inline, so that the crate of a backend that asks for it has the code, and this one has none.
    #[must_use]
    #[inline]
    pub const fn with_sleep(self, wait: Binding<wait>, kick: Binding<kick>) -> Self {
        bindings::lock {
            wait,
            kick,
            release: release_to_sleeper::<Ops>(),
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
