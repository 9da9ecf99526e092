//! Faults of ops, which Linux makes signals.

use std::sync::atomic::{AtomicUsize, Ordering};

use pvops_core::{Op, extable, op};
use pvops_tests::process::{interrupted, take_signal};

/// Lets the exception table handle #GP, which Linux makes a SIGSEGV; and takes the trap of an op
/// that is not available, a SIGILL, as the end of its call site.
pub(crate) fn catch() {
    for signal in [libc::SIGSEGV, libc::SIGILL] {
        // SAFETY: the handler touches nothing but the interrupted registers and an atomic.
        unsafe { take_signal(signal, on_fault) };
    }
}

/// How many traps of the op `apic.eoi` have been caught.
pub(crate) fn traps() -> usize {
    TRAPS.load(Ordering::Relaxed)
}

static TRAPS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn on_fault(signal: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes the interrupted context.
    let [pointer, _] = unsafe { interrupted(context) };
    let next = match signal {
        libc::SIGSEGV => extable::fixup(*pointer as usize),
        _ => {
            TRAPS.fetch_add(1, Ordering::Relaxed);
            Some(*pointer as usize + usize::from(<op::apic::eoi as Op>::SITE_LENGTH))
        }
    };
    match next {
        Some(address) => *pointer = address as isize,
        // SAFETY: a fault that nobody expects ends the process.
        None => unsafe { libc::abort() },
    }
}
