//! Steal time against the host's own account.

use std::collections::BTreeMap;

/// How long each virtual CPU was ready to run and did not, by its number, in nanoseconds. All are
/// empty if nobody has told.
#[derive(Default)]
pub(crate) struct Steal {
    /// As the kernel has read it.
    pub(crate) kernel_ns: BTreeMap<String, u64>,
    /// As the host's scheduler has counted it, later.
    pub(crate) host_ns: BTreeMap<String, u64>,
    /// As the kernel has read it after that.
    pub(crate) kernel_after_ns: BTreeMap<String, u64>,
}

/// How far the host's may be outside the kernel's two, in percent of the host's.
const TOLERANCE_PERCENT: f64 = 5.0;

impl Steal {
    /// # Errors
    /// The kernel and the host do not agree; the error says on what.
    pub(crate) fn check(&self) -> Result<(), String> {
        let same_cpus = |kernel: &BTreeMap<String, u64>| kernel.keys().eq(self.host_ns.keys());
        if !same_cpus(&self.kernel_ns) || !same_cpus(&self.kernel_after_ns) {
            return Err(format!(
                "the kernel told the stolen time of {} CPUs and then of {}, the host of {}",
                self.kernel_ns.len(),
                self.kernel_after_ns.len(),
                self.host_ns.len()
            ));
        }
        for (cpu, kernel_ns, host_ns) in self.by_cpu() {
            let after_ns = self.kernel_after_ns[cpu];
            let more = apart_percent(kernel_ns, host_ns) > TOLERANCE_PERCENT;
            let less = apart_percent(after_ns, host_ns) < -TOLERANCE_PERCENT;
            if more || less {
                return Err(format!(
                    "the kernel says that {kernel_ns} ns to {after_ns} ns were stolen from CPU {cpu}, the \
                     host {host_ns}"
                ));
            }
        }
        Ok(())
    }

    /// Each CPU, and the nanoseconds by the kernel and by the host.
    pub(crate) fn by_cpu(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        self.kernel_ns.iter().filter_map(|(cpu, &kernel_ns)| {
            let &host_ns = self.host_ns.get(cpu)?;
            Some((cpu.as_str(), kernel_ns, host_ns))
        })
    }
}

/// How much more the kernel says than the host, in percent of what the host says.
pub(crate) fn apart_percent(kernel_ns: u64, host_ns: u64) -> f64 {
    let (kernel, host) = (kernel_ns as f64, host_ns.max(1) as f64);
    (kernel - host) * 100.0 / host
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steal(kernel_ns: &[u64], host_ns: &[u64], kernel_after_ns: &[u64]) -> Steal {
        let by_number = |ns: &[u64]| {
            let numbers = (0..).map(|cpu: u32| cpu.to_string());
            numbers.zip(ns.iter().copied()).collect()
        };
        Steal {
            kernel_ns: by_number(kernel_ns),
            host_ns: by_number(host_ns),
            kernel_after_ns: by_number(kernel_after_ns),
        }
    }

    #[test]
    fn the_host_may_be_five_percent_outside() {
        assert_eq!(steal(&[], &[], &[]).check(), Ok(()));
        let host = &[100; 4];
        let agreed = steal(&[95, 105, 100, 20], host, &[95, 105, 100, 900]);
        assert_eq!(agreed.check(), Ok(()));
        for (kernel, after) in [(94, 94), (106, 106), (106, 200)] {
            let reason = format!(
                "the kernel says that {kernel} ns to {after} ns were stolen from CPU 1, the host 100"
            );
            let steal = steal(&[100, kernel], &[100, 100], &[100, after]);
            assert_eq!(steal.check(), Err(reason));
        }
        assert!(steal(&[100], &[0], &[100]).check().is_err());
    }

    #[test]
    fn both_tell_of_the_same_cpus() {
        let reason = |kernel, after, host| {
            format!(
                "the kernel told the stolen time of {kernel} CPUs and then of {after}, the host of {host}"
            )
        };
        assert_eq!(steal(&[7], &[], &[7]).check(), Err(reason(1, 1, 0)));
        assert_eq!(steal(&[], &[7], &[]).check(), Err(reason(0, 0, 1)));
        assert_eq!(steal(&[7], &[7, 7], &[7]).check(), Err(reason(1, 1, 2)));
        assert_eq!(steal(&[7], &[7], &[]).check(), Err(reason(1, 0, 1)));
    }
}
