//! Port I/O.

use core::arch::asm;

use pvops_core::{call, inline};

pub(crate) const BINDINGS: pvops_core::bindings::io = pvops_core::bindings::io {
    in8: inline!(io::in8, "in al, dx"),
    in16: inline!(io::in16, "in ax, dx"),
    in32: inline!(io::in32, "in eax, dx"),
    out8: inline!(io::out8, "out dx, al"),
    out16: inline!(io::out16, "out dx, ax"),
    out32: inline!(io::out32, "out dx, eax"),
    in8_string: call!(io::in8_string, in8_string),
    in16_string: call!(io::in16_string, in16_string),
    in32_string: call!(io::in32_string, in32_string),
    out8_string: call!(io::out8_string, out8_string),
    out16_string: call!(io::out16_string, out16_string),
    out32_string: call!(io::out32_string, out32_string),
    // Port 0x80 shows the firmware's progress codes; a write takes one cycle of the old bus.
    delay: inline!(io::delay, "out 0x80, al"),
};

cfg_if::cfg_if! {
    if #[cfg(target_arch = "x86_64")] {
        macro_rules! register {
            (di) => { "rdi" };
            (si) => { "rsi" };
        }
    } else {
        macro_rules! register {
            (di) => { "edi" };
            (si) => { "esi" };
        }
    }
}

macro_rules! strings {
    ($($function:ident($type:ty) = $instruction:literal by $pointer:ident;)*) => {$(
        unsafe extern "C" fn $function(port: u16, buffer: $type, count: usize) {
            // SAFETY: the op's caller vouches for the port's effect and the buffer; the C ABI has
            // the direction flag clear.
            unsafe {
                asm!(
                    // LLVM keeps ESI for itself.
                    concat!("xchg {buffer}, ", register!($pointer)),
                    $instruction,
                    concat!("xchg {buffer}, ", register!($pointer)),
                    in("dx") port,
                    buffer = inout(reg) buffer => _,
                    inout("cx") count => _,
                    options(nostack, preserves_flags),
                );
            }
        }
    )*};
}

strings! {
    in8_string(*mut u8) = "rep insb" by di;
    in16_string(*mut u16) = "rep insw" by di;
    in32_string(*mut u32) = "rep insd" by di;
    out8_string(*const u8) = "rep outsb" by si;
    out16_string(*const u16) = "rep outsw" by si;
    out32_string(*const u32) = "rep outsd" by si;
}
