//! The host's time of day together with the time-stamp counter: what a kernel needs that keeps its
//! own time of day by the host's.

use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use pvops_core::{Kernel, atomic64};
use spin::Once;
use spin::mutex::SpinMutex;

use crate::hypercall::{HypercallError, HypercallNumber, hypercall};
use crate::shared;

/// The host's time of day, and what this guest's time-stamp counter was then.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClockPair {
    /// Nanoseconds since 1970, in UTC.
    pub wall_clock_ns: u64,
    /// Ticks, as [`cpu::read_tsc`](fn@pvops_core::cpu::read_tsc) has them.
    pub tsc: u64,
}

/// Asks the host for its clock: KVM_HC_CLOCK_PAIRING of Linux's Documentation/virt/kvm/x86/hypercalls.rst. Not
/// in an interrupt handler; it exits.
///
/// # Errors
///
/// If the host has no such call ([`HypercallError::NO_SUCH_CALL`]), or its own clock is not the time-stamp
/// counter ([`HypercallError::UNSUPPORTED`]), or what it says is no time.
pub fn clock_pair() -> Result<ClockPair, ClockPairError> {
    const WALL_CLOCK: u64 = 0;
    let record = RECORD.get();
    let record = record.ok_or(ClockPairError::Refused(HypercallError::NO_SUCH_CALL))?;
    let _asking = record.asking.lock();
    // SAFETY: the host writes the record only.
    unsafe {
        hypercall(
            HypercallNumber::CLOCK_PAIRING,
            [record.physical, WALL_CLOCK],
        )
    }
    .map_err(ClockPairError::Refused)?;
    record.content.pair().ok_or(ClockPairError::NoTime)
}

/// Why the host's clock is not known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ClockPairError {
    /// The host does not tell.
    Refused(HypercallError),
    /// What it tells is no time between 1970 and 2554.
    NoTime,
}

impl fmt::Display for ClockPairError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClockPairError::Refused(error) => write!(formatter, "{error}"),
            ClockPairError::NoTime => formatter.write_str("the host's time of day is no time"),
        }
    }
}

impl core::error::Error for ClockPairError {}

static RECORD: Once<Record> = Once::new();

struct Record {
    content: &'static Content,
    physical: u64,
    /// One CPU asks at a time.
    asking: SpinMutex<()>,
}

/// `struct kvm_clock_pairing` of arch/x86/include/uapi/asm/kvm_para.h. The host has written it when
/// the call returns.
#[repr(C)]
pub(crate) struct Content {
    seconds: AtomicU64,
    nanoseconds: AtomicU64,
    tsc: AtomicU64,
    _flags_and_padding: [AtomicU32; 10],
}

const _: () = assert!(size_of::<Content>() == 64);

impl Content {
    fn pair(&self) -> Option<ClockPair> {
        const SECOND_NS: u64 = 1_000_000_000;
        let nanoseconds = atomic64::load(&self.nanoseconds, Ordering::Relaxed);
        let seconds = atomic64::load(&self.seconds, Ordering::Relaxed);
        // Signed, but a time before 1970 is none.
        let seconds_ns = seconds.checked_mul(SECOND_NS)?;
        let wall_clock_ns = (nanoseconds < SECOND_NS)
            .then_some(nanoseconds)?
            .checked_add(seconds_ns)?;
        let tsc = atomic64::load(&self.tsc, Ordering::Relaxed);
        Some(ClockPair { wall_clock_ns, tsc })
    }
}

/// Gives the host a place to write to. At boot.
pub(crate) fn start(kernel: &dyn Kernel) {
    let record = shared::of_this_cpu(kernel).and_then(|frame| {
        let content = &frame.clock_pairing;
        Some(Record {
            content,
            physical: shared::physical(kernel, content)?,
            asking: SpinMutex::new(()),
        })
    });
    if let Some(record) = record {
        RECORD.call_once(|| record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(seconds: u64, nanoseconds: u64) -> Content {
        Content {
            seconds: AtomicU64::new(seconds),
            nanoseconds: AtomicU64::new(nanoseconds),
            tsc: AtomicU64::new(7),
            _flags_and_padding: [const { AtomicU32::new(0) }; 10],
        }
    }

    #[test]
    fn a_time_is_taken() {
        let pair = content(1_600_000_000, 999_999_999).pair();
        let expected = ClockPair {
            wall_clock_ns: 1_600_000_000_999_999_999,
            tsc: 7,
        };
        assert_eq!(pair, Some(expected));
    }

    #[test]
    fn nonsense_is_no_time() {
        assert_eq!(content(0, 1_000_000_000).pair(), None);
        assert_eq!(content(-1_i64 as u64, 0).pair(), None);
        assert_eq!(content(0, u64::MAX).pair(), None);
        assert_eq!(content(18_446_744_073, 709_551_616).pair(), None);
        assert!(content(18_446_744_073, 709_551_615).pair().is_some());
    }
}
