//! The figures of the 32-bit kernel, natively and by the VMI ROM.

use super::{Measurement, number, only};

/// The ops that are measured.
pub(crate) const OPS: [&str; 10] = [
    "irq.save_flags",
    "irq.restore_flags",
    "irq.disable",
    "mmu.read_cr3",
    "mmu.write_cr3",
    "mmu.set_pte",
    "mmu.flush_tlb_page",
    "cpu.read_cr0",
    "cpu.read_tsc",
    "time.clock_ns",
];

/// Pieces of the kernel's work.
pub(crate) const WORKLOADS: [&str; 6] = [
    "thread_switch",
    "syscall",
    "program_switch",
    "page_fault",
    "fork_2000_pages",
    "shootdown",
];

/// The entries that a fork of so many pages writes at least, and may put off.
const FORKED_PAGES: u64 = 2000;

/// An op that is bound to one instruction, or to a call of the ROM that executes it, costs less than a trap
/// would.
///
/// # Errors
///
/// A figure is missing, comes twice, or is not what it must be; the error says which.
pub(crate) fn check_ops(measurements: &[Measurement], _cpus: u16) -> Result<(), String> {
    let trap = op(measurements, "trap")?;
    for name in OPS {
        let cost = op(measurements, name)?;
        if cost == 0.0 || name == "irq.disable" && cost >= trap {
            return Err(format!(
                "{name} costs {cost} instructions, and a trap {trap}"
            ));
        }
    }
    Ok(())
}

/// In lazy mode, a fork's entries wait, and many are made up for at a time.
///
/// # Errors
///
/// As for [`check_ops`].
pub(crate) fn check_lazy(measurements: &[Measurement], _cpus: u16) -> Result<(), String> {
    let fork = calls(measurements, "fork_2000_pages")?;
    if fork.deferred < FORKED_PAGES || fork.flushes * 10 > fork.deferred {
        return Err(format!(
            "forking put off {} updates, and made up for them {} times",
            fork.deferred, fork.flushes
        ));
    }
    Ok(())
}

/// Without it, nothing waits.
///
/// # Errors
///
/// As for [`check_ops`].
pub(crate) fn check_eager(measurements: &[Measurement], _cpus: u16) -> Result<(), String> {
    for name in WORKLOADS {
        let deferred = calls(measurements, name)?.deferred;
        if deferred != 0 {
            return Err(format!("{name} put off {deferred} updates"));
        }
    }
    Ok(())
}

/// What the ROM has counted.
pub(crate) struct Calls {
    pub(crate) rounds: u64,
    pub(crate) calls: u64,
    pub(crate) deferred: u64,
    pub(crate) flushes: u64,
}

/// What the ROM has counted during a piece of work.
pub(crate) fn calls(measurements: &[Measurement], work: &str) -> Result<Calls, String> {
    let name = format!("calls.{work}");
    let fields = only(measurements, &name, |found, _| found == name)?;
    let field = |key| number(&name, fields, key);
    let calls = Calls {
        rounds: field("rounds")?.max(1),
        calls: field("calls")?,
        deferred: field("deferred")?,
        flushes: field("flushes")?,
    };
    match calls.calls {
        0 => Err(format!("{work} makes no calls: nothing was counted")),
        _ => Ok(calls),
    }
}

/// Instructions of an op.
pub(crate) fn op(measurements: &[Measurement], op: &str) -> Result<f64, String> {
    let name = format!("op.{op}");
    let fields = only(measurements, &name, |found, _| found == name)?;
    Ok(number(&name, fields, "cost")? as f64 / number(&name, fields, "rounds")?.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, Value};

    fn measured(name: &str, fields: &[(&str, u64)]) -> Measurement {
        let fields = fields
            .iter()
            .map(|&(key, value)| (key.to_string(), Value::from(value)));
        (name.into(), Map::from_iter(fields))
    }

    fn ops(disable: u64) -> Vec<Measurement> {
        let cost = |name: &str| if name == "irq.disable" { disable } else { 9000 };
        let op = |name| {
            measured(
                &format!("op.{name}"),
                &[("rounds", 1000), ("cost", cost(name))],
            )
        };
        OPS.into_iter().chain(["trap"]).map(op).collect()
    }

    #[test]
    fn a_call_is_cheaper_than_a_trap_and_not_for_nothing() {
        assert_eq!(check_ops(&ops(8999), 1), Ok(()));
        assert_eq!(
            check_ops(&ops(9000), 1).unwrap_err(),
            "irq.disable costs 9 instructions, and a trap 9"
        );
        assert!(check_ops(&ops(0), 1).is_err());
        assert_eq!(
            check_ops(&ops(1)[1..], 1).unwrap_err(),
            "no measurement of op.irq.save_flags"
        );
    }

    fn works(deferred: u64, flushes: u64) -> Vec<Measurement> {
        let work = |name| {
            measured(
                &format!("calls.{name}"),
                &[
                    ("rounds", 1),
                    ("calls", 9),
                    ("deferred", deferred),
                    ("flushes", flushes),
                ],
            )
        };
        WORKLOADS.into_iter().map(work).collect()
    }

    #[test]
    fn in_lazy_mode_updates_wait_and_without_they_do_not() {
        assert_eq!(check_lazy(&works(2000, 200), 1), Ok(()));
        assert!(check_lazy(&works(1999, 100), 1).is_err());
        assert!(check_lazy(&works(2000, 201), 1).is_err());
        assert_eq!(check_eager(&works(0, 0), 1), Ok(()));
        assert_eq!(
            check_eager(&works(1, 1), 1).unwrap_err(),
            "thread_switch put off 1 updates"
        );
        assert!(check_eager(&[], 1).is_err());
    }
}
