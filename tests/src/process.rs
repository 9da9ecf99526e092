//! A Linux process as the kernel: its text and its signals.

use std::ops::Range;
use std::ptr::{self, NonNull};

use pvops_core::site::SiteRecord;
use pvops_core::{Kernel, Op, OpTable, testing};

/// This process, which offers no memory and no devices.
pub struct Process {
    with_writable_text: WithWritableText,
}

/// [`Kernel::with_writable_text`] as a function.
pub type WithWritableText = fn(Range<usize>, &mut dyn FnMut(isize));

/// This process, which lifts the protection of its text while it is written.
pub const PROCESS: Process = Process {
    with_writable_text: lift_protection,
};

impl Process {
    /// This process, which writes its text in another way.
    ///
    /// # Safety
    ///
    /// The function does what [`Kernel::with_writable_text`] should.
    pub const unsafe fn new(with_writable_text: WithWritableText) -> Self {
        Self { with_writable_text }
    }
}

// SAFETY: text is writable while `write` runs; the rest is not offered.
unsafe impl Kernel for Process {
    fn virtual_to_physical(&self, _address: usize) -> Option<u64> {
        None
    }

    fn shared_frame(&self) -> Option<NonNull<u8>> {
        None
    }

    fn map_device(&self, _physical: u64, _length: usize) -> Option<NonNull<u8>> {
        None
    }

    fn cpu_index(&self) -> usize {
        0
    }

    unsafe fn with_writable_text(&self, range: Range<usize>, write: &mut dyn FnMut(isize)) {
        (self.with_writable_text)(range, write);
    }
}

fn lift_protection(range: Range<usize>, write: &mut dyn FnMut(isize)) {
    // SAFETY: whoever patches sees to it that nobody else runs the text.
    unsafe { testing::Process.with_writable_text(range, write) };
}

/// Sets the protection of all pages of this image that the range touches.
///
/// # Panics
///
/// Linux refuses.
pub fn protect(range: &Range<usize>, protection: i32) {
    let start = range.start & !(PAGE - 1);
    let length = range.end - start;
    // SAFETY: pages of this image; what they may be used for is up to the caller.
    let result = unsafe { libc::mprotect(start as *mut libc::c_void, length, protection) };
    assert_eq!(result, 0, "mprotect: {}", std::io::Error::last_os_error());
}

/// Bytes of a page.
pub const PAGE: usize = 4096;

/// From the first byte of the sites to behind the last.
pub fn span(sites: &[SiteRecord]) -> Range<usize> {
    let start = sites.iter().map(SiteRecord::address).min().unwrap_or(0);
    let end = sites
        .iter()
        .map(|site| site.address() + site.length())
        .max()
        .unwrap_or(0);
    start..end
}

/// A copy of the text from the first site to the last.
pub fn text(span: &Range<usize>) -> Vec<u8> {
    // SAFETY: from the first site to the last, all of it text that nobody writes now.
    unsafe { std::slice::from_raw_parts(span.start as *const u8, span.len()) }.to_vec()
}

/// What the table holds for an op: the function that its unpatched sites call.
pub fn slot_of<O: Op>() -> usize {
    let slot = (&raw const *OpTable::get()).addr() + usize::from(O::NUMBER.0) * size_of::<usize>();
    // SAFETY: the slot of an op that exists.
    unsafe { (slot as *const usize).read_volatile() }
}

/// Where in an interrupted context the instruction pointer is, and the stack pointer.
///
/// # Safety
///
/// The context is one that a [`SignalHandler`] was given, whose use ends with the handler.
pub unsafe fn interrupted<'a>(context: *mut libc::c_void) -> [&'a mut isize; 2] {
    cfg_if::cfg_if! {
        if #[cfg(target_arch = "x86_64")] {
            const REGISTERS: [usize; 2] = [libc::REG_RIP as usize, libc::REG_RSP as usize];
        } else {
            // REG_EIP and REG_ESP of sys/ucontext.h.
            const REGISTERS: [usize; 2] = [14, 7];
        }
    }
    // SAFETY: as the caller vouches. The saved registers come first in `mcontext_t`, which some C
    // libraries do not say.
    let registers = unsafe {
        let context = context.cast::<libc::ucontext_t>();
        let registers = (&raw mut (*context).uc_mcontext).cast::<[isize; 17]>();
        &mut *registers
    };
    registers
        .get_disjoint_mut(REGISTERS)
        .expect("two registers")
}

/// The record of a site 64 bytes behind it, in a fresh page beyond 2 GiB from this image in any
/// layout of Linux's. A process can ask for it once.
///
/// # Errors
///
/// Linux has no page there.
#[cfg(target_pointer_width = "64")]
pub fn far_site(op: pvops_core::OpNumber, length: u8) -> Result<&'static [SiteRecord], String> {
    let place = 0x1000_0000_0000_usize + usize::from(op.0) * PAGE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: asks for fresh memory where nothing is.
    let page = unsafe {
        libc::mmap(place as *mut libc::c_void, PAGE, protection, flags, -1, 0).cast::<SiteRecord>()
    };
    if page.addr() != place {
        return Err(format!("mmap: {}", std::io::Error::last_os_error()));
    }
    // SAFETY: the page is ours and stays; the record's site lies in it.
    unsafe {
        page.write(SiteRecord::new(64, op, length));
        Ok(std::slice::from_raw_parts(page, 1))
    }
}

/// A handler of signals that is told about the interrupted code.
pub type SignalHandler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// Lets `handler` take a signal.
///
/// # Safety
///
/// The handler may run between any two instructions, and leaves the interrupted code able to go on.
pub unsafe fn take_signal(signal: i32, handler: SignalHandler) {
    // SAFETY: the caller vouches for the handler.
    let result = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(signal, &action, ptr::null_mut())
    };
    assert_eq!(result, 0, "sigaction: {}", std::io::Error::last_os_error());
}
