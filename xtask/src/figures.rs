//! The figures that a boot must reach where the time-stamp counter counts instructions.
//!
//! There they are the same on every machine, so they are asserted like any other result: patched
//! ops execute exactly the instructions of the hand-written form, patching is linear, and the
//! kernel is quick to its first check.

pub(crate) mod vmi;
pub(crate) mod xen;

use serde_json::{Map, Value};

/// The ops that are measured against their hand-written forms, and the lock against a ticket lock.
const CASES: [&str; 12] = [
    "irq.save_flags",
    "irq.restore_flags",
    "irq.enable",
    "irq.disable",
    "mmu.read_cr2",
    "mmu.read_cr3",
    "mmu.write_cr3",
    "cpu.read_msr",
    "cpu.write_msr",
    "cpu.read_tsc",
    "cpu.read_tsc_ordered",
    "lock",
];

/// Numbers of sites whose patching is measured, each ten times the one before.
const PATCHED_SITES: [u64; 3] = [100, 1_000, 10_000];

/// Pieces of a kernel's work, and the most instructions that one may cost.
const WORKLOADS: [(&str, u64); 5] = [
    ("thread_switch", 140),
    ("syscall", 110),
    ("program_switch", 500),
    ("page_fault", 1_150),
    ("fork_2000_pages", 470_000),
];

/// Most instructions for a shootdown, for each CPU that the machine has.
const MAX_SHOOTDOWN_PER_CPU: u64 = 250;

/// Most instructions from the kernel's entry to its first check, without others to start.
const MAX_ENTRY_TO_FIRST_CHECK: u64 = 3_000_000;

/// A measurement: its name, and its other fields as they came.
pub(crate) type Measurement = (String, Map<String, Value>);

/// What checks the figures of a boot with so many CPUs.
pub(crate) type Check = fn(&[Measurement], u16) -> Result<(), String>;

/// # Errors
/// A figure is missing, comes twice, or is not what it must be; the error says which.
pub(crate) fn check(measurements: &[Measurement], cpus: u16) -> Result<(), String> {
    for name in CASES {
        case(name, only(measurements, name, |found, _| found == name)?)?;
    }
    let mut costs = Vec::new();
    for sites in PATCHED_SITES {
        let what = format!("patching {sites} sites");
        let fields = only(measurements, &what, |name, fields| {
            name == "patch" && fields.get("sites") == Some(&sites.into())
        })?;
        costs.push(number(&what, fields, "cost")?);
    }
    linear(&costs)?;
    for (name, max) in WORKLOADS {
        at_most(measurements, name, max)?;
    }
    at_most(
        measurements,
        "shootdown",
        MAX_SHOOTDOWN_PER_CPU * u64::from(cpus),
    )?;
    let max = if cpus == 1 {
        MAX_ENTRY_TO_FIRST_CHECK
    } else {
        u64::MAX
    };
    at_most(measurements, "entry_to_first_check", max)
}

/// One round of what was measured under `name` must cost something, and not more than `max`.
fn at_most(measurements: &[Measurement], name: &str, max: u64) -> Result<(), String> {
    let fields = only(measurements, name, |found, _| found == name)?;
    let rounds = match fields.get("rounds") {
        Some(_) => number(name, fields, "rounds")?.max(1),
        None => 1,
    };
    match number(name, fields, "cost")? {
        0 => Err(format!("{name} is 0: nothing was counted")),
        cost if cost / rounds <= max => Ok(()),
        cost => Err(format!("{name} is {}, more than {max}", cost / rounds)),
    }
}

/// An op as patched against the same by hand and against the call through the table.
fn case(name: &str, fields: &Map<String, Value>) -> Result<(), String> {
    let raw = number(name, fields, "raw")?;
    let patched = number(name, fields, "patched")?;
    let unpatched = number(name, fields, "unpatched")?;
    if fields.get("difference") != Some(&0.into()) || raw != patched {
        return Err(format!(
            "{name} costs {patched} patched and {raw} by hand; the difference must be 0"
        ));
    }
    if unpatched <= patched {
        return Err(format!(
            "{name} costs {patched} patched, but {unpatched} unpatched: it was measured wrong"
        ));
    }
    Ok(())
}

/// Ten times the sites must cost 9.5 to 10.5 times as much.
fn linear(costs: &[u64]) -> Result<(), String> {
    for (pair, sites) in costs.windows(2).zip(PATCHED_SITES) {
        let (less, more) = (u128::from(pair[0]), u128::from(pair[1]));
        if less == 0 || !(95 * less..=105 * less).contains(&(10 * more)) {
            return Err(format!(
                "patching is not linear: {sites} sites cost {less}, {} sites cost {more}",
                10 * sites
            ));
        }
    }
    Ok(())
}

/// The fields of the one measurement that `is_wanted`, by name and fields; `what` describes it.
fn only<'a>(
    measurements: &'a [Measurement],
    what: &str,
    is_wanted: impl Fn(&str, &Map<String, Value>) -> bool,
) -> Result<&'a Map<String, Value>, String> {
    let mut found = measurements
        .iter()
        .filter(|(name, fields)| is_wanted(name, fields));
    match (found.next(), found.next()) {
        (Some((_, fields)), None) => Ok(fields),
        (None, _) => Err(format!("no measurement of {what}")),
        (Some(_), Some(_)) => Err(format!("more than one measurement of {what}")),
    }
}

