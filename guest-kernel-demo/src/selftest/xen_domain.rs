//! What a domain of Xen does with its toolstack, in dom0: the appliance does there what a check asks for.
//!
//! A check writes a number and the words of a request to [`REQUEST`], and waits for the same number, and
//! what came of it, in [`ANSWER`].

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use pvops_backend_xen::balloon::{
    Balloon, KernelReservation, Progress, SpareFrames, overhead_frames, parse_kib,
};
use pvops_backend_xen::event_channel::{self as events, Port};
use pvops_backend_xen::grant_table::{
    Access, GrantTable, KernelFrames, TableFrame, TableMemory, Version, get_version,
};
use pvops_backend_xen::memory::{FrameNumber, current_reservation};
use pvops_backend_xen::shutdown_request::{self, ShutdownRequest};
use pvops_backend_xen::xenstore::{Error, Transaction};
use pvops_backend_xen::{DomainId, XenError, poll_until, system_time_ns};
use pvops_core::time;
use spin::Mutex;

use super::Outcome;
use crate::frames;
use crate::layout::PAGE;
use crate::platform::Platform;
use crate::text::{Text, ensure, text};
use crate::xenstore::{self, Store};

const REQUEST: &str = "data/request";
pub(super) const ANSWER: &str = "pvops/answer";

/// Whether somebody does what is asked for.
pub(super) fn nobody_answers() -> Option<Text> {
    let is_there = xenstore::with(|store| store.read(Transaction::NONE, ANSWER).is_ok());
    (is_there != Some(true)).then(|| text!("nobody answers in dom0"))
}

/// Waits until somebody does: a domain that is restarted may be faster than who answers it.
pub(crate) fn await_toolstack() -> Result<(), Text> {
    match comes(|| nobody_answers().is_none()) {
        true => Ok(()),
        false => Err(text!("nobody answers in dom0")),
    }
}

/// What dom0 writes to xenstore is announced by a watch.
pub(super) fn watch() -> Outcome {
    const ROUNDS: u32 = 3;
    for round in 0..ROUNDS {
        let word = text!("word{round}");
        let answer = ask(text!("echo {word}"))?;
        ensure!(
            answer.as_bytes() == word.as_bytes(),
            "{answer} instead of {word}"
        );
    }
    Ok(text!("{ROUNDS} answers, each announced"))
}

/// A frame that both sides write, and an event channel that both sides use.
pub(super) fn shared_frame_and_events() -> Outcome {
    const ROUNDS: u64 = 10_000;
    with_table(|table| exchange(table, ROUNDS))
}

/// So many events there and back, by a frame that both sides write.
pub(super) fn exchange(table: &mut Table, rounds: u64) -> Outcome {
    const GREETING: u64 = 0x7076_6f70_7320_646f;
    static CAME: AtomicU64 = AtomicU64::new(0);
    fn count(_: Port) {
        CAME.fetch_add(1, Ordering::Relaxed);
    }

    CAME.store(0, Ordering::Relaxed);
    let (physical, page) = frames::allocate().ok_or_else(|| text!("no memory"))?;
    // SAFETY: a whole frame, nobody else's, and for good; the peer writes to it.
    let words: &'static [AtomicU64; 4] = unsafe { page.cast().as_ref() };
    let [greeting, answer, asked, answered] = words;
    greeting.store(GREETING, Ordering::Relaxed);
    // SAFETY: nothing else is in the frame.
    let reference = unsafe { table.grant(DOM0, number(physical)?, Access::ReadWrite) }
        .map_err(|error| text!("granting: {error}"))?;
    let port = events::bind_unbound(DOM0, count).map_err(refused)?;
    let request = send(text!("peer {} {} {rounds}", reference.0, port.0))?;
    ensure!(
        comes(|| answer.load(Ordering::Acquire) == !GREETING),
        "the peer does not write"
    );
    let start = time::clock_ns();
    for round in 1..=rounds {
        asked.store(round, Ordering::Release);
        // The peer may not have bound its end yet, and looks at the page when it has.
        let _ = events::send(port);
        ensure!(
            comes(|| CAME.load(Ordering::Relaxed) >= round),
            "event {round} did not come back"
        );
        let found = answered.load(Ordering::Acquire);
        ensure!(found == round, "{found} in the page instead of {round}");
    }
    let each_ns = (time::clock_ns() - start) / rounds;
    let said = answer_to(request)?;
    ensure!(
        said.as_bytes().starts_with(b"good"),
        "the peer says: {said}"
    );
    let came = CAME.load(Ordering::Relaxed);
    ensure!(came == rounds, "{came} events instead of {rounds}");
    events::close(port).map_err(refused)?;
    ensure!(
        comes(|| table.end(reference).is_ok()),
        "the grant does not end"
    );
    Ok(text!("{rounds} there and back, {each_ns} ns each"))
}

