//! The interrupt flag.

use pvops_core::binding::Binding;
use pvops_core::inline;
use pvops_core::op::irq::{restore_flags, save_flags};

cfg_if::cfg_if! {
    if #[cfg(target_arch = "x86_64")] {
        const SAVE_FLAGS: Binding<save_flags> = inline!(irq::save_flags, "pushfq", "pop rax");
        const RESTORE_FLAGS: Binding<restore_flags> = inline!(irq::restore_flags, "push rdi", "popfq");
    } else {
        const SAVE_FLAGS: Binding<save_flags> = inline!(irq::save_flags, "pushfd", "pop eax");
        const RESTORE_FLAGS: Binding<restore_flags> = inline!(irq::restore_flags, "push eax", "popfd");
    }
}

pub(crate) const BINDINGS: pvops_core::bindings::irq = pvops_core::bindings::irq {
    save_flags: SAVE_FLAGS,
    restore_flags: RESTORE_FLAGS,
    disable: inline!(irq::disable, "cli"),
    enable: inline!(irq::enable, "sti"),
    halt: inline!(irq::halt, "hlt"),
    // STI lets no interrupt in before the next instruction has run.
    safe_halt: inline!(irq::safe_halt, "sti", "hlt"),
};
