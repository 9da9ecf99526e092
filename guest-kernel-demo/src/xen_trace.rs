//! Xen's trace of what it does for the instructions of this domain, which must be dom0.
//!
//! Xen's public/sysctl.h, `xen_sysctl_tbuf_op`, and public/trace.h.

mod buffer;
mod control;

use pvops_backend_xen::XenError;
use pvops_core::cpu;
use spin::Mutex;

use crate::console::report;
use crate::cpus;
use crate::layout::{PAGE, XEN_TRACE};
use crate::per_cpu::MAX_CPUS;
use crate::text::{Text, ensure};
use buffer::{Buffer, Found};
use control::{Operation, control, map};

/// Has Xen trace how this kernel enters it.
///
/// # Errors
///
/// If Xen refuses, or does not trace an instruction that it emulates.
pub(crate) fn start() -> Result<(), XenError> {
    let mut buffers = BUFFERS.lock();
    let count = cpus::count();
    let pages = (XEN_TRACE.len() / PAGE - INFORMATION_PAGES) / count;
    // Before there are buffers, as Xen traces from then on.
    control(Operation::SET_EVENT_MASK, PV_ENTRIES, 0)?;
    control(Operation::SET_SIZE, 0, pages as u32)?;
    let (information_frame, bytes) = control(Operation::GET_INFORMATION, 0, 0)?;
    let mut place = XEN_TRACE.step_by(PAGE);
    let mut map = |frame: u64, flags: u64| -> Result<usize, XenError> {
        let address = place.next().ok_or(XenError::OUT_OF_MEMORY)?;
        map(address, frame, flags)?;
        Ok(address)
    };
    let information_pages = (bytes as usize / PAGE).min(INFORMATION_PAGES) as u64;
    for page in 0..information_pages {
        map(information_frame + page, READ_ONLY)?;
    }
    // `struct t_info`: the size of each buffer, and for each CPU where the list of its frames is, in
    // words.
    let information = XEN_TRACE.start as *const u32;
    for cpu in 0..count {
        // SAFETY: the page was just mapped, and Xen does not change it any more.
        let offset = unsafe { information.cast::<u16>().add(1 + cpu).read_volatile() };
        let mut start = None;
        for page in 0..pages {
            let word = usize::from(offset) + page;
            if word >= information_pages as usize * PAGE / size_of::<u32>() {
                return Err(XenError::TOO_BIG);
            }
            // SAFETY: as above.
            let frame = unsafe { information.add(word).read_volatile() };
            start.get_or_insert(map(frame.into(), DATA)?);
        }
        buffers[cpu] = Buffer {
            start: start.unwrap_or(0),
            bytes: pages * PAGE,
        };
    }
    control(Operation::ENABLE, 0, 0)?;
    drop(buffers);
    try_out().then_some(()).ok_or(XenError::INVALID)
}

/// Says what is wrong with the check that has just run: Xen had to do something for an instruction of the
/// kernel, and the check is not one of those that are about such instructions. Reports what it was. Does
/// nothing if there is no trace.
pub(crate) fn judge(check: &str) -> Result<(), Text> {
    let (all, complete) = take();
    let all = || all.iter().filter(|found| found.count != 0);
    for found in all() {
        report!(
            "\"event\":\"trapped\",\"during\":\"{check}\",\"kind\":\"{}\",\"behind\":\"{:#x}\",\
             \"count\":{}",
            found.kind,
            found.behind,
            found.count
        );
    }
    let count: u64 = all().map(|found| found.count).sum();
    let may_trap = check.starts_with("cpu.")
        || ["patch.live", "xen.local_tables", "xen.ports"].contains(&check);
    ensure!(may_trap || count == 0, "{count} instructions trapped");
    // It changes its text, each time by mapping it elsewhere, more often than there is room for.
    let may_lose = check == "smp.live_patching";
    ensure!(complete || may_lose, "a part of Xen's trace is lost");
    Ok(())
}

/// What was found since the last time; whether that is all.
fn take() -> ([Found; MOST_FOUND], bool) {
    let mut all = [const { Found::NOTHING }; MOST_FOUND];
    let mut complete = true;
    for buffer in BUFFERS.lock().iter().filter(|buffer| buffer.start != 0) {
        complete &= buffer.take(&mut |found| note(&mut all, found));
    }
    (all, complete)
}

/// That an instruction is seen which Xen is known to emulate.
fn try_out() -> bool {
    take();
    cpu::read_cr4();
    let (all, complete) = take();
    complete && all.iter().map(|found| found.count).sum::<u64>() == 1
}

/// Where the buffers of all CPUs are mapped.
static BUFFERS: Mutex<[Buffer; MAX_CPUS]> = Mutex::new([const { Buffer::NONE }; MAX_CPUS]);

/// `struct t_info` of the 256 CPUs that Debian's Xen can have takes less.
const INFORMATION_PAGES: usize = 16;

/// Class and subclass TRC_PV_ENTRY.
const PV_ENTRIES: u32 = 0x0020_1000;

const READ_ONLY: u64 = 1 << 0 | 1 << 63;
const DATA: u64 = READ_ONLY | 1 << 1;

/// Most instructions that are told apart; the last one stands for all others.
const MOST_FOUND: usize = 64;

fn note(all: &mut [Found; MOST_FOUND], found: Found) {
    let place = all
        .iter()
        .position(|old| old.count == 0 || (old.kind, old.behind) == (found.kind, found.behind));
    let slot = &mut all[place.unwrap_or(MOST_FOUND - 1)];
    let count = slot.count + found.count;
    *slot = Found { count, ..found };
}
