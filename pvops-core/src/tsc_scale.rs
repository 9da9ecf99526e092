//! TSC ticks to nanoseconds and back, in integers.
//!
//! A hypervisor hands its guests the TSC rate as a 32-bit fraction and a shift,
//! because a guest must turn ticks into nanoseconds without a division and
//! without floating point. The native clock uses the same form, so there is one
//! piece of arithmetic to get right, and it lives here.
//!
//! Source of the format: `pvclock_vcpu_time_info` in Linux
//! `arch/x86/include/asm/pvclock-abi.h`, and `vcpu_time_info` in Xen
//! `xen/include/public/xen.h`.
//!
//! Nothing here panics, and nothing here touches memory or registers: every
//! function may be called from any context.

/// The rate of a TSC: how many nanoseconds one tick lasts.
///
/// One tick is `multiplier * 2^(shift - 32)` nanoseconds. The value always
/// satisfies the bounds that [`new`](Self::new) checks.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct TscScale {
    multiplier: u32,
    shift: i8,
}

/// Why a multiplier and a shift are no usable TSC rate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ScaleError {
    /// The multiplier is zero: time would stand still.
    ZeroMultiplier,
    /// The shift is not in `-31..=31`.
    ShiftOutOfRange,
}

impl TscScale {
    /// The greatest shift in either direction that is accepted.
    ///
    /// A host keeps the multiplier in the upper half of its 32 bits, so the
    /// shift is the binary logarithm of the tick length in nanoseconds, plus
    /// one: 31 covers every TSC from 1 Hz to 10^18 Hz. It is also the bound up
    /// to which each shift below is one 64-bit shift.
    pub const MAX_SHIFT: i8 = 31;

    /// Checks a pair of values that a host wrote.
    ///
    /// # Errors
    ///
    /// A zero multiplier, or a shift beyond [`MAX_SHIFT`](Self::MAX_SHIFT) in
    /// either direction.
    #[inline]
    pub const fn new(multiplier: u32, shift: i8) -> Result<Self, ScaleError> {
        if multiplier == 0 {
            return Err(ScaleError::ZeroMultiplier);
        }
        if shift < -Self::MAX_SHIFT || shift > Self::MAX_SHIFT {
            return Err(ScaleError::ShiftOutOfRange);
        }
        Ok(Self { multiplier, shift })
    }

    /// The most precise scale for a TSC of `tsc_khz` kilohertz.
    ///
    /// The multiplier has its top bit set, and the tick length it stands for is
    /// within one part in 2^32 of the true one: 0.02 milliseconds in a day.
    ///
    /// Returns `None` for 0, and for rates above 4 * 10^15 kHz, which no shift
    /// can express.
    pub const fn from_tsc_khz(tsc_khz: u64) -> Option<Self> {
        if tsc_khz == 0 {
            return None;
        }
        // Of the multipliers round(10^6 * 2^(32 - shift) / tsc_khz), take the
        // one that fills 32 bits. The numerator has at most 20 + 63 bits.
        let mut shift = -Self::MAX_SHIFT;
        while shift <= Self::MAX_SHIFT {
            let numerator = (NS_PER_MS as u128) << (32 - shift);
            let multiplier = (numerator + tsc_khz as u128 / 2) / tsc_khz as u128;
            if multiplier >> 32 == 0 {
                if multiplier >> 31 == 0 {
                    return None;
                }
                return Some(Self {
                    multiplier: multiplier as u32,
                    shift,
                });
            }
            shift += 1;
        }
        None
    }

    /// The length of `ticks` in whole nanoseconds, rounded down.
    ///
    /// Defined as in the ABI: the ticks are shifted by `shift` (a right shift
    /// drops the low bits), then multiplied by `multiplier / 2^32`. Unlike the
    /// usual code for it, no bit is lost on the way: the value is that of
    /// unbounded integers, and [`u64::MAX`] where that does not fit 64 bits. So
    /// more ticks never give fewer nanoseconds.
    #[inline]
    pub const fn ticks_to_ns(self, ticks: u64) -> u64 {
        if self.shift < 0 {
            let product = (ticks >> -self.shift) as u128 * self.multiplier as u128;
            // 63 + 32 bits at most before the shift, so 63 after it.
            return (product >> 32) as u64;
        }
        let product = ticks as u128 * self.multiplier as u128;
        // (ticks << shift) * multiplier >> 32, with nothing shifted out. The
        // right shift is 1 to 32, so both halves can be shifted as 64-bit words.
        let right = 32 - self.shift as u32;
        let (high, low) = ((product >> 64) as u64, product as u64);
        if high >> right != 0 {
            return u64::MAX;
        }
        (low >> right) | (high << (64 - right))
    }

    /// The fewest ticks that last at least `ns` nanoseconds.
    ///
    /// Rounded up, so that a timer armed with the result does not fire early:
    /// `ticks_to_ns` of the result is `ns` or more, and one tick less is too
    /// short. [`u64::MAX`] where 64 bits of ticks are not enough.
    pub const fn ns_to_ticks(self, ns: u64) -> u64 {
        let (up, left) = if self.shift < 0 {
            (32, -self.shift as u32)
        } else {
            (32 - self.shift as u32, 0)
        };
        // ceil((ns << up) / multiplier), in two 64-bit divisions: the remainder
        // has 32 bits, so it can be shifted by up to 32.
        let multiplier = self.multiplier as u64;
        let whole = ns / multiplier;
        let rest = ((ns % multiplier) << up).div_ceil(multiplier);
        let Some(ticks) = checked_shl(whole, up) else {
            return u64::MAX;
        };
        let Some(ticks) = ticks.checked_add(rest) else {
            return u64::MAX;
        };
        match checked_shl(ticks, left) {
            Some(ticks) => ticks,
            None => u64::MAX,
        }
    }

    /// The rate in kilohertz, rounded to nearest; [`u64::MAX`] if greater.
    ///
    /// For every scale that [`from_tsc_khz`](Self::from_tsc_khz) makes from
    /// less than 2^31 kHz this is the rate it was made from. It divides 128-bit
    /// integers: call it at boot, not on a hot path.
    pub const fn tsc_khz(self) -> u64 {
        // 10^6 * 2^(32 - shift) / multiplier: at most 20 + 63 bits above.
        let numerator = (NS_PER_MS as u128) << (32 - self.shift);
        let multiplier = self.multiplier as u128;
        let khz = (numerator + multiplier / 2) / multiplier;
        if khz > u64::MAX as u128 {
            u64::MAX
        } else {
            khz as u64
        }
    }

    /// The 32-bit fraction, never zero.
    #[inline]
    pub const fn multiplier(self) -> u32 {
        self.multiplier
    }

    /// The power of two applied before the fraction, in `-31..=31`.
    #[inline]
    pub const fn shift(self) -> i8 {
        self.shift
    }
}

impl core::fmt::Display for ScaleError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::ZeroMultiplier => "TSC multiplier is zero",
            Self::ShiftOutOfRange => "TSC shift is not in -31..=31",
        })
    }
}

impl core::error::Error for ScaleError {}

const NS_PER_MS: u64 = 1_000_000;

/// `value << bits`, or `None` if that drops a set bit. `bits` is below 64.
const fn checked_shl(value: u64, bits: u32) -> Option<u64> {
    let shifted = value << bits;
    if shifted >> bits == value {
        Some(shifted)
    } else {
        None
    }
}
