//! The record in which a host describes one CPU's clock.
//!
//! # The TSC read between the version loads
//!
//! The fences in [`read_consistent`] order memory accesses, not `rdtsc`, which
//! the CPU may execute before older loads. So the caller passes an ordered read,
//! `lfence; rdtsc`. It runs after the fields are loaded, and `lfence` waits for
//! these loads, so the TSC is never older than the fields.
//!
//! Nothing makes the second version load wait for `rdtsc`, and nothing needs to.
//! If this CPU leaves the guest between the two, then `rdtsc` had not retired,
//! and both are executed again on return, so an update made meanwhile is seen.
//! If another CPU updates the record in that instant, then the reading is the
//! one we would have made some cycles earlier, from parameters that held then.

use core::ptr::NonNull;

use super::{
    Flags, HostU64, Parameters, PlacementError, Reading, TornError, placement, read_consistent,
};
use crate::atomic::{AtomicI8, AtomicU8, AtomicU32, Ordering, const_unless_loom};
use crate::tsc_scale::{ScaleError, TscScale};

/// One virtual CPU's clock, as the host writes it: 32 bytes.
///
/// `pvclock_vcpu_time_info` in Linux `arch/x86/include/asm/pvclock-abi.h`,
/// `vcpu_time_info` in Xen `xen/include/public/xen.h`.
///
/// Reserve one for each CPU, [`zeroed`](Self::zeroed), and read it through a
/// [`TimeInfoPointer`]. A host only asks for 4-byte alignment; the 8 bytes of
/// this type make each field one access.
#[repr(C, align(8))]
pub struct TimeInfo {
    /// Odd while the host changes the record.
    pub version: AtomicU32,
    /// Padding.
    pub reserved_4: AtomicU32,
    /// The TSC at the moment of [`system_time_ns`](Self::system_time_ns).
    pub tsc_timestamp: HostU64,
    /// The guest's system time in nanoseconds.
    pub system_time_ns: HostU64,
    /// Nanoseconds in a tick, in units of 2^(shift - 32).
    pub tsc_to_system_multiplier: AtomicU32,
    /// The power of two applied before the multiplier.
    pub tsc_shift: AtomicI8,
    /// [`Flags`].
    pub flags: AtomicU8,
    /// Padding.
    pub reserved_30: [AtomicU8; 2],
}

/// The address of a [`TimeInfo`] that a host writes.
///
/// Reads the record field by field, without ever making a reference to it.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct TimeInfoPointer(NonNull<TimeInfo>);

/// Why a record gave no time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ReadError {
    /// The host was always in the middle of an update.
    Torn(TornError),
    /// The host has not written the record yet, or wrote nonsense.
    Scale(ScaleError),
}

impl TimeInfo {
    const_unless_loom! {
        /// A record that no host has written: reading it is an error.
        pub const fn zeroed() -> Self {
            Self {
                version: AtomicU32::new(0),
                reserved_4: AtomicU32::new(0),
                tsc_timestamp: HostU64::new(0),
                system_time_ns: HostU64::new(0),
                tsc_to_system_multiplier: AtomicU32::new(0),
                tsc_shift: AtomicI8::new(0),
                flags: AtomicU8::new(0),
                reserved_30: [AtomicU8::new(0), AtomicU8::new(0)],
            }
        }
    }
}

impl TimeInfoPointer {
    /// Takes the address of a record, after a check of its place.
    ///
    /// # Errors
    ///
    /// The record is misaligned, or crosses a 4 KiB page boundary. Pages that
    /// are neighbours in virtual memory need not be so in guest-physical
    /// memory, where the host writes.
    ///
    /// # Safety
    ///
    /// The 32 bytes at `record` must stay mapped and readable for as long as
    /// the pointer or a copy of it is used, and writable for
    /// [`take_guest_stopped`](Self::take_guest_stopped). Everything in this
    /// program that accesses them meanwhile must do so atomically. Their
    /// content need not be valid.
    pub unsafe fn new(record: NonNull<TimeInfo>) -> Result<Self, PlacementError> {
        placement::check(record, TIME_INFO_SIZE)?;
        Ok(Self(record))
    }

    /// The address of the record, to tell it to the host.
    #[inline]
    pub const fn as_ptr(self) -> NonNull<TimeInfo> {
        self.0
    }

