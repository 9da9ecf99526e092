//! What ops cost by the VMI ROM, and how often it is called, as the tables in `docs/vmi.md`.

use std::io::Write;

use anyhow::{anyhow, bail};

use super::{figure, xen::measurements};
use crate::figures::Measurement;
use crate::figures::vmi::{OPS, WORKLOADS, calls, op};
use crate::lab::Lab;

/// Boots the kernel natively, by the ROM, and by the ROM that counts calls, which with lazy mode must count
/// the same twice.
pub(super) fn tables(lab: &mut Lab, out: &mut dyn Write) -> anyhow::Result<String> {
    let native = measurements("native32-icount", lab, out)?;
    let vmi = measurements("vmi-icount", lab, out)?;
    let lazy = measurements("vmi-calls", lab, out)?;
    if measurements("vmi-calls", lab, out)? != lazy {
        bail!("two boots do not count the same");
    }
    let eager = measurements("vmi-calls-eager", lab, out)?;
    let tables = ops(&native, &vmi).and_then(|ops| Ok(format!("{ops}\n{}", works(&lazy, &eager)?)));
    tables.map_err(|reason| anyhow!(reason))
}

fn ops(native: &[Measurement], vmi: &[Measurement]) -> Result<String, String> {
    let mut table = String::from("| op | natively | by the ROM |\n|---|---|---|\n");
    for name in OPS {
        let (native, vmi) = (op(native, name)?, op(vmi, name)?);
        table += &format!("| `{name}` | {} | {} |\n", figure(native), figure(vmi));
    }
    let (native, vmi) = (op(native, "trap")?, op(vmi, "trap")?);
    table += &format!(
        "| a trap and the return from it | {} | {} |\n",
        figure(native),
        figure(vmi)
    );
    Ok(table)
}

fn works(lazy: &[Measurement], eager: &[Measurement]) -> Result<String, String> {
    let mut table = String::from(
        "| workload | calls without lazy mode | calls with | of these put off | made up for at once |\n\
         |---|---|---|---|---|\n",
    );
    for work in WORKLOADS {
        let (with, without) = (calls(lazy, work)?, calls(eager, work)?);
        let each = |calls: u64| figure(calls as f64 / with.rounds as f64);
        let at_once = match with.flushes {
            0 => "-".into(),
            flushes => figure(with.deferred as f64 / flushes as f64),
        };
        table += &format!(
            "| {work} | {} | {} | {} | {at_once} |\n",
            each(without.calls),
            each(with.calls),
            each(with.deferred),
        );
    }
    Ok(table)
}
