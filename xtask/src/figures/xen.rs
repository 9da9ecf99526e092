//! The figures of a PV guest of Xen: ratios, as Xen's own share changes with its version.

use super::{Measurement, number, only};

/// Two ways to do the same, and how many times the first must cost the second, in tenths. The pages of
/// tables are dear whatever the way, as Xen looks at each entry.
const RATIOS: [(&str, &str, u64); 10] = [
    ("xen.page_table.instruction", "xen.page_table.batch", 20),
    ("xen.page_table.instruction", "xen.page_table.before", 40),
    ("xen.page_table.op", "xen.page_table.batch", 12),
    ("xen.fork.instruction", "xen.fork.batch", 13),
    ("xen.fork.op", "xen.fork.batch", 11),
    (
        "xen.debug_register.instruction",
        "xen.debug_register.op",
        35,
    ),
    ("xen.fs_base.instruction", "xen.fs_base.op", 35),
    ("xen.task_switched.instruction", "xen.task_switched.op", 25),
    (
        "xen.interrupt_flag.instruction",
        "xen.interrupt_flag.op",
        100,
    ),
    (
        "xen.interrupt_flag.direct_call",
        "xen.interrupt_flag.op",
        11,
    ),
];

/// # Errors
///
/// A figure is missing, comes twice, or is not what it must be; the error says which.
pub(crate) fn check(measurements: &[Measurement], _cpus: u16) -> Result<(), String> {
    for (more, less, tenths) in RATIOS {
        let [more_cost, less_cost] = [more, less].map(|name| {
            let fields = only(measurements, name, |found, _| found == name)?;
            number(name, fields, "cost")
        });
        let (more_cost, less_cost) = (more_cost?, less_cost?);
        if less_cost == 0 || u128::from(more_cost) * 10 < u128::from(less_cost) * u128::from(tenths)
        {
            return Err(format!(
                "{more} costs {more_cost}, {less} {less_cost}: it must be {}.{} times as much",
                tenths / 10,
                tenths % 10
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, Value};

    fn measured(name: &str, cost: u64) -> Measurement {
        let fields = Map::from_iter([("cost".to_string(), Value::from(cost))]);
        (name.into(), fields)
    }

    /// Each way once, with costs that just suffice.
    fn sufficient() -> Vec<Measurement> {
        [
            ("xen.page_table.instruction", 4_000),
            ("xen.page_table.batch", 1_000),
            ("xen.page_table.before", 1_000),
            ("xen.page_table.op", 1_200),
            ("xen.fork.instruction", 1_300),
            ("xen.fork.op", 1_100),
            ("xen.fork.batch", 1_000),
            ("xen.debug_register.instruction", 3_500),
            ("xen.debug_register.op", 1_000),
            ("xen.fs_base.instruction", 3_500),
            ("xen.fs_base.op", 1_000),
            ("xen.task_switched.instruction", 2_500),
            ("xen.task_switched.op", 1_000),
            ("xen.interrupt_flag.instruction", 10_000),
            ("xen.interrupt_flag.direct_call", 1_100),
            ("xen.interrupt_flag.op", 1_000),
        ]
        .map(|(name, cost)| measured(name, cost))
        .into()
    }

    #[test]
    fn every_way_must_be_there() {
        assert_eq!(check(&sufficient(), 1), Ok(()));
        for index in 0..sufficient().len() {
            let mut less = sufficient();
            less.remove(index);
            assert!(
                check(&less, 1)
                    .unwrap_err()
                    .starts_with("no measurement of ")
            );
        }
    }

    #[test]
    fn a_batch_must_be_worth_its_while() {
        let mut dear = sufficient();
        dear[6] = measured("xen.fork.batch", 1_001);
        let expected =
            "xen.fork.instruction costs 1300, xen.fork.batch 1001: it must be 1.3 times as much";
        assert_eq!(check(&dear, 1).unwrap_err(), expected);
        dear[6] = measured("xen.fork.batch", 0);
        assert!(check(&dear, 1).is_err());
    }
}
