//! Port I/O: the ROM's calls have their operands where the instructions have them.

use core::arch::asm;
use core::sync::atomic::Ordering;

use pvops_core::{bindings, call};

use super::binder::Binder;
use super::entries::ENTRIES;
use crate::abi::call::Call;

pub(super) fn bind(binder: &Binder<'_>, native: bindings::io) -> bindings::io {
    // SAFETY: both have the port in dx and the value in al, ax or eax.
    unsafe {
        bindings::io {
            in8: binder.value(Call::INB, native.in8),
            in16: binder.value(Call::INW, native.in16),
            in32: binder.value(Call::INL, native.in32),
            out8: binder.action(Call::OUTB, native.out8),
            out16: binder.action(Call::OUTW, native.out16),
            out32: binder.action(Call::OUTL, native.out32),
            in8_string: binder.wrapped(
                Call::INSB,
                native.in8_string,
                call!(io::in8_string, in8_string),
            ),
            in16_string: binder.wrapped(
                Call::INSW,
                native.in16_string,
                call!(io::in16_string, in16_string),
            ),
            in32_string: binder.wrapped(
                Call::INSL,
                native.in32_string,
                call!(io::in32_string, in32_string),
            ),
            out8_string: binder.wrapped(
                Call::OUTSB,
                native.out8_string,
                call!(io::out8_string, out8_string),
            ),
            out16_string: binder.wrapped(
                Call::OUTSW,
                native.out16_string,
                call!(io::out16_string, out16_string),
            ),
            out32_string: binder.wrapped(
                Call::OUTSL,
                native.out32_string,
                call!(io::out32_string, out32_string),
            ),
            delay: binder.action(Call::IO_DELAY, native.delay),
        }
    }
}

macro_rules! in_string {
    ($name:ident, $item:ty, $call:ident) => {
        unsafe extern "C" fn $name(port: u16, buffer: *mut $item, count: usize) {
            let entry = ENTRIES[Call::$call.0 as usize].load(Ordering::Relaxed);
            // SAFETY: bound only if the ROM has the call; the op's caller vouches for the operands.
            unsafe {
                asm!(
                    "call ebx",
                    in("ebx") entry,
                    inout("edi") buffer => _,
                    inout("ecx") count => _,
                    inout("edx") u32::from(port) => _,
                    out("eax") _,
                );
            }
        }
    };
}

in_string!(in8_string, u8, INSB);
in_string!(in16_string, u16, INSW);
in_string!(in32_string, u32, INSL);

macro_rules! out_string {
    ($name:ident, $item:ty, $call:ident) => {
        unsafe extern "C" fn $name(port: u16, buffer: *const $item, count: usize) {
            let entry = ENTRIES[Call::$call.0 as usize].load(Ordering::Relaxed);
            // SAFETY: as for the other direction. LLVM keeps esi for itself.
            unsafe {
                asm!(
                    "xchg esi, edi",
                    "call ebx",
                    "mov esi, edi",
                    in("ebx") entry,
                    inout("edi") buffer => _,
                    inout("ecx") count => _,
                    inout("edx") u32::from(port) => _,
                    out("eax") _,
                );
            }
        }
    };
}

out_string!(out8_string, u8, OUTSB);
out_string!(out16_string, u16, OUTSW);
out_string!(out32_string, u32, OUTSL);