/// The toolstack stops the domain, and the clock goes on.
pub(super) fn pause() -> Outcome {
    const PAUSE_NS: u64 = 1_000_000_000;
    let start = time::clock_ns();
    let request = send(text!("pause"))?;
    let (mut last, mut longest) = (start, 0);
    while time::clock_ns() - start < PATIENCE_NS && longest < PAUSE_NS {
        let now = time::clock_ns();
        ensure!(now >= last, "the clock went back by {} ns", last - now);
        longest = longest.max(now - last);
        last = now;
    }
    answer_to(request)?;
    ensure!(longest >= PAUSE_NS, "no pause was longer than {longest} ns");
    Ok(text!("{} ms", longest / 1_000_000))
}

/// The balloon follows the toolstack's target, down and up.
pub(super) fn balloon() -> Outcome {
    const LESS_FRAMES: u64 = 1024;
    static OUT: Mutex<[FrameNumber; LESS_FRAMES as usize + 64]> =
        Mutex::new([FrameNumber(0); LESS_FRAMES as usize + 64]);

    let mut out = OUT.lock();
    let (frames, target_kib) = (current_reservation().map_err(refused)?, target()?);
    let more_frames = overhead_frames(target_kib, frames);
    let mut balloon = Balloon::new(frames, more_frames, &mut *out);
    let mut follow = |kib: u64| -> Result<u64, Text> {
        ask(text!("mem-set {kib}"))?;
        balloon.set_target(target()?);
        let mut last = Ok(Progress::Reached);
        let reached = comes(|| {
            last = balloon.step(&mut Spare, &mut KernelReservation);
            last == Ok(Progress::Reached)
        });
        ensure!(reached, "{} frames, {last:?}", balloon.frames());
        current_reservation().map_err(refused)
    };
    let before = follow(target_kib)?;
    let less = follow(target_kib - LESS_FRAMES * 4)?;
    let again = follow(target_kib)?;
    ensure!(
        before - less == LESS_FRAMES && again == before,
        "{before} frames, then {less}, then {again}"
    );
    Ok(text!("{before} frames, {less}, and {again}"))
}

/// Requests of the toolstack arrive, and are acknowledged.
pub(super) fn requests() -> Outcome {
    for (word, wanted) in [
        ("reboot", ShutdownRequest::REBOOT),
        ("shutdown", ShutdownRequest::POWER_OFF),
    ] {
        let request = send(text!("{word}"))?;
        let taken = await_request()?;
        ensure!(taken == wanted, "{taken} instead of {wanted}");
        answer_to(request)?;
        let left = store(|store| Ok(store.read(Transaction::NONE, shutdown_request::PATH)?.len()))?;
        ensure!(left == 0, "the request is still there");
    }
    Ok(text!("reboot and poweroff"))
}

/// Asks the toolstack to shut this domain down or restart it, and waits until it says so.
pub(crate) fn await_shutdown() -> Result<ShutdownRequest, Text> {
    send(text!("end"))?;
    await_request()
}

pub(super) fn await_request() -> Result<ShutdownRequest, Text> {
    let start = time::clock_ns();
    store(|store| store.watch(shutdown_request::PATH, "shutdown"))?;
    while time::clock_ns() - start < PATIENCE_NS {
        if let Some(request) = store(shutdown_request::take)? {
            store(|store| store.unwatch(shutdown_request::PATH, "shutdown"))?;
            return Ok(request);
        }
        store(|store| store.wait_for_event().map(drop))?;
    }
    Err(text!("no request came"))
}

const DOM0: DomainId = DomainId::DOM0;
const PATIENCE_NS: u64 = 60_000_000_000;

pub(super) type Table = GrantTable<'static, KernelFrames<'static>>;

/// Calls `function` with this domain's grant table.
pub(super) fn with_table<R>(
    function: impl FnOnce(&mut Table) -> Result<R, Text>,
) -> Result<R, Text> {
    static TABLE: Mutex<Option<Table>> = Mutex::new(None);
    let mut table = TABLE.lock();
    if table.is_none() {
        let version = get_version().map_err(refused)?;
        // SAFETY: a domain has this table only.
        *table = Some(unsafe { new_table(version)? });
    }
    table
        .as_mut()
        .map_or_else(|| Err(text!("no table")), function)
}