    /// Reads the time.
    ///
    /// `tsc` reads the TSC of the CPU that the record belongs to, as
    /// `lfence; rdtsc` in one `asm!` block *without* `nomem`, so that neither
    /// the CPU nor the compiler moves it out of its place. It may run several
    /// times. A TSC before the record's timestamp counts as equal to it.
    ///
    /// Any context, but the thread must not move to another CPU between
    /// choosing the record and the end of this call. Two readings of one CPU do
    /// not go back while the host keeps its promises;
    /// [`MonotonicClock`](super::MonotonicClock) needs no promises.
    ///
    /// # Errors
    ///
    /// The record was changing at each of
    /// [`MAX_ATTEMPTS`](super::MAX_ATTEMPTS) looks, or holds no valid scale.
    #[inline]
    pub fn read(self, mut tsc: impl FnMut() -> u64) -> Result<Reading, ReadError> {
        let (fields, tsc) = read_consistent(|| self.version(), || (self.fields(), tsc()))?;
        let parameters = fields.check()?;
        Ok(Reading {
            ns: parameters.ns_at(tsc),
            tsc,
            flags: parameters.flags,
        })
    }

    /// Copies the parameters of the clock: the rate of the TSC, and what is
    /// needed to turn a time into a TSC deadline.
    ///
    /// Any context, any CPU.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    #[inline]
    pub fn parameters(self) -> Result<Parameters, ReadError> {
        Ok(read_consistent(|| self.version(), || self.fields())?.check()?)
    }

    /// Whether the host has stopped this CPU since the last call; takes the
    /// mark away.
    ///
    /// A guest that was stopped should not take the gap in time for a lockup:
    /// whoever gets `true` resets its watchdogs. One pause gives one `true` per
    /// record, however many callers race. Only this bit of the record is
    /// changed, and nothing is written while it is clear.
    ///
    /// Any context, any CPU.
    #[inline]
    pub fn take_guest_stopped(self) -> bool {
        let stopped = Flags::GUEST_STOPPED.bits();
        // SAFETY: `new` was promised a mapped record and atomic access.
        let flags = unsafe { &(*self.0.as_ptr()).flags };
        // Relaxed: the bit is a message of its own, no other data goes with it.
        flags.load(Ordering::Relaxed) & stopped != 0
            && flags.fetch_and(!stopped, Ordering::Relaxed) & stopped != 0
    }

    #[inline]
    fn version(self) -> u32 {
        // SAFETY: `new` was promised a mapped record and atomic access. The
        // reference is to one atomic and ends here.
        unsafe { (*self.0.as_ptr()).version.load(Ordering::Relaxed) }
    }

    #[inline]
    fn fields(self) -> Fields {
        let record = self.0.as_ptr();
        // SAFETY: as for `version`, for each field.
        unsafe {
            Fields {
                tsc_timestamp: (*record).tsc_timestamp.load(),
                system_time_ns: (*record).system_time_ns.load(),
                multiplier: (*record).tsc_to_system_multiplier.load(Ordering::Relaxed),
                shift: (*record).tsc_shift.load(Ordering::Relaxed),
                flags: (*record).flags.load(Ordering::Relaxed),
            }
        }
    }
}

// SAFETY: the pointer gives atomic access only, to memory that `new` was
// promised to be mapped for all that use it.
unsafe impl Send for TimeInfoPointer {}
// SAFETY: as for `Send`; all methods take the pointer by value.
unsafe impl Sync for TimeInfoPointer {}

impl From<TornError> for ReadError {
    #[inline]
    fn from(error: TornError) -> Self {
        Self::Torn(error)
    }
}

impl From<ScaleError> for ReadError {
    #[inline]
    fn from(error: ScaleError) -> Self {
        Self::Scale(error)
    }
}

impl core::fmt::Display for ReadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Torn(error) => error.fmt(f),
            Self::Scale(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ReadError {}

/// What was copied out, not yet checked.
struct Fields {
    tsc_timestamp: u64,
    system_time_ns: u64,
    multiplier: u32,
    shift: i8,
    flags: u8,
}

impl Fields {
    #[inline]
    fn check(self) -> Result<Parameters, ScaleError> {
        Ok(Parameters {
            tsc_timestamp: self.tsc_timestamp,
            system_time_ns: self.system_time_ns,
            scale: TscScale::new(self.multiplier, self.shift)?,
            flags: Flags::from_bits_retain(self.flags),
        })
    }
}

const TIME_INFO_SIZE: usize = 32;

// loom's atomics are larger.
#[cfg(not(all(loom, test)))]
const _: () = {
    use core::mem::{align_of, offset_of, size_of};
    assert!(size_of::<TimeInfo>() == TIME_INFO_SIZE && align_of::<TimeInfo>() == 8);
    assert!(offset_of!(TimeInfo, version) == 0);
    assert!(offset_of!(TimeInfo, tsc_timestamp) == 8);
    assert!(offset_of!(TimeInfo, system_time_ns) == 16);
    assert!(offset_of!(TimeInfo, tsc_to_system_multiplier) == 24);
    assert!(offset_of!(TimeInfo, tsc_shift) == 28);
    assert!(offset_of!(TimeInfo, flags) == 29);
    assert!(offset_of!(TimeInfo, reserved_30) == 30);
};
