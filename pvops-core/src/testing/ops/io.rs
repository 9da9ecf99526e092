//! Ports: each reads as what was written or set last, and before as all ones, as where no device is.

use super::{simulated, thunk};
use crate::testing::state::State;
use crate::{bindings, call};

pub(super) const BINDINGS: bindings::io = simulated!(io {
    thunk in8(port: u16) -> u8 = |state| read(state, port) as u8;
    thunk in16(port: u16) -> u16 = |state| read(state, port) as u16;
    thunk in32(port: u16) -> u32 = |state| read(state, port);
    thunk out8(port: u16, value: u8) = |state| write(state, port, value.into());
    thunk out16(port: u16, value: u16) = |state| write(state, port, value.into());
    thunk out32(port: u16, value: u32) = |state| write(state, port, value);
    call in8_string(port: u16, buffer: *mut u8, count: usize)
        = |state| fill(buffer, count, read(state, port) as u8);
    call in16_string(port: u16, buffer: *mut u16, count: usize)
        = |state| fill(buffer, count, read(state, port) as u16);
    call in32_string(port: u16, buffer: *mut u32, count: usize) = |state| fill(buffer, count, read(state, port));
    call out8_string(port: u16, buffer: *const u8, count: usize) = |state| write_last(state, port, buffer, count);
    call out16_string(port: u16, buffer: *const u16, count: usize) = |state| write_last(state, port, buffer, count);
    call out32_string(port: u16, buffer: *const u32, count: usize) = |state| write_last(state, port, buffer, count);
    thunk delay() = |_| ();
} else {});

fn read(state: &State, port: u16) -> u32 {
    state.ports.get(&port).copied().unwrap_or(u32::MAX)
}

fn write(state: &mut State, port: u16, value: u32) {
    state.ports.insert(port, value);
}

fn fill<T: Copy>(buffer: *mut T, count: usize, value: T) {
    for index in 0..count {
        // SAFETY: the op's caller says that there is room.
        unsafe { buffer.add(index).write_volatile(value) };
    }
}

fn write_last<T: Copy + Into<u32>>(state: &mut State, port: u16, buffer: *const T, count: usize) {
    if let Some(last) = count.checked_sub(1) {
        // SAFETY: the op's caller says that the buffer holds so many.
        let value = unsafe { buffer.add(last).read_volatile() };
        write(state, port, value.into());
    }
}
