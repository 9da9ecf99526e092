//! The frames that are shared with the host: their numbers, and what the host has written.

use core::fmt;
use core::ops::Range;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering::Relaxed};

use pvops_core::{Kernel, PerCpuArea};

use super::text::note as note_line;
use crate::platform::Platform;

/// This kernel, with the frames that it gives away noted.
pub(super) struct Recorded;

// SAFETY: as the kernel's own.
unsafe impl Kernel for Recorded {
    fn virtual_to_physical(&self, address: usize) -> Option<u64> {
        Platform.virtual_to_physical(address)
    }

    fn shared_frame(&self) -> Option<NonNull<u8>> {
        let frame = Platform.shared_frame()?;
        let physical = self.virtual_to_physical(frame.addr().get())?;
        let Some(place) = FRAMES.get(COUNT.fetch_add(1, Relaxed)) else {
            panic!("more frames are shared than can be recorded");
        };
        place.memory.store(frame.as_ptr().cast(), Relaxed);
        place.physical.store(physical, Relaxed);
        Some(frame)
    }

    fn map_device(&self, physical: u64, length: usize) -> Option<NonNull<u8>> {
        Platform.map_device(physical, length)
    }

    fn cpu_index(&self) -> usize {
        Kernel::cpu_index(&Platform)
    }

    fn per_cpu_area(&self, cpu: usize) -> Option<PerCpuArea> {
        Platform.per_cpu_area(cpu)
    }

    unsafe fn with_writable_text(&self, range: Range<usize>, write: &mut dyn FnMut(isize)) {
        // SAFETY: as the caller says.
        unsafe { Platform.with_writable_text(range, write) }
    }
}

/// A value, which may be an address in a frame, virtual or physical, or a frame's number: then by how the
/// frames are counted.
pub(super) struct InFrame(pub(super) u64);

impl fmt::Display for InFrame {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, offset) = (self.0, self.0 % FRAME as u64);
        for (number, frame) in shared().enumerate() {
            let physical = frame.physical.load(Relaxed);
            let bases = [physical, frame.memory.load(Relaxed).addr() as u64];
            if bases.contains(&(value - offset)) {
                return write!(formatter, "frame{number}+{offset:#x}");
            }
            if value == physical / FRAME as u64 {
                return write!(formatter, "frame{number}/{FRAME:#x}");
            }
        }
        write!(formatter, "{value:#x}")
    }
}

/// Learns what is in the frames, before the host gets to run.
pub(super) fn look() {
    shared().for_each(|frame| frame.changes(|_, _| {}));
}

/// Notes what has changed in them since.
pub(super) fn note() {
    for (number, frame) in shared().enumerate() {
        frame.changes(|offset, words| {
            note_line(format_args!(
                "memory frame{number}+{offset:#x} {}",
                Bytes(words)
            ));
        });
    }
}

const FRAME: usize = 4096;
const WORDS: usize = FRAME / size_of::<u64>();

struct Shared {
    memory: AtomicPtr<u64>,
    physical: AtomicU64,
    /// What was in it when it was last looked at.
    seen: [AtomicU64; WORDS],
}

static FRAMES: [Shared; 8] = [const {
    Shared {
        memory: AtomicPtr::new(ptr::null_mut()),
        physical: AtomicU64::new(0),
        seen: [const { AtomicU64::new(0) }; WORDS],
    }
}; 8];
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// The frames given so far.
fn shared() -> impl Iterator<Item = &'static Shared> {
    FRAMES.iter().take(COUNT.load(Relaxed))
}

impl Shared {
    /// Tells of each stretch of words that has changed: where it begins in bytes, and what is there.
    fn changes(&self, mut tell: impl FnMut(usize, &[AtomicU64])) {
        let memory = self.memory.load(Relaxed);
        let mut start = 0;
        for index in 0..=WORDS {
            let is_changed = index < WORDS && {
                // SAFETY: a word of the frame, which the host may write at any time.
                let word = unsafe { memory.add(index).read_volatile() };
                self.seen[index].swap(word, Relaxed) != word
            };
            if !is_changed {
                if start < index {
                    tell(start * size_of::<u64>(), &self.seen[start..index]);
                }
                start = index + 1;
            }
        }
    }
}

/// Words as bytes, in hexadecimal, as they are in memory.
struct Bytes<'a>(&'a [AtomicU64]);

impl fmt::Display for Bytes<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self
            .0
            .iter()
            .flat_map(|word| word.load(Relaxed).to_le_bytes());
        bytes
            .into_iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}
