//! The time of day, from the real-time clock of a PC.
//!
//! Motorola MC146818 data sheet; ports 0x70 (index, and the NMI mask in bit 7) and 0x71 (data). The
//! clock is taken to run in UTC and the year to be one from 2000 to 2099: where it keeps the
//! century depends on the machine.

use pvops_core::io;

const INDEX: u16 = 0x70;
const DATA: u16 = 0x71;

const SECONDS: u8 = 0;
const MINUTES: u8 = 2;
const HOURS: u8 = 4;
const DAY: u8 = 7;
const MONTH: u8 = 8;
const YEAR: u8 = 9;
const STATUS_A: u8 = 10;
const STATUS_B: u8 = 11;
const STATUS_D: u8 = 13;

/// Status A: the clock is being updated, or will be within 244 microseconds.
const UPDATING: u8 = 1 << 7;
/// Status B: hours count to 24; numbers are binary.
const HOURS_24: u8 = 1 << 1;
const BINARY: u8 = 1 << 2;
/// Hours that count to 12: afternoon.
const AFTERNOON: u8 = 1 << 7;
/// Status D: the clock had power. The other bits are 0 in a PC's first clock; Intel's chipsets have the day of
/// the alarm in bits 0 to 5. Where there is no clock, all bits read as 1.
const VALID: u8 = 1 << 7;
const ALWAYS_ZERO: u8 = 1 << 6;

/// An update takes up to 2 ms, a port read about a microsecond.
const MAX_POLLS: u32 = 10_000;
/// Readings that may differ because an update came in between.
const MAX_READINGS: u32 = 4;

/// The op `time.wall_clock_ns`.
pub(crate) unsafe extern "C" fn wall_clock_ns() -> u64 {
    seconds().map_or(0, |seconds| seconds * 1_000_000_000)
}

/// Seconds since the Unix epoch; `None` if there is no clock that makes sense.
fn seconds() -> Option<u64> {
    if !is_valid(read(STATUS_D)) {
        return None;
    }
    let mut last = None;
    for _ in 0..MAX_READINGS {
        wait_for_update()?;
        let now = [SECONDS, MINUTES, HOURS, DAY, MONTH, YEAR].map(read);
        if last == Some(now) {
            return decode(now, read(STATUS_B));
        }
        last = Some(now);
    }
    None
}

fn is_valid(status_d: u8) -> bool {
    status_d & (VALID | ALWAYS_ZERO) == VALID
}

fn wait_for_update() -> Option<()> {
    (0..MAX_POLLS)
        .any(|_| read(STATUS_A) & UPDATING == 0)
        .then_some(())
}

fn read(register: u8) -> u8 {
    // SAFETY: selects and reads a register of the clock without effect on it, and leaves NMIs on.
    unsafe {
        io::out8(INDEX, register);
        io::in8(DATA)
    }
}

/// Seconds, minutes, hours, day, month and year as the clock has them.
fn decode(registers: [u8; 6], status_b: u8) -> Option<u64> {
    let afternoon = status_b & HOURS_24 == 0 && registers[2] & AFTERNOON != 0;
    let mut numbers = registers;
    if status_b & HOURS_24 == 0 {
        numbers[2] &= !AFTERNOON;
    }
    if status_b & BINARY == 0 {
        for number in &mut numbers {
            if *number & 0xf > 9 || *number >> 4 > 9 {
                return None;
            }
            *number = (*number >> 4) * 10 + (*number & 0xf);
        }
    }
    if status_b & HOURS_24 == 0 {
        if !(1..=12).contains(&numbers[2]) {
            return None;
        }
        numbers[2] = numbers[2] % 12 + if afternoon { 12 } else { 0 };
    }
    let [second, minute, hour, day, month, year] = numbers.map(u64::from);
    let is_time = second < 60 && minute < 60 && hour < 24;
    let is_date = (1..=31).contains(&day) && (1..=12).contains(&month) && year < 100;
    (is_time && is_date)
        .then(|| ((days(2000 + year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, from 1970 on.
fn days(year: u64, month: u64, day: u64) -> u64 {
    // Years that begin in March end with the leap day. The months from March on have 31, 30, 31, 30,
    // 31 days again and again, 153 in five.
    let year = year - u64::from(month <= 2);
    let month = (month + 9) % 12;
    let before_year = year * 365 + year / 4 - year / 100 + year / 400;
    const UNTIL_1970: u64 = 719_468;
    before_year + (153 * month + 2) / 5 + day - 1 - UNTIL_1970
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_become_seconds() {
        let decoded = |registers| decode(registers, HOURS_24 | BINARY);
        assert_eq!(decoded([0, 0, 0, 1, 1, 20]), Some(1_577_836_800));
        assert_eq!(decoded([59, 59, 23, 29, 2, 24]), Some(1_709_251_199));
        assert_eq!(decoded([0, 0, 0, 1, 3, 24]), Some(1_709_251_200));
        assert_eq!(decoded([0, 0, 0, 1, 1, 0]), Some(946_684_800));
        assert_eq!(decoded([59, 59, 23, 31, 12, 99]), Some(4_102_444_799));
    }

    #[test]
    fn decimal_digits_and_halves_of_the_day_are_understood() {
        let binary = decode([56, 34, 23, 9, 10, 21], HOURS_24 | BINARY);
        assert!(binary.is_some());
        let decimal = [0x56, 0x34, 0x23, 0x09, 0x10, 0x21];
        assert_eq!(decode(decimal, HOURS_24), binary);
        let afternoon = [0x56, 0x34, 0x11 | AFTERNOON, 0x09, 0x10, 0x21];
        assert_eq!(decode(afternoon, 0), binary);
        let midnight = decode([0, 0, 12, 1, 1, 20], BINARY);
        assert_eq!(midnight, Some(1_577_836_800));
        let noon = decode([0, 0, 12 | AFTERNOON, 1, 1, 20], BINARY);
        assert_eq!(noon, Some(1_577_836_800 + 12 * 3600));
    }

    #[test]
    fn the_day_of_an_alarm_is_no_fault_of_the_clock() {
        assert!(is_valid(VALID) && is_valid(VALID | 31));
        assert!(!is_valid(0) && !is_valid(31) && !is_valid(0xff));
    }

    #[test]
    fn what_is_no_date_is_none() {
        assert_eq!(decode([0xff; 6], 0xff), None);
        assert_eq!(decode([0; 6], BINARY), None);
        assert_eq!(decode([60, 0, 0, 1, 1, 20], HOURS_24 | BINARY), None);
        assert_eq!(decode([0x0a, 0, 0, 1, 1, 0x20], HOURS_24), None);
        assert_eq!(decode([0, 0, 13, 1, 1, 20], BINARY), None);
        assert_eq!(decode([0, 0, 0, 1, 13, 20], HOURS_24 | BINARY), None);
    }
}
