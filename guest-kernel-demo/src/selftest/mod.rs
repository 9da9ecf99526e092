//! The self-test: every op used for what a kernel uses it for.

mod apic;
mod async_page_fault;
mod broadcast;
mod checks;
mod clocks;
mod cpu;
mod extable;
mod hand_over;
mod host_account;
mod hypercalls;
mod irq;
mod kvm;
mod live;
mod lock;
#[cfg(target_arch = "x86_64")]
mod long_mode;
mod mmu;
mod non_maskable;
mod patch;
mod segments;
#[cfg(target_arch = "x86")]
mod short_entries;
mod smp;
mod stopped;
mod suspension;
mod tasks;
mod time;
#[cfg(target_arch = "x86")]
mod vmi;
mod xen_console;
pub(crate) mod xen_domain;
mod xen_events;
mod xen_grants;
mod xen_offline;
#[cfg(target_arch = "x86_64")]
mod xen_pv;
mod xen_rebind;

use core::sync::atomic::{AtomicBool, Ordering};

use pvops_backend_kvm::Features;
use pvops_core::boot_info::CommandLine;
use pvops_core::cpu as op;

use crate::console::{Json, println, report};
use crate::text::{Text, text};
use checks::Check;

/// What a check found, or what is wrong.
type Outcome = Result<Text, Text>;

/// How long a check is to go on that can go on for any time: `long` if the command line says
/// `stress`, else `short`.
fn long_or(long: u64, short: u64) -> u64 {
    if STRESS.load(Ordering::Relaxed) {
        long
    } else {
        short
    }
}

static STRESS: AtomicBool = AtomicBool::new(false);

/// Whether the command line says that the host can't do something.
pub(crate) fn host_lacks(command_line: CommandLine<'_>, ability: &str) -> bool {
    let lacks = command_line.value("host-lacks").unwrap_or("");
    lacks.split(',').any(|lack| lack == ability)
}

/// How the checks went.
pub(crate) struct Summary {
    checks: u32,
    failed: u32,
    skipped: u32,
}

impl Summary {
    /// Whether all is well.
    pub(crate) fn is_pass(&self) -> bool {
        self.failed == 0 && self.checks > 0
    }

    /// Reports the result of this boot.
    pub(crate) fn report(&self) {
        report!(
            "\"event\":\"result\",\"pass\":{},\"checks\":{},\"failed\":{},\"skipped\":{}",
            self.is_pass(),
            self.checks,
            self.failed,
            self.skipped,
        );
    }
}

/// Runs the checks that the command line asks for (`only=` and their names), but not those that the
/// host can't run (`host-lacks=`), and reports each.
pub(crate) fn run(command_line: CommandLine<'_>) -> Summary {
    STRESS.store(command_line.flag("stress"), Ordering::Relaxed);
    let only = command_line.value("only");
    let (mut checks, mut failed, mut skipped) = (0, 0, 0);
    let is_wanted =
        |check: &&Check| only.is_none_or(|only| only.split(',').any(|only| only == check.name));
    for check in checks::of_this_host(command_line).filter(is_wanted) {
        checks += 1;
        let start = op::read_tsc_ordered();
        let (status, detail) = match lacking(check, command_line) {
            Some(reason) => {
                skipped += 1;
                ("skip", reason)
            }
            None => match judged(check) {
                Ok(detail) => ("pass", detail),
                Err(detail) => {
                    failed += 1;
                    ("fail", detail)
                }
            },
        };
        let ticks = op::read_tsc_ordered() - start;
        report!(
            "\"event\":\"check\",\"name\":\"{}\",\"status\":\"{status}\",\"detail\":\"{}\",\
             \"ticks\":{ticks}",
            check.name,
            Json(detail.as_bytes()),
        );
    }
    if let (0, Some(only)) = (checks, only) {
        println!("there is no check {only}");
    }
    Summary {
        checks,
        failed,
        skipped,
    }
}

/// Runs a check; what Xen has traced meanwhile counts too.
fn judged(check: &Check) -> Outcome {
    let detail = (check.run)()?;
    #[cfg(target_arch = "x86_64")]
    crate::xen_trace::judge(check.name)?;
    Ok(detail)
}

/// Why the host can't run a check, if it can't.
fn lacking(check: &Check, command_line: CommandLine<'_>) -> Option<Text> {
    let mut needs = check.needs.into_iter().flat_map(|needs| needs.split(','));
    if let Some(need) = needs.find(|need| host_lacks(command_line, need)) {
        return Some(text!("the host lacks {need}"));
    }
    let not_given = check.kvm.difference(Features::in_use());
    if !not_given.is_empty() {
        return Some(text!("KVM does not give {not_given:?}"));
    }
    (check.lacks)()
}
