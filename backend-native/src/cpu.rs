//! Registers, descriptor tables and counters.

use core::arch::asm;

use pvops_core::descriptor::GateDescriptor;

cfg_if::cfg_if! {
    if #[cfg(target_arch = "x86_64")] {
        mod x86_64;
        pub(crate) use x86_64::{BINDINGS, TYPICAL, bindings};
    } else {
        mod x86;
        pub(crate) use x86::{BINDINGS, TYPICAL, bindings};
    }
}

unsafe extern "C" fn write_idt_entry(
    table: *mut GateDescriptor,
    index: usize,
    gate: *const GateDescriptor,
) {
    // SAFETY: the op's caller vouches for both, and that nobody looks at the entry meanwhile.
    unsafe { table.add(index).write(gate.read()) };
}

unsafe extern "C" fn load_tls(table: *mut u64, first: usize, entries: *const [u64; 3]) {
    // SAFETY: the op's caller vouches for the entries and their places.
    unsafe { table.add(first).cast::<[u64; 3]>().write(entries.read()) };
}

macro_rules! debug_registers {
    ($($number:literal $name:literal),*) => {
        unsafe extern "C" fn read_debug_register(number: u32) -> usize {
            match number {
                $($number => {
                    let value;
                    // SAFETY: reading a debug register has no effect.
                    unsafe {
                        asm!(concat!("mov {}, ", $name), out(reg) value, options(nomem, nostack))
                    };
                    value
                })*
                _ => 0,
            }
        }

        unsafe extern "C" fn write_debug_register(number: u32, value: usize) {
            match number {
                // SAFETY: the op's caller vouches for the value.
                $($number => unsafe {
                    asm!(concat!("mov ", $name, ", {}"), in(reg) value, options(nostack))
                },)*
                _ => {}
            }
        }
    };
}

debug_registers!(0 "dr0", 1 "dr1", 2 "dr2", 3 "dr3", 6 "dr6", 7 "dr7");
