//! VMI 3.0 guests: 32-bit kernels that a ROM of the host serves.
//!
//! Source of the rules: Linux 2.6.21 to 2.6.36, `arch/x86/kernel/vmi_32.c` ("vmi_32.c" in this crate)
//! and the headers that [`abi`] names.
//!
//! A kernel [scans](rom::scan) for ROMs before it hands out virtual addresses, keeps clear of those
//! that the ROM [reserves](rom::Rom::reserved_addresses), says which one it will use by `use_rom`,
//! and installs `BACKEND`. Both are there in 32-bit code only: VMI has never existed for more.
#![no_std]
#![warn(missing_debug_implementations)]

#[cfg(test)]
extern crate std;

pub mod abi;
pub mod entry_flags;
pub mod rom;
pub mod route;
pub mod routes;

#[cfg(target_arch = "x86")]
mod guest;
#[cfg(target_arch = "x86")]
pub use guest::*;
