//! What of a run is shown where: groups, rows, and what each figure is compared with.

use super::benchmark::{Benchmark, Key};
use super::record::{HostRun, Run, Unit};

/// A table and a plot.
pub(crate) struct Group<'r> {
    pub(crate) title: String,
    pub(crate) about: &'static str,
    /// Those that have figures in it.
    pub(crate) hosts: Vec<&'r HostRun>,
    pub(crate) rows: Vec<Row<'r>>,
}

/// One piece of work, done in one way.
pub(crate) struct Row<'r> {
    pub(crate) key: &'r Key,
    /// For each host of the group.
    pub(crate) cells: Vec<Option<Cell<'r>>>,
}

pub(crate) struct Cell<'r> {
    pub(crate) benchmark: &'r Benchmark,
    /// How many times as much as something else, and what.
    pub(crate) ratio: Option<(f64, String)>,
}

/// Groups in the order that they are shown in: name, title, and what is to be known of it.
const GROUPS: [(&str, &str, &str); 4] = [
    (
        "op",
        "Op cost",
        "One op, in a loop. raw: the instruction, with its operands where the op has them. crate: the \
         function of the x86_64 crate, or of core, operands where the compiler likes. dyn: a method of a \
         trait object. table: a pointer in a struct of functions. unpatched, patched: a call site of pvops.",
    ),
    (
        "exit",
        "Trap against hypercall",
        "The same effect by the instruction, by a call of the host, and by the op of pvops; register: by the \
         local APIC's register; direct_call: functions that are called directly, as Linux does on Xen. Names \
         are those of kvm-unit-tests' vmexit where that has the same; of its tscdeadline 3,000 ticks are \
         waiting. ple_round_robin: all CPUs in turn, spinning (instruction) or asleep (op).",
    ),
    (
        "workload",
        "Whole workloads",
        "Pieces of the demo kernel's work. timer_storm: an event, of 1,000 due at once on each CPU. \
         contended_lock: a hold of 200 microseconds of a lock that all CPUs want, by the library's lock and \
         by a ticket lock. boot_to_result: from the entry to the end of one check.",
    ),
    (
        "scaling",
        "Scaling",
        "patch: call sites patched at once. shootdown: of one page, on so many CPUs; munmap: of 16 pages, \
         with their entries. ipi: an interrupt to so many other CPUs, until all have it. set_pte: so many \
         entries of a page table in use, by stores, by ops, and by ops in lazy mode (batch).",
    ),
];

/// Ways that the others are compared with.
const BASES: [&str; 5] = ["raw", "instruction", "store", "register", "ticket"];

/// The groups that have a figure, each of hosts with one CPU, and of those with several. Groups that are not
/// known here come last.
pub(crate) fn groups(run: &Run) -> Vec<Group<'_>> {
    let mut names: Vec<(&str, &str, &'static str)> = GROUPS.to_vec();
    let found = run.hosts.iter().flat_map(|host| &host.benchmarks);
    for key in found.map(|benchmark| &benchmark.key) {
        if names.iter().all(|(name, ..)| *name != key.group) {
            names.push((&key.group, &key.group, ""));
        }
    }
    let groups = names.into_iter().flat_map(|(name, title, about)| {
        [false, true].map(|has_several| {
            let hosts = run.hosts.iter();
            let hosts = hosts.filter(|host| (host.cpus > 1) == has_several);
            let title = match has_several {
                true => format!("{title}, several CPUs"),
                false => title.into(),
            };
            group(name, title, about, hosts.collect())
        })
    });
    groups.filter(|group| !group.rows.is_empty()).collect()
}

fn group<'r>(
    name: &str,
    title: String,
    about: &'static str,
    mut hosts: Vec<&'r HostRun>,
) -> Group<'r> {
    let mut keys = keys(&hosts);
    keys.retain(|key| key.group == name);
    hosts.retain(|host| keys.iter().any(|key| host.find(key).is_some()));
    let rows = keys.into_iter().map(|key| Row {
        key,
        cells: hosts.iter().map(|host| cell(key, host, &hosts)).collect(),
    });
    Group {
        title,
        about,
        rows: rows.collect(),
        hosts,
    }
}

