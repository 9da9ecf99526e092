//! The FIFO ABI: a word for each port, linked to a queue for each CPU and priority.
//!
//! Xen appends a word to a queue by writing its port into the link of the last word, or into the
//! control block if the queue was empty; then it sets the queue's bit in `ready`. We take words from
//! the front. Source: Xen's public/event_channel.h, and the design by David Vrabel, "FIFO-based event
//! channel ABI".
//!
//! Links are Xen's to write, and may lead anywhere, in a circle too. A word that was taken has no link
//! any more, so a circle ends; and a call takes no more than so many words.

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use super::kinds::Port;
use super::two_level::Unmasked;
use crate::error::XenError;

/// EVTCHN_FIFO_NR_CHANNELS: how many ports there are at most.
pub(crate) const PORTS: u32 = 1 << LINK_BITS;
/// EVTCHN_FIFO_LINK_BITS.
pub(crate) const LINK_BITS: u8 = 17;
/// Words in a frame.
pub(crate) const WORDS_PER_PAGE: usize = 1024;
const PAGES: usize = PORTS as usize / WORDS_PER_PAGE;
/// EVTCHN_FIFO_MAX_QUEUES.
const PRIORITIES: usize = 16;

/// EVTCHN_FIFO_PENDING: there is an event.
const PENDING: u32 = 1 << 31;
/// EVTCHN_FIFO_MASKED: events wait.
const MASKED: u32 = 1 << 30;
/// EVTCHN_FIFO_LINKED: the word is in a queue.
const LINKED: u32 = 1 << 29;
/// EVTCHN_FIFO_BUSY: Xen is writing the link.
const BUSY: u32 = 1 << 28;
const LINK: u32 = PORTS - 1;

/// What Xen and one virtual CPU share: `struct evtchn_fifo_control_block`.
#[repr(C)]
pub(crate) struct ControlBlock {
    /// A bit for each queue that is not empty.
    ready: AtomicU32,
    reserved: AtomicU32,
    /// The first port of each queue, written when the queue was empty.
    head: [AtomicU32; PRIORITIES],
}

const _: () = assert!(size_of::<ControlBlock>() == 72);

/// A frame of event words.
pub(crate) type Page = [AtomicU32; WORDS_PER_PAGE];

/// The words of all ports, as many as there are frames for.
pub(crate) struct Words {
    pages: [AtomicPtr<Page>; PAGES],
}

impl Words {
    pub(crate) const fn new() -> Self {
        Words {
            pages: [const { AtomicPtr::new(ptr::null_mut()) }; PAGES],
        }
    }

    /// Adds a frame, whose ports are all masked from now on, once Xen has taken it by `expand`. One at a
    /// time.
    pub(crate) fn add(
        &self,
        page: &'static Page,
        expand: impl FnOnce() -> Result<(), XenError>,
    ) -> Result<(), XenError> {
        let slot = self.pages.iter().find(|slot| is_free(slot));
        let slot = slot.ok_or(XenError::NO_SPACE)?;
        mask_all(page);
        expand()?;
        slot.store(ptr::from_ref(page).cast_mut(), Ordering::Release);
        Ok(())
    }

    /// Has Xen take all frames again, which does not know of them any more. All ports are masked then.
    pub(crate) fn add_again(
        &self,
        mut expand: impl FnMut(&'static Page) -> Result<(), XenError>,
    ) -> Result<(), XenError> {
        for slot in &self.pages {
            // SAFETY: a pointer that is not null comes from a `&'static Page`.
            let Some(page) = (unsafe { slot.load(Ordering::Acquire).as_ref() }) else {
                break;
            };
            mask_all(page);
            expand(page)?;
        }
        Ok(())
    }

    /// The word of a port; nothing for port 0, which is none, and those beyond the frames.
    pub(crate) fn get(&self, port: Port) -> Option<&AtomicU32> {
        let page = self.pages.get(port.0 as usize / WORDS_PER_PAGE)?;
        // SAFETY: a pointer that is not null comes from a `&'static Page`.
        let page = unsafe { page.load(Ordering::Acquire).as_ref()? };
        (port.0 != 0).then(|| &page[port.0 as usize % WORDS_PER_PAGE])
    }

    /// The ports with events that are neither masked nor in a queue: nobody has announced them.
    pub(crate) fn unannounced(&self) -> impl Iterator<Item = Port> {
        (1..PORTS)
            .map(Port)
            .map_while(|port| Some((port, self.get(port)?)))
            .filter(|(_, word)| {
                word.load(Ordering::Acquire) & (PENDING | MASKED | LINKED) == PENDING
            })
            .map(|(port, _)| port)
    }

    /// Masks a port; whether it was masked before.
    pub(crate) fn mask(&self, port: Port) -> bool {
        self.get(port)
            .is_none_or(|word| word.fetch_or(MASKED, Ordering::SeqCst) & MASKED != 0)
    }

    #[cfg(target_arch = "x86_64")]
    pub(crate) fn is_masked(&self, port: Port) -> bool {
        self.get(port)
            .is_none_or(|word| word.load(Ordering::SeqCst) & MASKED != 0)
    }

    /// Unmasks a port, or leaves that to Xen, which it can do in any state.
    pub(crate) fn unmask(&self, port: Port) -> Unmasked {
        /// Xen is busy for some instructions.
        const ATTEMPTS: u32 = 64;
        let Some(word) = self.get(port) else {
            return Unmasked::ByXen;
        };
        for _ in 0..ATTEMPTS {
            let value = word.load(Ordering::SeqCst);
            if value & PENDING != 0 {
                // Nobody has announced it.
                return Unmasked::ByXen;
            }
            if value & MASKED == 0 {
                return Unmasked::Done;
            }
            let idle = value & !BUSY;
            let exchanged =
                word.compare_exchange(idle, idle & !MASKED, Ordering::SeqCst, Ordering::SeqCst);
            if exchanged.is_ok() {
                return Unmasked::Done;
            }
            core::hint::spin_loop();
        }
        Unmasked::ByXen
    }

    /// Gives a port an event, which nobody announces.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn set_pending(&self, port: Port) {
        if let Some(word) = self.get(port) {
            word.fetch_or(PENDING, Ordering::SeqCst);
        }
    }

