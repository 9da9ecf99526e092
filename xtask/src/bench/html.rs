//! The report as one HTML file: nothing is loaded, and nothing runs.

use super::presentation::{self, Cell, Group, Row};
use super::record::{HostRun, Run};

pub(crate) fn report(run: &Run) -> String {
    let groups: String = presentation::groups(run)
        .iter()
        .map(|group| section(run, group))
        .collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>pvops benchmarks</title>\n<style>\n{}</style>\n</head>\n<body>\n\
         <h1>pvops benchmarks</h1>\n<p>Commit {}, {}.</p>\n<ul class=\"hosts\">{}</ul>\n{groups}\
         </body>\n</html>\n",
        include_str!("report.css"),
        escaped(&run.commit),
        escaped(&run.date),
        run.hosts.iter().map(host_line).collect::<String>(),
    )
}

/// How many there are in the style sheet.
const COLOURS: usize = 10;

/// Which colour is which host's.
fn colour(run: &Run, host: &HostRun) -> usize {
    let position = run.hosts.iter().position(|other| std::ptr::eq(other, host));
    position.unwrap_or(0) % COLOURS
}

fn host_line(host: &HostRun) -> String {
    let cpus = match host.cpus {
        1 => "1 CPU".into(),
        count => format!("{count} CPUs"),
    };
    format!(
        "<li><b>{}</b>: {}, {cpus}; {}</li>",
        escaped(&host.scenario),
        escaped(&host.host),
        presentation::unit(host)
    )
}

fn section(run: &Run, group: &Group<'_>) -> String {
    let key: String = group
        .hosts
        .iter()
        .map(|host| {
            format!(
                "<li style=\"--host: var(--h{})\">{}, {}</li>",
                colour(run, host),
                escaped(&host.label()),
                host.unit.name()
            )
        })
        .collect();
    let cards = group.rows.chunk_by(|a, b| a.key.name == b.key.name);
    format!(
        "<section>\n<h2>{}</h2>\n<p>{}</p>\n<ul class=\"key\">{key}</ul>\n<div class=\"cards\">\n{}\
         </div>\n{}{}</section>\n",
        escaped(&group.title),
        escaped(group.about),
        cards.map(|rows| card(run, group, rows)).collect::<String>(),
        table(group),
        samples(group),
    )
}

/// The bars of one piece of work, from 0, all on one scale.
fn card(run: &Run, group: &Group<'_>, rows: &[Row<'_>]) -> String {
    let figures = rows.iter().flat_map(|row| row.cells.iter().flatten());
    let most = figures
        .map(|cell| cell.benchmark.each())
        .fold(0.0, f64::max);
    let rows_html: String = rows
        .iter()
        .map(|row| {
            let bars = bars(run, group, row, most);
            match row.way().as_str() {
                "" => format!("<div class=\"row alone\">{bars}</div>\n"),
                way => format!(
                    "<div class=\"row\"><span class=\"way\">{}</span>{bars}</div>\n",
                    escaped(way)
                ),
            }
        })
        .collect();
    let name = rows.first().map_or("", |row| &row.key.name);
    format!(
        "<div class=\"card\"><h3>{}</h3>\n{rows_html}</div>\n",
        escaped(name)
    )
}

fn bars(run: &Run, group: &Group<'_>, row: &Row<'_>, most: f64) -> String {
    const HEIGHT: usize = 14;
    /// In percent; the rest is for the figure.
    const LONGEST: f64 = 62.0;
    let mut shapes = String::new();
    let mut count = 0;
    for (host, cell) in group.hosts.iter().zip(&row.cells) {
        let Some(cell) = cell else { continue };
        let value = cell.benchmark.each();
        let width = match most > 0.0 {
            true => (value / most * LONGEST).max(0.4),
            false => 0.4,
        };
        let (colour, figure) = (colour(run, host), presentation::figure(value));
        shapes += &format!(
            "<rect y=\"{}\" width=\"{width:.2}%\" height=\"{}\" rx=\"2\" fill=\"var(--h{colour})\">\
             <title>{}: {figure} {}</title></rect><text x=\"{width:.2}%\" dx=\"5\" y=\"{}\">{figure}</text>",
            count * HEIGHT + 2,
            HEIGHT - 4,
            escaped(&host.label()),
            host.unit.name(),
            count * HEIGHT + HEIGHT - 3,
        );
        count += 1;
    }
    format!(
        "<svg height=\"{}\" role=\"img\">{shapes}</svg>",
        count * HEIGHT
    )
}