/// Each once, works together: in the order of the first host that has the work.
fn keys<'r>(hosts: &[&'r HostRun]) -> Vec<&'r Key> {
    let mut works: Vec<(&str, &str)> = Vec::new();
    let mut keys: Vec<&Key> = Vec::new();
    for benchmark in hosts.iter().flat_map(|host| &host.benchmarks) {
        let key = &benchmark.key;
        if !works.contains(&(&key.group, &key.name)) {
            works.push((&key.group, &key.name));
        }
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let position = |key: &&Key| {
        let work = works
            .iter()
            .position(|work| *work == (&key.group[..], &key.name[..]));
        let is_base = BASES.contains(&&key.way[..]);
        (work, key.size, !is_base)
    };
    keys.sort_by_key(position);
    keys
}

fn cell<'r>(key: &Key, host: &'r HostRun, hosts: &[&'r HostRun]) -> Option<Cell<'r>> {
    let benchmark = host.find(key)?;
    let base = base(key, host, hosts);
    let ratio = base
        .filter(|(base, _)| base.each() > 0.0)
        .map(|(base, what)| (benchmark.each() / base.each(), what));
    Some(Cell { benchmark, ratio })
}

/// What a figure is compared with: another way on the same host, or the smallest size, or the same on the
/// first host that has it. A base is compared with none.
fn base<'r>(
    key: &Key,
    host: &'r HostRun,
    hosts: &[&'r HostRun],
) -> Option<(&'r Benchmark, String)> {
    let of_host = || host.benchmarks.iter();
    let same_work =
        |other: &&Benchmark| (&other.key.group, &other.key.name) == (&key.group, &key.name);
    let other_way = of_host()
        .filter(same_work)
        .find(|other| other.key.size == key.size && BASES.contains(&&other.key.way[..]));
    if let Some(other) = other_way
        && other.key.way != key.way
    {
        return Some((other, other.key.way.clone()));
    }
    let smallest = of_host()
        .filter(same_work)
        .filter(|other| other.key.way == key.way)
        .min_by_key(|other| other.key.size)?;
    if smallest.key.size != key.size {
        return Some((smallest, format!("size {}", smallest.key.size)));
    }
    let first = hosts
        .iter()
        .find(|other| other.unit == host.unit && other.find(key).is_some())?;
    if std::ptr::eq(*first, host) {
        return None;
    }
    let name = match first.scenario == host.scenario {
        true => first.label(),
        false => first.scenario.clone(),
    };
    Some((first.find(key)?, name))
}

impl Row<'_> {
    /// Without the work's name: way and size, as far as they tell something.
    pub(crate) fn way(&self) -> String {
        match (&self.key.way[..], self.key.size) {
            ("", 1) if self.key.group != "scaling" => String::new(),
            ("", size) => size.to_string(),
            (way, 1) if self.key.group != "scaling" => way.into(),
            (way, size) => format!("{size}, {way}"),
        }
    }
}

/// Unit and remark, as it has to be told wherever figures of the host are.
pub(crate) fn unit(host: &HostRun) -> String {
    match (host.unit, host.is_representative) {
        (Unit::Instructions, _) => "instructions, the hypervisor's included".into(),
        (Unit::Ticks, true) => "ticks of the time-stamp counter".into(),
        (Unit::Ticks, false) => {
            "ticks of the time-stamp counter; NOT REPRESENTATIVE: software emulates the kernel's \
             instructions there"
                .into()
        }
    }
}