fn number(what: &str, fields: &Map<String, Value>, key: &str) -> Result<u64, String> {
    let value = fields.get(key).and_then(Value::as_u64);
    value.ok_or_else(|| format!("the measurement of {what} has no number {key:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::Line;
    use crate::transcript::Transcript;

    fn case_line(name: &str) -> String {
        format!(
            r#"@{{"event":"measure","name":"{name}","rounds":1000,"raw":3006,"patched":3006,"unpatched":5006,"difference":0}}"#
        )
    }

    fn patch_line(sites: u64, cost: u64) -> String {
        format!(r#"@{{"event":"measure","name":"patch","sites":{sites},"cost":{cost}}}"#)
    }

    fn entry_line(cost: u64) -> String {
        format!(r#"@{{"event":"measure","name":"entry_to_first_check","cost":{cost}}}"#)
    }

    fn workload_line(name: &str, cost: u64) -> String {
        format!(r#"@{{"event":"measure","name":"{name}","rounds":1000,"cost":{cost}}}"#)
    }

    /// The measurements of a boot as it should be.
    fn log() -> Vec<String> {
        let mut log: Vec<_> = CASES.iter().map(|name| case_line(name)).collect();
        log.extend(
            [(100, 74_030), (1_000, 739_129), (10_000, 7_390_129)].map(|(n, c)| patch_line(n, c)),
        );
        log.extend(WORKLOADS.map(|(name, max)| workload_line(name, max * 1000)));
        log.push(workload_line("shootdown", 250_000));
        log.push(entry_line(2_819_662));
        log
    }

    fn checked(log: &[String]) -> Result<(), String> {
        let mut transcript = Transcript::default();
        for line in log {
            transcript.note(&Line {
                bytes: line.clone().into_bytes(),
                overlong: false,
            });
        }
        check(&transcript.measurements, 1)
    }

    /// The error after the line for `from` is replaced.
    fn error(from: &str, to: &str) -> String {
        let mut log = log();
        let line = log.iter_mut().find(|line| **line == from).unwrap();
        *line = to.into();
        checked(&log).unwrap_err()
    }

    #[test]
    fn a_sound_boot_passes() {
        assert_eq!(checked(&log()), Ok(()));
        let mut more = log();
        more.push(r#"@{"event":"measure","name":"another","cost":1}"#.into());
        assert_eq!(checked(&more), Ok(()));
    }

    #[test]
    fn every_measurement_must_come_once() {
        assert_eq!(checked(&[]), Err("no measurement of irq.save_flags".into()));
        for index in 0..log().len() {
            let mut less = log();
            let line = less.remove(index);
            let reason = checked(&less).unwrap_err();
            assert!(reason.starts_with("no measurement of "), "{reason}");
            let mut twice = log();
            twice.push(line);
            let reason = checked(&twice).unwrap_err();
            assert!(
                reason.starts_with("more than one measurement of "),
                "{reason}"
            );
        }
    }

    #[test]
    fn a_patched_op_must_cost_what_the_instruction_costs() {
        let good = case_line("irq.disable");
        let expected = "irq.disable costs 3007 patched and 3006 by hand; the difference must be 0";
        let bad = good.replace(r#""patched":3006"#, r#""patched":3007"#);
        assert_eq!(error(&good, &bad), expected);
        let bad = bad.replace(r#""difference":0"#, r#""difference":1"#);
        assert_eq!(error(&good, &bad), expected);
        let bad = good.replace(r#""difference":0"#, r#""difference":-1"#);
        assert!(error(&good, &bad).ends_with("the difference must be 0"));
        let bad = good.replace("5006", "3006");
        assert!(error(&good, &bad).ends_with("it was measured wrong"));
        let bad = good.replace("3006", "true");
        assert_eq!(
            error(&good, &bad),
            "the measurement of irq.disable has no number \"raw\""
        );
    }

    #[test]
    fn patching_must_be_linear() {
        let good = patch_line(10_000, 7_390_129);
        // 9.5 and 10.5 times 739,129.
        for cost in [7_021_725, 7_760_855] {
            assert_eq!(
                error(&good, &patch_line(10_000, cost)),
                format!("patching is not linear: 1000 sites cost 739129, 10000 sites cost {cost}")
            );
        }
        let reason = error(&patch_line(100, 74_030), &patch_line(100, 0));
        assert_eq!(
            reason,
            "patching is not linear: 100 sites cost 0, 1000 sites cost 739129"
        );
        error(&good, &patch_line(10_000, u64::MAX));
        for cost in [7_021_726, 7_760_854] {
            let mut log = log();
            log[CASES.len() + 2] = patch_line(10_000, cost);
            assert_eq!(checked(&log), Ok(()), "{cost}");
        }
    }

    #[test]
    fn the_first_check_must_come_soon() {
        let good = entry_line(2_819_662);
        assert_eq!(
            error(&good, &entry_line(3_000_001)),
            "entry_to_first_check is 3000001, more than 3000000"
        );
        assert!(error(&good, &entry_line(0)).contains("nothing was counted"));
    }

    #[test]
    fn a_workload_must_not_cost_more_than_it_may() {
        let good = workload_line("syscall", 110_000);
        assert_eq!(
            error(&good, &workload_line("syscall", 111_000)),
            "syscall is 111, more than 110"
        );
        assert!(error(&good, &workload_line("syscall", 0)).contains("nothing was counted"));
        let good = workload_line("shootdown", 250_000);
        assert_eq!(
            error(&good, &workload_line("shootdown", 251_000)),
            "shootdown is 251, more than 250"
        );
    }

    #[test]
    fn more_cpus_may_take_longer() {
        let mut transcript = Transcript::default();
        for line in log() {
            let line = match line.as_str() {
                line if line.contains("shootdown") => workload_line("shootdown", 1_000_000),
                line if line.contains("entry_to") => entry_line(200_000_000),
                line => line.into(),
            };
            transcript.note(&Line {
                bytes: line.into_bytes(),
                overlong: false,
            });
        }
        assert_eq!(check(&transcript.measurements, 4), Ok(()));
        assert!(check(&transcript.measurements, 3).is_err());
    }
}
