//! A Linux process as the kernel: its text, and its faults.

use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use pvops_core::{Kernel, Op, extable, op};

/// This process.
pub(crate) struct Process;

const PAGE: usize = 4096;

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
        let read_execute = libc::PROT_READ | libc::PROT_EXEC;
        protect(&range, read_execute | libc::PROT_WRITE);
        write(0);
        protect(&range, read_execute);
    }
}

/// Sets the protection of all pages that the range touches.
pub(crate) fn protect(range: &Range<usize>, protection: i32) {
    let start = range.start & !(PAGE - 1);
    let length = range.end - start;
    // SAFETY: pages of this image; what they may be used for is up to the caller.
    let result = unsafe { libc::mprotect(start as *mut libc::c_void, length, protection) };
    assert_eq!(result, 0, "mprotect: {}", std::io::Error::last_os_error());
}

/// How many traps of the op `apic.eoi` have been caught.
pub(crate) fn traps() -> usize {
    TRAPS.load(Ordering::Relaxed)
}

static TRAPS: AtomicUsize = AtomicUsize::new(0);

/// Lets the exception table handle #GP, which Linux makes a SIGSEGV; and takes the trap of an op
/// that is not available, a SIGILL, as the end of its call site.
pub(crate) fn catch_faults() {
    for signal in [libc::SIGSEGV, libc::SIGILL] {
        // SAFETY: the handler touches nothing but the interrupted registers and an atomic.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_fault as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO;
            assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0);
        }
    }
}

extern "C" fn on_fault(signal: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes the interrupted context.
    let rip = unsafe {
        &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RIP as usize]
    };
    let next = match signal {
        libc::SIGSEGV => extable::fixup(*rip as usize),
        _ => {
            TRAPS.fetch_add(1, Ordering::Relaxed);
            Some(*rip as usize + usize::from(<op::apic::eoi as Op>::SITE_LENGTH))
        }
    };
    match next {
        Some(address) => *rip = address as i64,
        // SAFETY: a fault that nobody expects ends the process.
        None => unsafe { libc::abort() },
    }
}
