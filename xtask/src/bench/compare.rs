//! Two runs against each other.

use std::io::{self, Write};

use super::presentation::figure;
use super::record::Run;
use crate::table;

/// Prints each figure that is not the same, and how many are.
pub(crate) fn print(before: &Run, after: &Run, out: &mut dyn Write) -> io::Result<()> {
    let (mut rows, mut same, mut missing) = (Vec::new(), 0, 0);
    for host in &before.hosts {
        let other = after.hosts.iter().find(|other| {
            (&other.scenario, other.cpus, other.unit) == (&host.scenario, host.cpus, host.unit)
        });
        for benchmark in &host.benchmarks {
            let key = &benchmark.key;
            let Some(now) = other.and_then(|other| other.find(key)) else {
                missing += 1;
                continue;
            };
            let (was, is) = (benchmark.each(), now.each());
            if was == is {
                same += 1;
                continue;
            }
            rows.push(vec![
                host.label(),
                key.group.clone(),
                key.name.clone(),
                key.way.clone(),
                key.size.to_string(),
                format!("{:+.2} %", (is / was - 1.0) * 100.0),
                figure(was),
                figure(is),
                host.unit.name().into(),
            ]);
        }
    }
    if !rows.is_empty() {
        let titles = [&before.commit, &after.commit].map(|commit| commit.as_str());
        let header = [
            "host", "group", "name", "way", "size", "change", titles[0], titles[1], "unit",
        ];
        table::print(out, &header, &rows)?;
    }
    writeln!(
        out,
        "{same} figures are the same, {} are not, {missing} are in the first run only",
        rows.len()
    )
}

#[cfg(test)]
mod tests {
    use super::super::benchmark::tests::costing;
    use super::super::record::tests::{on, run_of};
    use super::*;

    #[test]
    fn what_has_changed_is_told() {
        let run = |cost| {
            run_of(vec![on(
                "tcg",
                vec![
                    costing("op", "a", "raw", 1, 2),
                    costing("op", "b", "raw", 1, cost),
                ],
            )])
        };
        let text = |before: &Run, after: &Run| {
            let mut out = Vec::new();
            print(before, after, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            text(&run(4), &run(4)),
            "2 figures are the same, 0 are not, 0 are in the first run only\n"
        );
        let changed = text(&run(4), &run(5));
        assert!(
            changed.contains("b     raw  1     +25.00 %  4    5    instructions"),
            "{changed}"
        );
        assert!(
            changed.ends_with("1 figures are the same, 1 are not, 0 are in the first run only\n")
        );
        let none = run_of(Vec::new());
        assert!(text(&run(4), &none).starts_with("0 figures are the same, 0 are not, 2 are"));
    }
}