    /// Takes the event of a port.
    pub(crate) fn clear_pending(&self, port: Port) {
        if let Some(word) = self.get(port) {
            word.fetch_and(!PENDING, Ordering::SeqCst);
        }
    }
}

fn mask_all(page: &Page) {
    page.iter()
        .for_each(|word| word.store(MASKED, Ordering::Relaxed));
}

fn is_free(slot: &AtomicPtr<Page>) -> bool {
    slot.load(Ordering::Relaxed).is_null()
}

/// Where one CPU is in its queues. Only that CPU uses it, interrupts off; while it is off, whoever
/// [empties](super::offline) them.
pub(crate) struct Queues {
    /// The first port of each queue; 0 where the control block has it.
    heads: [AtomicU32; PRIORITIES],
    /// The queues that were left in the middle.
    ready: AtomicU32,
}

/// What is left in a CPU's queues.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(crate) enum Left {
    /// Nothing that Xen has not announced anew.
    Nothing,
    /// More, which Xen will not announce.
    More,
}

impl Queues {
    pub(crate) const fn new() -> Self {
        Queues {
            heads: [const { AtomicU32::new(0) }; PRIORITIES],
            ready: AtomicU32::new(0),
        }
    }

    /// Forgets all queues, the control block's too. While neither Xen nor the CPU uses them.
    pub(crate) fn clear(&self, block: &ControlBlock) {
        let words = block.head.iter().chain(&self.heads);
        words
            .chain([&block.ready, &self.ready])
            .for_each(|word| word.store(0, Ordering::Relaxed));
    }

    /// Takes up to `limit` words from the queues, those of the highest priority first, and calls `visit`
    /// for each that has an event and is not masked, and `stray` for each link that leads nowhere.
    pub(crate) fn consume(
        &self,
        words: &Words,
        block: &ControlBlock,
        limit: u32,
        mut visit: impl FnMut(Port),
        mut stray: impl FnMut(),
    ) -> Left {
        let announced = || block.ready.swap(0, Ordering::AcqRel) & READY;
        let mut ready = self.ready.load(Ordering::Relaxed) | announced();
        for _ in 0..limit {
            if ready == 0 {
                break;
            }
            let priority = ready.trailing_zeros() as usize;
            let head = match self.heads[priority].load(Ordering::Relaxed) {
                0 => block.head[priority].load(Ordering::Acquire),
                head => head,
            };
            let word = words.get(Port(head));
            let next = word.map_or(0, unlink);
            self.heads[priority].store(next, Ordering::Relaxed);
            if next == 0 {
                ready &= !(1 << priority);
            }
            match word {
                Some(word) if word.load(Ordering::Acquire) & (PENDING | MASKED) == PENDING => {
                    visit(Port(head));
                }
                Some(_) => {}
                None => stray(),
            }
            ready |= announced();
        }
        self.ready.store(ready, Ordering::Relaxed);
        if ready == 0 {
            Left::Nothing
        } else {
            Left::More
        }
    }
}

const READY: u32 = (1 << PRIORITIES) - 1;

/// Takes a word from the front of its queue; the port behind it, or 0.
fn unlink(word: &AtomicU32) -> u32 {
    word.fetch_and(!(LINKED | LINK), Ordering::AcqRel) & LINK
}

#[cfg(feature = "bench")]
pub(super) mod bench;
#[cfg(test)]
mod tests;
