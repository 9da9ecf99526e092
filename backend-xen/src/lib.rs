//! Xen backend: PV, PVH and HVM guests.
#![no_std]

mod error;
pub mod hvm;
mod hypercall;
mod version;

pub use error::XenError;
pub use hypercall::{HypercallNumber, hypercall};
pub use version::{Features, Version, features, version};
