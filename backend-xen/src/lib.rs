//! Xen backend: PV, PVH and HVM guests. PV is 64-bit only.
//!
//! [`BACKEND`] has the ops. Before it is installed, a kernel that was entered as a PV guest calls `pv::start`,
//! one that was entered in ring 0 [`hvm::start`], and both lend a vector for
//! [event channels](event_channel). The rest is what Xen has and no op does:
//!
//! - other domains: [`event_channel`], [`grant_table`], [`xenstore`], [`console_ring`](mod@console_ring);
//! - the toolstack's wishes: [`shutdown_request`], [`balloon`], [`suspend`](mod@suspend);
//! - Xen itself: [`hypercall()`], [`memory`], [`vcpu`], [`version()`], [`features()`], [`ShutdownReason`].
//!
//! Source of numbers and layouts: the headers of Xen 4.17 in xen/include/public, "Xen's public/..." here.
#![no_std]
#![warn(missing_debug_implementations)]
#![allow(
    clippy::unnecessary_cast,
    clippy::useless_conversion,
    reason = "`Word` is one type or another"
)]

pub mod balloon;
mod byte_ring;
mod clock;
mod console;
pub mod console_ring;
mod domain;
mod error;
pub mod event_channel;
mod given_ring;
pub mod grant_table;
pub mod hvm;
mod hypercall;
mod lock;
pub mod memory;
mod memory_map;
mod peer_events;
mod poll;
#[cfg(target_arch = "x86_64")]
pub mod pv;
mod restart;
mod runstate;
mod shared_frame;
mod shared_info;
mod shutdown;
pub mod shutdown_request;
pub mod suspend;
pub mod vcpu;
mod version;
mod word;
pub mod xenstore;

use pvops_core::backend::Backend;

pub use byte_ring::BadIndex;
pub use clock::system_time_ns;
pub use domain::DomainId;
pub use error::XenError;
pub use given_ring::{GivenRing, console_ring, xenstore_ring};
pub use hypercall::{HypercallNumber, hypercall};
pub use memory_map::add_memory_map;
pub use peer_events::{GaveUp, PeerEvents};
pub use poll::poll_until;
pub use shutdown::ShutdownReason;
pub use version::{Features, Version, features, version};
pub use word::Word;

/// The backend for guests of Xen.
pub static BACKEND: Backend = Backend {
    name: "xen",
    signature: Some(hvm::SIGNATURE),
    bind: |host| {
        #[cfg(target_arch = "x86_64")]
        if pv::is_started() {
            return pv::bind(host);
        }
        hvm::bind(host)
    },
    bring_up_cpu: |host| {
        #[cfg(target_arch = "x86_64")]
        if pv::is_started() {
            return pv::bring_up_cpu(host);
        }
        hvm::bring_up_cpu(host)
    },
    take_down_cpu: |host| {
        #[cfg(target_arch = "x86_64")]
        if pv::is_started() {
            return pv::take_down_cpu(host);
        }
        hvm::take_down_cpu(host);
    },
};

cfg_if::cfg_if! {
    if #[cfg(target_arch = "x86_64")] {
        use pv::is_started as is_pv;
    } else {
        /// Whether this is a PV guest.
        const fn is_pv() -> bool {
            false
        }
    }
}
