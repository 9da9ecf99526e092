//! VMI 3.0 guests: 32-bit kernels that a ROM of the host serves.
//!
//! Source of the rules: Linux 2.6.21 to 2.6.36, `arch/x86/kernel/vmi_32.c` ("vmi_32.c" in this crate)
//! and the headers that [`abi`] names.
#![no_std]

pub mod abi;
pub mod entry_flags;
pub mod rom;
pub mod route;