/// A figure with as many digits as it needs.
pub(crate) fn figure(value: f64) -> String {
    if value < 99.95 {
        let text = format!("{value:.1}");
        return text.strip_suffix(".0").map(String::from).unwrap_or(text);
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1.50 × raw`.
pub(crate) fn ratio(cell: &Cell<'_>) -> Option<String> {
    let (ratio, what) = cell.ratio.as_ref()?;
    if *ratio >= 99.95 {
        return Some(format!("{} × {what}", figure(*ratio)));
    }
    let digits = match *ratio {
        ratio if ratio < 0.00995 => 4,
        ratio if ratio < 0.0995 => 3,
        ratio if ratio < 9.995 => 2,
        _ => 1,
    };
    Some(format!("{ratio:.digits$} × {what}"))
}

#[cfg(test)]
mod tests {
    use super::super::benchmark::tests::costing;
    use super::super::record::tests::{on, run_of};
    use super::*;

    #[test]
    fn each_figure_is_compared_with_what_it_should_be() {
        let native = vec![
            costing("op", "a", "patched", 1, 3),
            costing("op", "a", "raw", 1, 2),
            costing("scaling", "patch", "", 100, 50),
            costing("scaling", "patch", "", 1000, 450),
        ];
        let xen = vec![costing("op", "a", "patched", 1, 30)];
        let run = run_of(vec![on("native", native), on("xen", xen)]);
        let groups = groups(&run);
        let shown: Vec<_> = groups
            .iter()
            .flat_map(|group| &group.rows)
            .map(|row| {
                let cells = row.cells.iter().map(|cell| {
                    cell.as_ref()
                        .map(|cell| ratio(cell).unwrap_or_default())
                        .unwrap_or("none".into())
                });
                (row.way(), cells.collect::<Vec<_>>())
            })
            .collect();
        let expected = [
            ("raw", vec!["", "none"]),
            ("patched", vec!["1.50 × raw", "10.0 × native"]),
            ("100", vec![""]),
            ("1000", vec!["9.00 × size 100"]),
        ];
        let expected = expected.map(|(way, cells)| {
            let cells = cells.into_iter().map(String::from).collect();
            (way.to_string(), cells)
        });
        assert_eq!(shown, expected);
    }

    #[test]
    fn hosts_with_several_cpus_are_apart() {
        let run_on = |cpus| {
            let mut host = on(
                "kvm",
                vec![costing("exit", "ipi", "op", 1, u64::from(cpus))],
            );
            host.cpus = cpus;
            host
        };
        let run = run_of(vec![run_on(4), run_on(1), run_on(8)]);
        let groups = groups(&run);
        let titles: Vec<_> = groups.iter().map(|group| &group.title[..]).collect();
        assert_eq!(
            titles,
            [
                "Trap against hypercall",
                "Trap against hypercall, several CPUs"
            ]
        );
        let cell = groups[1].rows[0].cells[1].as_ref().unwrap();
        assert_eq!(ratio(cell).unwrap(), "2.00 × kvm, 4 CPUs");
    }

    #[test]
    fn ratios_have_as_many_digits_as_they_need() {
        let shown = |cost, base| {
            let way = |way, cost| costing("exit", "a", way, 1, cost);
            let run = run_of(vec![on("tcg", vec![way("raw", base), way("op", cost)])]);
            ratio(groups(&run)[0].rows[1].cells[0].as_ref().unwrap()).unwrap()
        };
        assert_eq!(shown(7, 1580), "0.0044 × raw");
        assert_eq!(shown(1, 20), "0.050 × raw");
        assert_eq!(shown(1, 2), "0.50 × raw");
        assert_eq!(shown(5000, 1), "5,000 × raw");
    }

    #[test]
    fn different_units_are_not_compared() {
        let mut ticking = on("kvm", vec![costing("workload", "fork", "", 1, 9)]);
        ticking.unit = Unit::Ticks;
        let counting = on("tcg", vec![costing("workload", "fork", "", 1, 3)]);
        let run = run_of(vec![counting, ticking]);
        let groups = groups(&run);
        let cell = groups[0].rows[0].cells[1].as_ref().unwrap();
        assert_eq!(ratio(cell), None);
    }

    #[test]
    fn figures_are_short() {
        let shown = [0.0, 2.0, 2.46, 99.96, 999.5, 3_165_236.4].map(figure);
        assert_eq!(shown, ["0", "2", "2.5", "100", "1,000", "3,165,236"]);
    }
}
