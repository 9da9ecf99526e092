//! What this machine can do for a guest.
//!
//! The kernel is told on its command line what the host cannot execute; it does not guess.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::thread;
use std::time::{Duration, Instant};

/// What scenarios ask about the machine.
pub(crate) struct Host {
    /// `/dev/kvm`, or why it cannot be used.
    pub(crate) kvm: Result<Kvm, String>,
    /// The first number of QEMU's version; 0 if that is not known.
    pub(crate) qemu_major: u32,
}

/// Who runs a guest's ring 0 behind `/dev/kvm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kvm {
    /// The CPU, with VT-x or SVM.
    Hardware,
    /// KVM's instruction emulator, on a CPU that shows neither.
    Software,
}

impl Host {
    /// `qemu` is its name and version.
    pub(crate) fn detect(qemu: &str) -> Self {
        Self {
            kvm: Kvm::detect(),
            qemu_major: major(qemu),
        }
    }
}

impl Kvm {
    pub(crate) fn detect() -> Result<Self, String> {
        let device = OpenOptions::new().read(true).write(true).open("/dev/kvm");
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        kvm(device.map(drop), &cpuinfo)
    }
}

fn major(qemu: &str) -> u32 {
    let version = qemu.split(' ').nth(1).unwrap_or_default();
    version.split('.').next().unwrap_or("").parse().unwrap_or(0)
}

/// The rate of this machine's time-stamp counter, measured for a twentieth of a second.
///
/// # Errors
/// The machine has none.
pub(crate) fn tsc_khz() -> Result<u64, String> {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: reading the time-stamp counter has no effect.
        let read = || at_one_moment(|| unsafe { std::arch::x86_64::_rdtsc() }, Instant::now);
        let (start, start_time) = read();
        thread::sleep(Duration::from_millis(50));
        let (end, end_time) = read();
        let microseconds = (end_time - start_time).as_micros().max(1);
        Ok((u128::from(end.wrapping_sub(start)) * 1000 / microseconds) as u64)
    }
    #[cfg(not(target_arch = "x86_64"))]
    Err("this machine has no time-stamp counter".into())
}

/// Reads a counter and a clock. Of several readings it is the one with the fewest counts around the
/// clock's: in another one this program may have stood still between the two.
fn at_one_moment<T>(counter: impl Fn() -> u64, clock: impl Fn() -> T) -> (u64, T) {
    let read = || {
        let (before, time, after) = (counter(), clock(), counter());
        (after.wrapping_sub(before), before, time)
    };
    let mut best = read();
    for _ in 1..16 {
        let other = read();
        if other.0 < best.0 {
            best = other;
        }
    }
    (best.1, best.2)
}

fn kvm(device: io::Result<()>, cpuinfo: &str) -> Result<Kvm, String> {
    match device {
        Ok(()) if has_flag(cpuinfo, &["vmx", "svm"]) => Ok(Kvm::Hardware),
        Ok(()) => Ok(Kvm::Software),
        Err(error) => Err(match error.kind() {
            ErrorKind::NotFound => "there is no /dev/kvm".into(),
            ErrorKind::PermissionDenied => "/dev/kvm: permission denied".into(),
            _ => format!("/dev/kvm: {error}"),
        }),
    }
}

fn has_flag(cpuinfo: &str, wanted: &[&str]) -> bool {
    cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(key, _)| key.trim() == "flags")
        .flat_map(|(_, flags)| flags.split_whitespace())
        .any(|flag| wanted.contains(&flag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const WITH_SVM: &str = "processor\t: 0\nmodel name\t: some cpu\nflags\t\t: fpu svm lm\n";
    const WITH_VMX: &str = "flags\t\t: fpu lm vmx\n";
    /// `vmx flags` is another line, and `svm_lock` another flag.
    const WITHOUT: &str =
        "model name\t: svm vmx\nflags\t\t: fpu lm svm_lock\nvmx flags\t: vnmi vmx\n";

    #[test]
    fn virtualization_comes_from_the_flags_line_only() {
        assert_eq!(kvm(Ok(()), WITH_SVM), Ok(Kvm::Hardware));
        assert_eq!(kvm(Ok(()), WITH_VMX), Ok(Kvm::Hardware));
        assert_eq!(kvm(Ok(()), WITHOUT), Ok(Kvm::Software));
        assert_eq!(kvm(Ok(()), ""), Ok(Kvm::Software));
    }

    #[test]
    fn an_unusable_device_has_a_reason() {
        for (kind, reason) in [
            (ErrorKind::NotFound, "there is no /dev/kvm"),
            (ErrorKind::PermissionDenied, "/dev/kvm: permission denied"),
        ] {
            assert_eq!(kvm(Err(kind.into()), WITH_SVM), Err(reason.to_string()));
        }
    }

    #[test]
    fn the_first_number_of_the_version_is_known() {
        assert_eq!(major("QEMU 7.2.22"), 7);
        assert_eq!(major("QEMU 10.0.2"), 10);
        assert_eq!([major("QEMU ?"), major("QEMU"), major("")], [0; 3]);
    }

    #[test]
    fn a_reading_that_stood_still_is_not_taken() {
        let calls = Cell::new(0);
        let counter = || {
            let call = calls.replace(calls.get() + 1);
            let (reading, is_second) = (call / 2, call % 2);
            reading * 1000 + is_second * if reading == 4 { 3 } else { 500 }
        };
        let reading = || calls.get() / 2;
        assert_eq!(at_one_moment(counter, reading), (4000, 4));
    }
}
