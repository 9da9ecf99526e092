//! The report as Markdown.

use super::presentation::{self, Group};
use super::record::Run;

pub(crate) fn report(run: &Run) -> String {
    let mut text = format!(
        "# Benchmarks\n\nCommit {}, {}.\n\n| scenario | CPUs | host | unit |\n|---|---|---|---|\n",
        run.commit, run.date
    );
    for host in &run.hosts {
        text += &format!(
            "| {} | {} | {} | {} |\n",
            escaped(&host.label()),
            host.cpus,
            escaped(&host.host),
            presentation::unit(host)
        );
    }
    for group in presentation::groups(run) {
        text += &format!(
            "\n## {}\n\n{}\n\n{}",
            escaped(&group.title),
            group.about,
            table(&group)
        );
    }
    text
}

/// In each cell first the ratio, then the figure.
fn table(group: &Group<'_>) -> String {
    let hosts = group.hosts.iter();
    let header = hosts.map(|host| format!(" {}, {} |", escaped(&host.label()), host.unit.name()));
    let mut table = format!(
        "| | |{}\n|---|---|{}\n",
        header.collect::<String>(),
        "---|".repeat(group.hosts.len())
    );
    for row in &group.rows {
        table += &format!("| {} | {} |", escaped(&row.key.name), escaped(&row.way()));
        for cell in &row.cells {
            let text = cell.as_ref().map(|cell| {
                let figure = presentation::figure(cell.benchmark.each());
                match presentation::ratio(cell) {
                    Some(ratio) => format!("{ratio}: {figure}"),
                    None => figure,
                }
            });
            table += &format!(" {} |", text.unwrap_or_default());
        }
        table.push('\n');
    }
    table
}

/// Names come from a guest.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '<'], " ")
}

#[cfg(test)]
mod tests {
    use super::super::benchmark::tests::costing;
    use super::super::record::tests::{on, run_of};
    use super::*;

    #[test]
    fn ratios_come_first_and_every_figure_has_host_and_unit() {
        let benchmarks = vec![
            costing("op", "irq|x", "raw", 1, 2),
            costing("op", "irq|x", "patched", 1, 3),
        ];
        let text = report(&run_of(vec![on("tcg-icount", benchmarks)]));
        assert!(text.contains("| tcg-icount | 1 | QEMU, tcg-icount | instructions, "));
        let table = text.split("## Op cost").nth(1).unwrap();
        let lines: Vec<_> = table.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(
            lines,
            [
                "| | | tcg-icount, instructions |",
                "|---|---|---|",
                "| irq\\|x | raw | 2 |",
                "| irq\\|x | patched | 1.50 × raw: 3 |",
            ]
        );
    }
}
