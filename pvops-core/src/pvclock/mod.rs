//! The paravirtual clock that KVM and Xen share.
//!
//! Reading a timer device costs a guest an exit, and the TSC alone says nothing
//! about its rate, nor about what happened to it in a migration. So the host
//! keeps, for each virtual CPU, a small record of how to turn that CPU's TSC
//! into nanoseconds, and rewrites it when the relation changes. A guest reads
//! the time with two looks at the record's version, one TSC read and one
//! multiplication, without leaving the guest.
//!
//! - [`TimeInfoPointer`] reads one CPU's record, a [`TimeInfo`];
//! - [`MonotonicClock`] makes of these readings one clock that never goes back,
//!   on any CPU, whatever the host does;
//! - [`WallClockPointer`] reads what the time of day was when the system clock
//!   stood at zero, a [`WallClock`];
//! - [`read_consistent`] is the version protocol itself, for other records of
//!   this kind.
//!
//! How the host is told where the records are is the business of each backend.
//!
//! Sources: Linux `arch/x86/include/asm/pvclock-abi.h` and
//! `Documentation/virt/kvm/x86/msr.rst` (MSR_KVM_SYSTEM_TIME_NEW,
//! MSR_KVM_WALL_CLOCK_NEW); Xen `xen/include/public/xen.h` (`vcpu_time_info`,
//! and the `wc_` fields of `shared_info`).

mod flags;
#[cfg(all(loom, test))]
mod model;
mod monotonic;
mod parameters;
mod placement;
mod time_info;
mod version;
mod wall_clock;
mod word64;

pub use flags::Flags;
pub use monotonic::MonotonicClock;
pub use parameters::{Parameters, Reading};
pub use placement::PlacementError;
pub use time_info::{ReadError, TimeInfo, TimeInfoPointer};
pub use version::{MAX_ATTEMPTS, TornError, read_consistent};
pub use wall_clock::{BootTime, WallClock, WallClockError, WallClockPointer};
pub use word64::HostU64;
