//! Typed privileged operations for x86 kernels, patched at boot to what the host wants.
//!
//! A kernel does its privileged work through *ops*: [`irq::disable`](fn@irq::disable),
//! [`mmu::set_pte`](fn@mmu::set_pte), [`time::clock_ns`](fn@time::clock_ns). Each use is a *call
//! site*, which works from the first instruction by a call through the [`OpTable`]. At boot the
//! kernel [scans](probe::Interfaces::scan) for hypervisors, [selects](backend::select) a
//! [`Backend`](backend::Backend) and [`install`]s it: the backend [binds](binding) every op, and
//! every call site is [patched](patch) to a template of instructions, a direct call, NOPs or a trap.
//!
//! ```text
//! let interfaces = Interfaces::scan(&cpu::cpuid);
//! let backend = backend::select(&[&native::BACKEND, &kvm::BACKEND], &interfaces, None)?;
//! let sites = unsafe { install(backend, &MY_KERNEL, &interfaces)? };
//! ```
//!
//! For kernels:
//!
//! - The ops, by group: [`cpu`], [`irq`], [`mmu`], [`time`], [`io`], [`apic`], [`smp`], [`system`],
//!   [`lock`]; and the types in their signatures: [`cpu_set`], [`cpu_start`], [`descriptor`], [`event`],
//!   [`msr`].
//! - What the kernel provides: [`Kernel`], and a look into the [exception table](extable).
//! - Ops that get another binding later, while other CPUs run: [`live`]. Code that is loaded later:
//!   [`patch`], [`site`].
//! - Built on the ops: a fair [lock] that sleeps where the host can wake it; [lazy mode](lazy).
//! - What helps a kernel to boot: [`boot_info`], [`probe`]; what it may ask: [`tsc`].
//!
//! For backends, which kernels need not know:
//!
//! - What they are and say: [`backend`], [`binding`], [`bindings`], the types of ops in [`op`], the
//!   [shapes](arch::shape) of call sites, and the macros [`call!`], [`preserve!`], [`inline!`].
//! - What they share: [`pvclock`], [`tsc_scale`], [`stolen_time`], [`atomic64`].
//!
//! For tools: [`GROUPS`], [`DECLARATIONS`], [`patch::preview`], [`interpose`].
//!
//! The table itself is defined by the backend whose functions are right before anything is known of
//! the host; link `pvops-backend-native`.
//!
//! Code that uses ops is tested in an ordinary process, by `cargo test`, with the feature `testing`:
//! `pvops_core::testing`.
#![no_std]

// For the models.
#[cfg(all(loom, test))]
extern crate self as pvops_core;
#[cfg(any(
    all(loom, test),
    all(feature = "testing", target_os = "linux", not(loom))
))]
extern crate std;

mod atomic;
mod declare;

#[macro_use]
pub mod arch;
pub mod atomic64;
pub mod backend;
pub mod binding;
pub mod boot_info;
pub mod cpu_set;
pub mod cpu_start;
pub mod descriptor;
pub mod event;
pub mod extable;
mod install;
mod interpose;
mod irq_off;
mod kernel;
pub mod lazy;
pub mod live;
pub mod lock;
pub mod msr;
pub mod op;
mod ops;
pub mod patch;
pub mod probe;
pub mod pvclock;
mod section;
pub mod site;
pub mod stolen_time;
mod syscall;
mod table;
#[cfg(all(feature = "testing", target_os = "linux", not(loom)))]
pub mod testing;
pub mod tsc;
pub mod tsc_scale;
mod vector;

pub use arch::frame::InterruptFrame;
pub use arch::site::asm_op;
pub use install::{
    InstallError, bring_up_cpu, install, installed, kernel, take_down_cpu, use_before_install,
};
pub use interpose::interpose;
pub use kernel::{Kernel, PerCpuArea, PerCpuSegment};
pub use op::{Op, OpNumber};
pub use ops::{
    Bindings, DECLARATIONS, GROUPS, GroupDeclaration, OpDeclaration, apic, bindings, cpu, io, smp,
    system, time,
};
pub use syscall::SyscallEntry;
pub use table::OpTable;
pub use vector::InterruptVector;

/// Interrupts of this CPU.
pub mod irq {
    pub use crate::irq_off::without;
    pub use crate::ops::irq::*;
}

/// Page tables and the TLB.
pub mod mmu {
    pub use crate::lazy::guard::{EagerMode, LazyMode, eager, lazy};
    pub use crate::ops::mmu::*;
}
