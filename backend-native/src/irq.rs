//! The interrupt flag.

use pvops_core::inline;

pub(crate) const BINDINGS: pvops_core::bindings::irq = pvops_core::bindings::irq {
    save_flags: inline!(irq::save_flags, "pushfq", "pop rax"),
    restore_flags: inline!(irq::restore_flags, "push rdi", "popfq"),
    disable: inline!(irq::disable, "cli"),
    enable: inline!(irq::enable, "sti"),
    halt: inline!(irq::halt, "hlt"),
    // STI lets no interrupt in before the next instruction has run.
    safe_halt: inline!(irq::safe_halt, "sti", "hlt"),
};
