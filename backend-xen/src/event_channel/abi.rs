//! The two ways in which Xen and a domain share the state of ports, chosen at run time.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use pvops_core::Kernel;
use pvops_core::backend::BindError;
use pvops_core::cpu_set::MAX_CPUS;
use spin::{Mutex, Once};

use super::fifo::{self, Left, Queues, Words};
use super::kinds::Port;
use super::two_level::{self, Bits, Unmasked};
use super::{offline, operations, stray};
use crate::error::XenError;
use crate::shared_frame::{self, SharedFrame};
use crate::shared_info::{self, VcpuInfo};
use crate::vcpu::VcpuId;

/// An ABI.
pub(crate) enum Abi {
    TwoLevel(Bits<'static>),
    Fifo,
}

static CHOSEN: Once<Abi> = Once::new();
static TWO_LEVEL_WANTED: AtomicBool = AtomicBool::new(false);
pub(super) static WORDS: Words = Words::new();
static GROWING: Mutex<()> = Mutex::new(());
pub(super) static QUEUES: [Queues; MAX_CPUS] = [const { Queues::new() }; MAX_CPUS];
/// Whether Xen has the control block of a CPU. It keeps it while the CPU is off.
static HAS_CONTROL: [AtomicBool; MAX_CPUS] = [const { AtomicBool::new(false) }; MAX_CPUS];
/// Whether Xen is to be given the frames of words again.
static HAS_NO_WORDS: AtomicBool = AtomicBool::new(false);
/// Where the next scan of a CPU begins.
static NEXT: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(0) }; MAX_CPUS];

/// Has the two-level ABI be chosen though Xen has the other.
pub(crate) fn want_two_level() {
    TWO_LEVEL_WANTED.store(true, Ordering::Relaxed);
}

/// Xen has nothing of what it was given, since the domain has moved. CPUs are [brought up](bring_up)
/// again, the first of them alone. No CPU runs meanwhile but this one.
pub(super) fn forget() {
    for has_control in &HAS_CONTROL {
        has_control.store(false, Ordering::Relaxed);
    }
    HAS_NO_WORDS.store(true, Ordering::Relaxed);
    if let Some(Abi::TwoLevel(bits)) = chosen() {
        bits.mask_all();
    }
}

/// The ABI, once it is chosen.
pub(crate) fn chosen() -> Option<&'static Abi> {
    CHOSEN.get()
}

/// Readies this CPU, the first of all chooses. Interrupts off.
pub(crate) fn bring_up(
    kernel: &dyn Kernel,
    vcpu: VcpuId,
    frame: &'static SharedFrame,
) -> Result<(), BindError> {
    let cpu = kernel.cpu_index();
    let abi = CHOSEN.try_call_once(|| {
        let bits = Bits::of(shared_info::get().ok_or(BindError("Xen shares no page"))?);
        bits.mask_all();
        let use_two_level = TWO_LEVEL_WANTED.load(Ordering::Relaxed);
        Ok(
            match !use_two_level && give_control(kernel, cpu, vcpu, frame)? {
                true => Abi::Fifo,
                false => Abi::TwoLevel(bits),
            },
        )
    })?;
    match abi {
        Abi::TwoLevel(_) => {}
        Abi::Fifo if give_control(kernel, cpu, vcpu, frame)? => give_words_again(kernel)
            .map_err(|_| BindError("Xen does not take the event words again"))?,
        Abi::Fifo => return Err(BindError("Xen takes no events for this CPU")),
    }
    offline::come(cpu);
    Ok(())
}

/// Gives Xen the control block of this CPU, if it has it not yet. `false` if Xen does not take it.
fn give_control(
    kernel: &dyn Kernel,
    cpu: usize,
    vcpu: VcpuId,
    frame: &'static SharedFrame,
) -> Result<bool, BindError> {
    let has = &HAS_CONTROL[cpu];
    if has.load(Ordering::Relaxed) {
        return Ok(true);
    }
    QUEUES[cpu].clear(&frame.control);
    let place = shared_frame::place(kernel, &frame.control);
    let (number, offset) = place.ok_or(BindError("the shared frame has no physical address"))?;
    // SAFETY: the frame is shared for good.
    let Ok(link_bits) = (unsafe { operations::init_control(number, offset, vcpu) }) else {
        return Ok(false);
    };
    if link_bits != fifo::LINK_BITS {
        return Err(BindError("Xen's event words are not as they should be"));
    }
    has.store(true, Ordering::Relaxed);
    Ok(true)
}

