//! Typed privileged operations for x86 kernels, patched at boot to what the host wants.
#![no_std]

mod atomic;
mod declare;

pub mod arch;
pub mod backend;
pub mod binding;
pub mod boot_info;
pub mod descriptor;
pub mod event;
pub mod extable;
mod install;
mod kernel;
pub mod msr;
pub mod op;
mod ops;
pub mod patch;
pub mod probe;
pub mod pvclock;
pub mod site;
mod table;
pub mod tsc;
pub mod tsc_scale;

pub use install::{InstallError, install, installed};
pub use kernel::Kernel;
pub use op::{Op, OpNumber};
pub use ops::{
    Bindings, DECLARATIONS, OpDeclaration, apic, bindings, cpu, io, irq, mmu, system, time,
};
pub use table::OpTable;
