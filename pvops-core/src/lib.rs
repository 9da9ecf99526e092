//! Typed privileged operations for x86 kernels, patched at boot to what the host wants.
#![no_std]

mod atomic;

pub mod boot_info;
pub mod probe;
pub mod pvclock;
pub mod tsc_scale;