/// A table with memory for four frames.
///
/// # Safety
///
/// The version is in effect, and there is no other table.
pub(super) unsafe fn new_table(version: Version) -> Result<Table, Text> {
    const FRAMES: usize = 4;
    type Frames = [Option<&'static TableFrame>; FRAMES];
    let memory = || frames::allocate().map(|(_, memory)| memory);
    let (Some(links), Some(pages), Some(status_pages)) = (memory(), memory(), memory()) else {
        return Err(text!("no memory"));
    };
    // SAFETY: the frames are nobody else's, for good, and zeroes are good for all. The caller vouches for the
    // rest.
    unsafe {
        let memory = TableMemory {
            links: links.cast::<[u32; PAGE / 4]>().as_mut(),
            frames: pages.cast::<Frames>().as_mut(),
            status_frames: status_pages.cast::<Frames>().as_mut(),
        };
        GrantTable::new(version, memory, KernelFrames::new(&Platform))
            .map_err(|error| text!("the grant table: {error}"))
    }
}

/// What Xen calls a frame of this kernel.
pub(super) fn number(physical: u64) -> Result<FrameNumber, Text> {
    FrameNumber::at_physical(physical).ok_or_else(|| text!("no such frame"))
}

/// How large the toolstack wants the domain to be.
fn target() -> Result<u64, Text> {
    let kib = store(|store| Ok(parse_kib(store.read(Transaction::NONE, "memory/target")?)))?;
    kib.ok_or_else(|| text!("memory/target is no number"))
}

/// The frames of this kernel.
struct Spare;

// SAFETY: an allocated frame is nobody else's.
unsafe impl SpareFrames for Spare {
    fn take(&mut self) -> Option<FrameNumber> {
        let (physical, _) = frames::allocate()?;
        FrameNumber::of_guest(physical)
    }

    fn give_back(&mut self, frame: FrameNumber) {
        // SAFETY: it was taken, and nobody has used it since.
        unsafe { frames::free(frame.guest_address()) };
    }
}

/// Has dom0 do something, and gives what it says then.
fn ask(words: Text) -> Result<Text, Text> {
    answer_to(send(words)?)
}

/// Has dom0 do something. The number of the request.
pub(super) fn send(words: Text) -> Result<u32, Text> {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let request = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    let text = text!("{request} {words}");
    store(|store| store.write(Transaction::NONE, REQUEST, text.as_bytes()))?;
    Ok(request)
}

/// Waits for what dom0 says to a request.
pub(super) fn answer_to(request: u32) -> Result<Text, Text> {
    store(|store| store.watch(ANSWER, "answer"))?;
    let answer = await_answer(request);
    store(|store| store.unwatch(ANSWER, "answer"))?;
    answer
}

/// The same, where there is a watch.
pub(super) fn await_answer(request: u32) -> Result<Text, Text> {
    let start = time::clock_ns();
    let number = text!("{request} ");
    let mut answer = None;
    while answer.is_none() && time::clock_ns() - start < PATIENCE_NS {
        store(|store| store.wait_for_event().map(drop))?;
        answer = store(|store| {
            let value = store.read(Transaction::NONE, ANSWER)?;
            let words = value.strip_prefix(number.as_bytes());
            Ok(words.map(|words| text!("{}", words.escape_ascii())))
        })?;
    }
    answer.ok_or_else(|| text!("dom0 does not answer request {request}"))
}

pub(super) fn store<R>(function: impl FnOnce(&mut Store) -> Result<R, Error>) -> Result<R, Text> {
    let result = xenstore::with(function).ok_or_else(|| text!("there is no xenstore"))?;
    result.map_err(|error| text!("xenstore: {error}"))
}

pub(super) fn refused(error: XenError) -> Text {
    text!("Xen: {error}")
}

/// Lets others run until it is there, for a minute at most.
pub(super) fn comes(mut is_there: impl FnMut() -> bool) -> bool {
    /// An event that comes between the look and the nap does not end it.
    const NAP_NS: u64 = 1_000_000;
    let start = time::clock_ns();
    while !is_there() {
        if time::clock_ns() - start > PATIENCE_NS {
            return false;
        }
        poll_until(system_time_ns() + NAP_NS);
    }
    true
}
