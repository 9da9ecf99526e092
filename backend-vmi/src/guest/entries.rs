//! Where the ROM's code is, and calling it.

use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::abi::call::{COUNT, Call};
use crate::route::{CallEntry, Route};
use crate::routes::Routes;

/// The address of each call's code, by the call's number; 0 where there is none. In memory for the sake
/// of thunks, which jump by way of it.
pub(super) static ENTRIES: [AtomicU32; COUNT as usize] =
    [const { AtomicU32::new(0) }; COUNT as usize];

/// Notes the addresses.
pub(super) fn fill(routes: &Routes) {
    for (entry, (_, route)) in ENTRIES.iter().zip(routes.iter()) {
        let address = match route {
            Ok(Route::Call(entry)) => entry.address(),
            Ok(Route::Jump(entry)) => entry.address(),
            _ => 0,
        };
        entry.store(address, Ordering::Relaxed);
    }
}

/// Makes a call that the ROM has, with its arguments in eax, edx and ecx and on the stack. The result is
/// edx:eax.
///
/// # Safety
///
/// As for the call, with these arguments.
pub(super) unsafe fn call(entry: CallEntry, registers: [u32; 3], stack: [u32; 2]) -> u64 {
    // SAFETY: the ROM has said that this is its code for a call, and the caller vouches for the
    // arguments.
    unsafe { enter(entry.address(), registers, stack) }
}

/// Makes a call if the ROM has it.
///
/// # Safety
///
/// As for the call, with these arguments; it is one that returns.
pub(super) unsafe fn call_if_there(
    call: Call,
    registers: [u32; 3],
    stack: [u32; 2],
) -> Option<u64> {
    match super::routes()?.get(call) {
        // SAFETY: the caller vouches for the arguments.
        Ok(Route::Call(entry)) => Some(unsafe { self::call(entry, registers, stack) }),
        _ => None,
    }
}

/// Calls the ROM's code at an address.
///
/// # Safety
///
/// The code must keep to the ABI of VMI's calls.
pub(super) unsafe fn enter(address: u32, registers: [u32; 3], stack: [u32; 2]) -> u64 {
    let [eax, edx, ecx] = registers;
    let (low, high): (u32, u32);
    // SAFETY: the caller vouches for the code, which keeps the other registers and the stack.
    unsafe {
        asm!(
            "push dword ptr [{stack} + 4]",
            "push dword ptr [{stack}]",
            "call {address}",
            "add esp, 8",
            stack = in(reg) stack.as_ptr(),
            address = in(reg) address,
            inout("eax") eax => low,
            inout("edx") edx => high,
            inout("ecx") ecx => _,
        );
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Defines a function that puts a call's operands where the ROM wants them, and leaves the rest to the
/// ROM: it returns to the caller.
macro_rules! by_jump {
    ($name:ident, $call:ident $(, $line:literal)* $(; $constant:ident = $value:expr)?) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                $($line,)*
                "jmp dword ptr [{entries} + 4 * {call}]",
                entries = sym $crate::guest::entries::ENTRIES,
                call = const $crate::abi::call::Call::$call.0,
                $($constant = const $value,)?
            )
        }
    };
}

pub(super) use by_jump;