/// In each cell first the ratio, then the figure.
fn table(group: &Group<'_>) -> String {
    let label = |host: &HostRun| format!("{}, {}", escaped(&host.label()), host.unit.name());
    let head: String = group
        .hosts
        .iter()
        .map(|host| format!("<th scope=\"col\">{}</th>", label(host)))
        .collect();
    let body: String = group
        .rows
        .iter()
        .map(|row| {
            let mut cells = format!("<tr><th scope=\"row\">{}</th>", row_title(row));
            for (host, cell) in group.hosts.iter().zip(&row.cells) {
                cells += &labelled(
                    &label(host),
                    &cell.as_ref().map(figures).unwrap_or_default(),
                );
            }
            cells + "</tr>\n"
        })
        .collect();
    format!(
        "<div class=\"table\"><table>\n<thead><tr><th></th>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n\
         </table></div>\n"
    )
}

fn figures(cell: &Cell<'_>) -> String {
    let figure = presentation::figure(cell.benchmark.each());
    match presentation::ratio(cell) {
        Some(ratio) => format!(
            "<span>{} <span class=\"figure\">{figure}</span></span>",
            escaped(&ratio)
        ),
        None => format!("<span>{figure}</span>"),
    }
}

/// All that was told of each figure.
fn samples(group: &Group<'_>) -> String {
    const COLUMNS: [&str; 7] = [
        "host",
        "min",
        "median",
        "p99",
        "samples",
        "rounds in each",
        "empty loop",
    ];
    let head: String = COLUMNS
        .map(|title| format!("<th scope=\"col\">{title}</th>"))
        .concat();
    let mut body = String::new();
    for row in &group.rows {
        for (host, cell) in group.hosts.iter().zip(&row.cells) {
            let Some(cell) = cell else { continue };
            let figure = cell.benchmark;
            let each = |ticks| presentation::figure(figure.per_round(ticks));
            let cells = [
                escaped(&host.label()),
                each(figure.min),
                each(figure.median),
                each(figure.p99),
                figure.n.to_string(),
                figure.rounds.to_string(),
                each(figure.overhead),
            ];
            let cells = COLUMNS
                .iter()
                .zip(cells)
                .map(|(label, cell)| labelled(label, &cell));
            body += &format!(
                "<tr><th scope=\"row\">{}</th>{}</tr>\n",
                row_title(row),
                cells.collect::<String>()
            );
        }
    }
    format!(
        "<details><summary>Samples</summary>\n<table>\n<thead><tr><th></th>{head}</tr></thead>\n\
         <tbody>\n{body}</tbody>\n</table>\n</details>\n"
    )
}

fn labelled(label: &str, text: &str) -> String {
    format!("<td data-label=\"{label}\">{text}</td>")
}

fn row_title(row: &Row<'_>) -> String {
    match row.way().as_str() {
        "" => escaped(&row.key.name),
        way => escaped(&format!("{}: {way}", row.key.name)),
    }
}

/// Names come from a guest.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::benchmark::tests::costing;
    use super::super::record::tests::{on, run_of};
    use super::*;

    #[test]
    fn a_guest_cannot_add_elements_and_bars_are_to_scale() {
        let benchmarks = vec![
            costing("op", "<script>", "raw", 1, 50),
            costing("op", "<script>", "patched", 1, 100),
        ];
        let page = report(&run_of(vec![on("tcg", benchmarks)]));
        assert!(!page.contains("<script>") && page.contains("&lt;script&gt;: patched"));
        assert!(page.contains("width=\"31.00%\"") && page.contains("width=\"62.00%\""));
        assert!(page.contains("2.00 × raw"));
    }

    #[test]
    fn each_host_of_a_whole_run_has_a_colour_of_its_own_by_day_and_by_night() {
        // `0: #2a78d6` and so on, of the light style and then of the dark one.
        let colours: Vec<_> = include_str!("report.css")
            .split("--h")
            .filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
            .map(|rest| rest[..10].split_once(": #").unwrap())
            .collect();
        let numbers: Vec<_> = (0..COLOURS)
            .chain(0..COLOURS)
            .map(|n| n.to_string())
            .collect();
        assert!(
            colours.iter().map(|(number, _)| number).eq(&numbers),
            "{colours:?}"
        );
        for style in colours.chunks(COLOURS) {
            for (_, colour) in style {
                let same = style.iter().filter(|(_, other)| other == colour);
                assert_eq!(same.count(), 1, "{colour}");
            }
        }
        assert!(crate::bench::DEFAULT.len() <= COLOURS);
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        let page = report(&run_of(vec![on("tcg", vec![costing("op", "a", "", 1, 0)])]));
        assert!(!page.contains("http") && !page.contains("url("));
    }
}
