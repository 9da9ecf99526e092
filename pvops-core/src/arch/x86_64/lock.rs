//! Releasing a lock.

use crate::binding::Binding;
use crate::lock::release_to_sleeper;
use crate::op::lock::release;

/// Where nobody sleeps: the low byte of the queue's first word. Every store is a release.
pub(crate) const RELEASE: Binding<release> = inline!(lock::release, "mov byte ptr [rdi], 0");

/// Where waiters sleep. Three instructions if none does.
pub(crate) const RELEASE_TO_SLEEPER: Binding<release> = {
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
