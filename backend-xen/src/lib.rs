//! Xen backend: PV, PVH and HVM guests.
#![no_std]
#![allow(dead_code, reason = "what uses the layouts is not there yet")]

mod error;
pub mod event_channel;
pub mod hvm;
mod hypercall;
mod shared_info;
pub mod vcpu;
mod version;

pub use error::XenError;
pub use hypercall::{HypercallNumber, hypercall};
pub use version::{Features, Version, features, version};
