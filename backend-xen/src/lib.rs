//! Xen backend: PV, PVH and HVM guests.
#![no_std]
#![allow(dead_code, reason = "what uses the layouts is not there yet")]

mod console;
mod error;
pub mod event_channel;
pub mod hvm;
mod hypercall;
mod memory_map;
mod shared_info;
pub mod vcpu;
mod version;

pub use error::XenError;
pub use hypercall::{HypercallNumber, hypercall};
pub use memory_map::add_memory_map;
pub use version::{Features, Version, features, version};
