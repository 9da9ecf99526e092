//! Interrupts of this CPU.

use pvops_core::bindings;

use super::binder::Binder;
use crate::abi::call::Call;

/// The ROM's calls lose flags only, as the ops do, so its code is at the sites. `halt` stays the
/// instruction: the ROM's enables interrupts, which is `safe_halt`.
pub(super) fn bind(binder: &Binder<'_>, native: bindings::irq) -> bindings::irq {
    // SAFETY: the flags are in eax for both.
    unsafe {
        bindings::irq {
            save_flags: binder.value(Call::GET_INTERRUPT_MASK, native.save_flags),
            restore_flags: binder.action(Call::SET_INTERRUPT_MASK, native.restore_flags),
            disable: binder.action(Call::DISABLE_INTERRUPTS, native.disable),
            enable: binder.action(Call::ENABLE_INTERRUPTS, native.enable),
            halt: native.halt,
            safe_halt: binder.action(Call::HALT, native.safe_halt),
        }
    }
}
