//! Port I/O.

use pvops_core::inline;

pub(crate) const BINDINGS: pvops_core::bindings::io = pvops_core::bindings::io {
    in8: inline!(io::in8, "in al, dx"),
    in16: inline!(io::in16, "in ax, dx"),
    in32: inline!(io::in32, "in eax, dx"),
    out8: inline!(io::out8, "out dx, al"),
    out16: inline!(io::out16, "out dx, ax"),
    out32: inline!(io::out32, "out dx, eax"),
    // Port 0x80 shows the firmware's progress codes; a write takes one cycle of the old bus.
    delay: inline!(io::delay, "out 0x80, al"),
};
