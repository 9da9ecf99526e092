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
    padding: AtomicU32,
}

impl Handlers {
    pub(crate) const fn new() -> Self {
        Handlers {
            pages: [const { AtomicPtr::new(ptr::null_mut()) }; PAGES],
            growing: Mutex::new(()),
        }
    }

    /// What is known of a port. Any context.
    pub(crate) fn get(&self, port: Port) -> Option<&Slot> {
        let page = self.pages.get(port.0 as usize / SLOTS)?;
        // SAFETY: a pointer that is not null leads to a frame that `make` has got for good.
        let page = unsafe { page.load(Ordering::Acquire).as_ref()? };
        Some(&page[port.0 as usize % SLOTS])
    }

    /// The same, with a frame for it if there is none yet. `None` if the kernel has no memory, or there is
    /// no such port. Not in an interrupt handler.
    pub(crate) fn make(&self, kernel: &dyn Kernel, port: Port) -> Option<&Slot> {
        let page = self.pages.get(port.0 as usize / SLOTS)?;
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
        self.handler.store(handler as *mut (), Ordering::Release);
    }

    pub(crate) fn clear(&self) {
        self.handler.store(ptr::null_mut(), Ordering::Release);
    }

    pub(crate) fn handler(&self) -> Option<Handler> {
        let handler = self.handler.load(Ordering::Acquire);
        // SAFETY: a pointer that is not null was a `Handler`, in `set`; a null one is `None`.
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
const PAGES: usize = fifo::PORTS as usize / SLOTS;

const _: () = assert!(size_of::<Page>() == 4096);
