//! Who handles the events of a port, and on which CPU.

use core::mem::transmute;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use pvops_core::Kernel;
use spin::Mutex;

use super::fifo;
use super::kinds::Port;
use crate::vcpu::VcpuId;

/// A function that handles the events of a port: on the CPU that the port is bound to, interrupts off.
pub type Handler = fn(Port);

/// The handlers of all ports; frames for them come when they are wanted.
pub(crate) struct Handlers {
    pages: [AtomicPtr<Page>; PAGES],
    growing: Mutex<()>,
}

/// What there is to know of a port.
#[repr(C)]
pub(crate) struct Slot {
    /// A [`Handler`], or null.
    handler: AtomicPtr<()>,
    vcpu: AtomicU32,
    /// In the list of [`deferred`](super::deferred) ports, the next; 0 for a port that is not in one.
    pub(super) next: AtomicU32,
}

/// [`Slot::next`] of a port that is in no list, and of the last of a list.
pub(super) const NOT_LISTED: u32 = 0;
#[cfg(target_arch = "x86_64")]
pub(super) const END_OF_LIST: u32 = u32::MAX;

impl Handlers {
    pub(crate) const fn new() -> Self {
        Handlers {
            pages: [const { AtomicPtr::new(ptr::null_mut()) }; PAGES],
            growing: Mutex::new(()),
        }
    }

    /// What is known of a port. Any context.
    pub(crate) fn get(&self, port: Port) -> Option<&Slot> {
        let page = self.page(port)?;
        // SAFETY: a pointer that is not null leads to a frame that `make` has got for good.
        let page = unsafe { page.load(Ordering::Acquire).as_ref()? };
        Some(&page[port.0 as usize % SLOTS])
    }

    /// Takes the handlers of all ports away, and the ports out of all lists. While nobody uses either.
    pub(crate) fn clear(&self) {
        for page in &self.pages {
            // SAFETY: as in `get`.
            let slots = unsafe { page.load(Ordering::Acquire).as_ref() };
            for slot in slots.into_iter().flatten() {
                slot.clear();
                slot.next.store(NOT_LISTED, Ordering::Relaxed);
            }
        }
    }

    /// The page of a port, if there is such a port.
    fn page(&self, port: Port) -> Option<&AtomicPtr<Page>> {
        // The last page may have room for more.
        let index = (port.0 < fifo::PORTS).then_some(port.0 as usize / SLOTS)?;
        self.pages.get(index)
    }

    /// What is known of a port, with a frame for it if there is none yet. `None` if the kernel has no
    /// memory, or there is no such port. Not in an interrupt handler.
    pub(crate) fn make(&self, kernel: &dyn Kernel, port: Port) -> Option<&Slot> {
        let page = self.page(port)?;
        let _growing = self.growing.lock();
        if page.load(Ordering::Relaxed).is_null() {
            // Zeroes are a page of ports without handlers.
            page.store(kernel.shared_frame()?.as_ptr().cast(), Ordering::Release);
        }
        self.get(port)
    }
}

impl Slot {
    pub(crate) fn set(&self, vcpu: VcpuId, handler: Handler) {
        self.vcpu.store(vcpu.0, Ordering::Relaxed);
        self.set_handler(handler);
    }

    pub(crate) fn set_handler(&self, handler: Handler) {
        self.handler.store(handler as *mut (), Ordering::Release);
    }

    /// Takes the handler away.
    pub(crate) fn clear(&self) -> Option<Handler> {
        let handler = self.handler();
        self.handler.store(ptr::null_mut(), Ordering::Release);
        handler
    }

    pub(crate) fn handler(&self) -> Option<Handler> {
        let handler = self.handler.load(Ordering::Acquire);
        // SAFETY: a pointer that is not null was a `Handler`, in `set_handler`; a null one is `None`.
        unsafe { transmute::<*mut (), Option<Handler>>(handler) }
    }

    /// The CPU that the events come to.
    pub(crate) fn vcpu(&self) -> VcpuId {
        VcpuId(self.vcpu.load(Ordering::Relaxed))
    }

    pub(crate) fn set_vcpu(&self, vcpu: VcpuId) {
        self.vcpu.store(vcpu.0, Ordering::Relaxed);
    }
}

type Page = [Slot; SLOTS];
const SLOTS: usize = 4096 / size_of::<Slot>();
const PAGES: usize = (fifo::PORTS as usize).div_ceil(SLOTS);

const _: () = assert!(size_of::<Page>() <= 4096);

#[cfg(test)]
pub(super) mod tests {
    extern crate std;

    use core::ops::Range;
    use core::ptr::NonNull;
    use core::sync::atomic::AtomicU64;
    use std::boxed::Box;

    use super::*;

    /// Has memory for so many frames.
    pub(crate) struct Frames(pub(crate) AtomicU64);

    #[repr(align(4096))]
    struct Frame([u64; 512]);

    // SAFETY: frames are zeroed, aligned and for good; nothing else is used.
    unsafe impl Kernel for Frames {
        fn virtual_to_physical(&self, _address: usize) -> Option<u64> {
            None
        }
        fn shared_frame(&self) -> Option<NonNull<u8>> {
            let order = Ordering::Relaxed;
            let take = |left: u64| left.checked_sub(1);
            self.0.fetch_update(order, order, take).ok()?;
            let frame: &'static mut Frame = Box::leak(Box::new(Frame([0; 512])));
            Some(NonNull::from(&mut frame.0).cast())
        }
        fn map_device(&self, _physical: u64, _length: usize) -> Option<NonNull<u8>> {
            None
        }
        fn cpu_index(&self) -> usize {
            0
        }
        unsafe fn with_writable_text(&self, _: Range<usize>, _: &mut dyn FnMut(isize)) {}
    }

    static HANDLED: AtomicU32 = AtomicU32::new(0);

    fn handler(port: Port) {
        HANDLED.store(port.0, Ordering::Relaxed);
    }

    #[test]
    fn a_port_has_the_handler_that_was_set_and_others_have_none() {
        let handlers = Handlers::new();
        let kernel = Frames(AtomicU64::new(1));
        let port = Port(SLOTS as u32 + 3);
        assert!(handlers.get(port).is_none());
        handlers
            .make(&kernel, port)
            .unwrap()
            .set(VcpuId(9), handler);
        let slot = handlers.get(port).unwrap();
        assert_eq!(slot.vcpu(), VcpuId(9));
        slot.handler().unwrap()(port);
        assert_eq!(HANDLED.load(Ordering::Relaxed), port.0);
        assert!(handlers.get(Port(port.0 + 1)).unwrap().handler().is_none());
        slot.clear();
        assert!(handlers.get(port).unwrap().handler().is_none());
        slot.set(VcpuId(9), handler);
        slot.next.store(port.0, Ordering::Relaxed);
        handlers.clear();
        assert!(handlers.get(port).unwrap().handler().is_none());
        assert_eq!(slot.next.load(Ordering::Relaxed), NOT_LISTED);
    }

    #[test]
    fn no_memory_and_no_such_port_are_no_slot() {
        let handlers = Handlers::new();
        assert!(handlers.make(&Frames(AtomicU64::new(0)), Port(1)).is_none());
        let kernel = Frames(AtomicU64::new(9));
        for port in [fifo::PORTS, u32::MAX] {
            assert!(handlers.make(&kernel, Port(port)).is_none());
            assert!(handlers.get(Port(port)).is_none());
        }
        let last = Port(fifo::PORTS - 1);
        assert!(handlers.make(&kernel, last).is_some());
    }
}
