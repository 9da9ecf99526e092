//! The console in PV guests, by the op `system.console_byte`: dom0 has Xen's, others the ring to the
//! toolstack's, from which they can read, too.

use core::ptr::NonNull;

use pvops_core::binding::Binding;
use pvops_core::op::system::console_byte;
use pvops_core::{call, irq, use_before_install};
use spin::mutex::SpinMutex;

use super::address;
use super::start_info::StartInfo;
use super::translation::{Mfn, Pfn};
use crate::byte_ring::BadIndex;
use crate::clock::system_time_ns;
use crate::console::XEN_CONSOLE;
use crate::console_ring::Console;
use crate::event_channel::{Port, operations};
use crate::poll::poll_until;

/// Writes to the ring from now on, if this is not dom0. `place` says where frames are mapped.
///
/// # Safety
///
/// Nobody else runs, or has the ring, and its frame stays mapped there until this is called again.
pub(super) unsafe fn start(info: &StartInfo, place: fn(Pfn) -> usize) {
    if info.flags & StartInfo::INITIAL_DOMAIN != 0 {
        return;
    }
    let page = Mfn(info.console_mfn).own().map(place);
    let Some(page) = page.and_then(|address| NonNull::new(address as *mut _)) else {
        return;
    };
    *RING.lock() = Some(Ring {
        // SAFETY: as the caller vouches; pages are aligned.
        console: unsafe { Console::new(page) },
        port: Port(info.console_port),
        is_stuck: false,
    });
    let mut bindings = super::BINDINGS;
    bindings.system.console_byte = RING_CONSOLE;
    // SAFETY: all of these are good in ring 3.
    unsafe { use_before_install(&bindings) };
}

/// Goes on with the ring of the place where the domain is now.
///
/// # Safety
///
/// As for [`start`]; the ring is in the direct map.
pub(super) unsafe fn resume(info: &StartInfo) {
    let page = Mfn(info.console_mfn).own().map(address::of);
    let page = page.and_then(|address| NonNull::new(address as *mut _));
    let mut ring = RING.lock();
    *ring = ring.take().zip(page).map(|(_, page)| Ring {
        // SAFETY: as the caller vouches; pages are aligned.
        console: unsafe { Console::new(page) },
        port: Port(info.console_port),
        is_stuck: false,
    });
}

/// Reads what has been typed at this PV domain's console, as much as fits. How many bytes; none in dom0, and
/// none while somebody whom this CPU has interrupted is at the console. Any context.
///
/// # Errors
///
/// The other side's index makes no sense. Nothing is read then.
pub fn read_console(buffer: &mut [u8]) -> Result<usize, BadIndex> {
    let mut result = Ok(0);
    with_ring(|ring| result = ring.read(buffer));
    result
}

/// What to write by.
pub(super) fn binding() -> Binding<console_byte> {
    match *RING.lock() {
        Some(_) => RING_CONSOLE,
        None => XEN_CONSOLE,
    }
}

/// Waits for a bounded time until all has been read.
pub(crate) fn flush() {
    with_ring(|ring| {
        ring.notify();
        ring.wait_until(|console| console.unread() == Ok(0));
    });
}

/// Calls `function` with the ring, interrupts off; nothing if there is none, or somebody does not let
/// go of it: whom this CPU has interrupted, perhaps.
fn with_ring(function: impl FnOnce(&mut Ring)) {
    const ATTEMPTS: u32 = 10_000_000;
    let flags = irq::save_flags();
    irq::disable();
    let locked = (0..ATTEMPTS).find_map(|_| {
        core::hint::spin_loop();
        RING.try_lock()
    });
    if let Some(mut locked) = locked
        && let Some(ring) = locked.as_mut()
    {
        function(ring);
    }
    // SAFETY: the flags are those of before.
    unsafe { irq::restore_flags(flags) };
}

const RING_CONSOLE: Binding<console_byte> = call!(system::console_byte, write);

static RING: SpinMutex<Option<Ring>> = SpinMutex::new(None);

struct Ring {
    console: Console<'static>,
    port: Port,
    /// Nobody has read for so long that it is not waited for again until somebody does.
    is_stuck: bool,
}

unsafe extern "C" fn write(byte: u8) {
    with_ring(|ring| ring.write(byte));
}

impl Ring {
    fn write(&mut self, byte: u8) {
        if self.console.write(&[byte]) != Ok(1) {
            if self.is_stuck {
                return;
            }
            self.notify();
            self.is_stuck = !self.wait_until(|console| console.write(&[byte]) == Ok(1));
        } else {
            self.is_stuck = false;
        }
        if byte == b'\n' {
            self.notify();
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, BadIndex> {
        let count = self.console.read(buffer)?;
        if count > 0 {
            // There is room for more.
            self.notify();
        }
        Ok(count)
    }

    fn notify(&self) {
        // There is nobody to tell of an error.
        let _ = operations::send(self.port);
    }

    /// Waits for a second at most. Whether it came true.
    fn wait_until(&mut self, mut is_true: impl FnMut(&mut Console<'static>) -> bool) -> bool {
        const ROUNDS: u32 = 1000;
        const ROUND_NS: u64 = 1_000_000;
        (0..ROUNDS).any(|_| {
            is_true(&mut self.console) || {
                poll_until(system_time_ns().saturating_add(ROUND_NS));
                false
            }
        })
    }
}
