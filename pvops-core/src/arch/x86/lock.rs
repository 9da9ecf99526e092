//! Releasing a lock.

use crate::binding::Binding;
use crate::lock::{self, Host};
use crate::op::lock::release;

/// Where nobody sleeps: the low byte of the queue's first word. Every store is a release.
pub(crate) const RELEASE: Binding<release> = inline!(lock::release, "mov byte ptr [eax], 0");

/// Where waiters sleep. Three instructions if none does. The host `H` is the ops; that it is open keeps
/// this out of kernels that don't ask for it.
pub(crate) const fn release_to_sleeper<H: Host + Default>() -> Binding<release> {
    preserve_thunk!(to_sleeper [H: Host + Default], lock::release, lock::release_to_sleeper::<H>);
    #[unsafe(naked)]
    unsafe extern "C" fn thunk<H: Host + Default>() {
        core::arch::naked_asm!(
            // `Queue::count_down`: in the low byte of the queue's first word, which is not 0.
            "lock dec byte ptr [eax]",
            "jnz {to_sleeper}",
            "ret",
            to_sleeper = sym to_sleeper::<H>,
        )
    }
    // SAFETY: it changes flags only; the thunk that it goes on to finds the stack and the operand as
    // the site has left them.
    unsafe { Binding::preserve(thunk::<H>) }
}
