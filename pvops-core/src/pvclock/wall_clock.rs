//! The time of day at which the guest's system time was zero.
//!
//! A guest without an RTC learns the date from here alone: wall time now is this
//! time plus the system time of the clock. KVM writes it once for each request
//! of the guest, Xen whenever its own wall clock is set.

use core::ptr::NonNull;

use super::{PlacementError, TornError, placement, read_consistent};
use crate::atomic::{AtomicU32, Ordering, const_unless_loom};

/// The record, as the host writes it: 12 bytes.
///
/// `pvclock_wall_clock` in Linux `arch/x86/include/asm/pvclock-abi.h`; `wc_version`,
/// `wc_sec` and `wc_nsec` of `shared_info` in Xen `xen/include/public/xen.h`.
#[repr(C)]
pub struct WallClock {
    /// Odd while the host changes the record, zero before it first did.
    pub version: AtomicU32,
    /// Seconds since the Unix epoch, unsigned: good until the year 2106.
    pub seconds: AtomicU32,
    /// Nanoseconds in that second.
    pub nanoseconds: AtomicU32,
}

/// The address of a [`WallClock`] that a host writes.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct WallClockPointer(NonNull<WallClock>);

/// The time of day, UTC, at which the system time was zero.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct BootTime {
    seconds: u32,
    nanoseconds: u32,
}

/// Why a record gave no time of day.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum WallClockError {
    /// The host was always in the middle of an update.
    Torn(TornError),
    /// The host has not written the record.
    Unwritten,
    /// The nanoseconds amount to a second or more.
    Nanoseconds(u32),
}

impl WallClock {
    const_unless_loom! {
        /// A record that no host has written: reading it is an error.
        pub const fn zeroed() -> Self {
            Self {
                version: AtomicU32::new(0),
                seconds: AtomicU32::new(0),
                nanoseconds: AtomicU32::new(0),
            }
        }
    }
}

impl WallClockPointer {
    /// Takes the address of a record, after a check of its place.
    ///
    /// # Errors
    ///
    /// The record is misaligned, or crosses a 4 KiB page boundary.
    ///
    /// # Safety
    ///
    /// The 12 bytes at `record` must stay mapped and readable for as long as
    /// the pointer or a copy of it is used. Everything in this program that
    /// accesses them meanwhile must do so atomically. Their content need not be
    /// valid.
    pub unsafe fn new(record: NonNull<WallClock>) -> Result<Self, PlacementError> {
        placement::check(record, WALL_CLOCK_SIZE)?;
        Ok(Self(record))
    }

    /// The address of the record, to tell it to the host.
    #[inline]
    pub const fn as_ptr(self) -> NonNull<WallClock> {
        self.0
    }

    /// Reads the time of day at which the system time was zero.
    ///
    /// Any context, any CPU.
    ///
    /// # Errors
    ///
    /// The record was changing at each of
    /// [`MAX_ATTEMPTS`](super::MAX_ATTEMPTS) looks, was never written, or holds
    /// no valid time.
    pub fn read(self) -> Result<BootTime, WallClockError> {
        let record = self.0.as_ptr();
        // SAFETY: `new` was promised a mapped record and atomic access.
        let version = || unsafe { (*record).version.load(Ordering::Relaxed) };
        let copy = || {
            // SAFETY: as for `version`.
            unsafe {
                (
                    version(),
                    (*record).seconds.load(Ordering::Relaxed),
                    (*record).nanoseconds.load(Ordering::Relaxed),
                )
            }
        };
        let (version, seconds, nanoseconds) =
            read_consistent(version, copy).map_err(WallClockError::Torn)?;
        if version == 0 {
            return Err(WallClockError::Unwritten);
        }
        if u64::from(nanoseconds) >= NS_PER_SECOND {
            return Err(WallClockError::Nanoseconds(nanoseconds));
        }
        Ok(BootTime {
            seconds,
            nanoseconds,
        })
    }
}

impl BootTime {
    /// Whole seconds since the Unix epoch.
    pub const fn seconds(self) -> u32 {
        self.seconds
    }

    /// Nanoseconds in that second, below 10^9.
    pub const fn nanoseconds(self) -> u32 {
        self.nanoseconds
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn as_unix_ns(self) -> u64 {
        self.seconds as u64 * NS_PER_SECOND + self.nanoseconds as u64
    }

    /// The time of day at a given system time, in nanoseconds since the Unix
    /// epoch. [`u64::MAX`], in the year 2554, if that does not fit.
    pub const fn wall_ns_at(self, system_time_ns: u64) -> u64 {
        self.as_unix_ns().saturating_add(system_time_ns)
    }
}

// SAFETY: the pointer gives atomic access only, to memory that `new` was
// promised to be mapped for all that use it.
unsafe impl Send for WallClockPointer {}
// SAFETY: as for `Send`; all methods take the pointer by value.
unsafe impl Sync for WallClockPointer {}

impl core::fmt::Display for WallClockError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Torn(error) => error.fmt(f),
            Self::Unwritten => f.write_str("wall clock was never written"),
            Self::Nanoseconds(value) => write!(f, "wall clock has {value} nanoseconds in a second"),
        }
    }
}

impl core::error::Error for WallClockError {}

const NS_PER_SECOND: u64 = 1_000_000_000;
const WALL_CLOCK_SIZE: usize = 12;

// loom's atomics are larger.
#[cfg(not(all(loom, test)))]
const _: () = {
    use core::mem::{align_of, offset_of, size_of};
    assert!(size_of::<WallClock>() == WALL_CLOCK_SIZE && align_of::<WallClock>() == 4);
    assert!(offset_of!(WallClock, version) == 0);
    assert!(offset_of!(WallClock, seconds) == 4);
    assert!(offset_of!(WallClock, nanoseconds) == 8);
};