/// Gives Xen the frames of words, if it had them before the domain has moved.
fn give_words_again(kernel: &dyn Kernel) -> Result<(), XenError> {
    if !HAS_NO_WORDS.swap(false, Ordering::Relaxed) {
        return Ok(());
    }
    WORDS.add_again(|page| give_words(kernel, page))
}

impl Abi {
    /// Masks a port; whether it was masked before.
    pub(crate) fn mask(&self, port: Port) -> bool {
        match self {
            Abi::TwoLevel(bits) => bits.mask(port),
            Abi::Fifo => WORDS.mask(port),
        }
    }

    pub(crate) fn unmask(&self, port: Port) -> Result<(), XenError> {
        let unmasked = match self {
            Abi::TwoLevel(bits) => bits.unmask(port),
            Abi::Fifo => WORDS.unmask(port),
        };
        match unmasked {
            Unmasked::Done => Ok(()),
            Unmasked::ByXen => operations::unmask(port),
        }
    }

    #[cfg(target_arch = "x86_64")]
    pub(super) fn is_masked(&self, port: Port) -> bool {
        match self {
            Abi::TwoLevel(bits) => bits.is_masked(port),
            Abi::Fifo => WORDS.is_masked(port),
        }
    }

    /// Gives a port the event back that was taken from it: it comes again, once the port is not masked.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn put_back(&self, port: Port) {
        match self {
            Abi::TwoLevel(bits) => bits.set_pending(port),
            Abi::Fifo => WORDS.set_pending(port),
        }
        // Xen announces what it unmasks itself; where the port is masked, whoever unmasks it sees the event.
        if !self.mask(port) {
            // It is refused only if the port was closed meanwhile.
            let _ = operations::unmask(port);
        }
    }

    pub(crate) fn clear_pending(&self, port: Port) {
        match self {
            Abi::TwoLevel(bits) => bits.clear_pending(port),
            Abi::Fifo => WORDS.clear_pending(port),
        }
    }

    /// Makes room for the state of a port that Xen has given. Not in an interrupt handler.
    pub(crate) fn make_room(&self, kernel: &dyn Kernel, port: Port) -> Result<(), XenError> {
        match self {
            Abi::TwoLevel(_) if port.0 < two_level::PORTS => Ok(()),
            Abi::Fifo if port.0 < fifo::PORTS => make_words(kernel, port),
            _ => Err(XenError::OUT_OF_RANGE),
        }
    }

    /// Calls `visit` for each port that has an event for this CPU and is not masked. In the upcall.
    pub(crate) fn visit_ready(
        &self,
        cpu: usize,
        info: &VcpuInfo,
        mut visit: impl FnMut(Port),
    ) -> Left {
        /// Words of queues in one upcall.
        const LIMIT: u32 = 4096;
        match self {
            Abi::TwoLevel(bits) => {
                let selector = info.pending_selector.swap(0, Ordering::AcqRel);
                let next = &NEXT[cpu];
                bits.scan(selector, Port(next.load(Ordering::Relaxed)), |port| {
                    next.store(port.0 + 1, Ordering::Relaxed);
                    visit(port);
                });
                Left::Nothing
            }
            Abi::Fifo => match shared_frame::of(cpu) {
                Some(frame) => QUEUES[cpu].consume(&WORDS, &frame.control, LIMIT, visit, stray),
                None => Left::Nothing,
            },
        }
    }
}

/// Adds frames of words until there is one for the port.
fn make_words(kernel: &dyn Kernel, port: Port) -> Result<(), XenError> {
    let _growing = GROWING.lock();
    // Ends: each turn adds a frame, and the port is below the end of the last that there can be.
    while WORDS.get(port).is_none() {
        let frame = kernel.shared_frame().ok_or(XenError::OUT_OF_MEMORY)?;
        // SAFETY: the frame is page-aligned, mapped for good, and nobody's but ours and Xen's. Zeroes
        // are good for atomics.
        let page: &'static fifo::Page = unsafe { frame.cast().as_ref() };
        WORDS.add(page, || give_words(kernel, page))?;
    }
    Ok(())
}

fn give_words(kernel: &dyn Kernel, page: &'static fifo::Page) -> Result<(), XenError> {
    let (number, _) = shared_frame::place(kernel, page).ok_or(XenError::BAD_ADDRESS)?;
    // SAFETY: the frame is shared for good.
    unsafe { operations::expand_array(number) }
}
