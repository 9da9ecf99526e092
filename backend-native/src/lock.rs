//! Locks on CPUs that never stop: nobody sleeps, so nobody is to be woken.

use pvops_core::binding::Binding;
use pvops_core::inline;

pub(crate) const BINDINGS: pvops_core::bindings::lock = pvops_core::bindings::lock {
    wait: inline!(lock::wait, "pause"),
    kick: Binding::nothing(),
    vcpu_is_preempted: inline!(lock::vcpu_is_preempted, "xor eax, eax"),
    // The low byte of the queue's first word; on x86 every store is a release.
    release: inline!(lock::release, "mov byte ptr [rdi], 0"),
};
