//! A Linux process as the kernel.

use core::ffi::{c_int, c_void};
use core::ops::Range;
use core::ptr::NonNull;
use std::boxed::Box;
use std::io;

use super::state::with;
use crate::Kernel;

/// This process as the kernel that the library asks: memory to share is its own, physical addresses are
/// virtual ones, a CPU is a thread, and text is made writable while it is patched. It has no devices.
#[derive(Clone, Copy, Debug)]
pub struct Process;

// SAFETY: frames are never freed; text is writable while `write` runs.
unsafe impl Kernel for Process {
    fn virtual_to_physical(&self, address: usize) -> Option<u64> {
        Some(address as u64)
    }

    fn shared_frame(&self) -> Option<NonNull<u8>> {
        #[repr(align(4096))]
        struct Frame(#[allow(dead_code)] [u8; PAGE]);
        let frame = NonNull::from(Box::leak(Box::new(Frame([0; PAGE])))).cast::<u8>();
        with(|state| state.frames.push(frame.as_ptr().expose_provenance()));
        Some(frame)
    }

    fn map_device(&self, _physical: u64, _length: usize) -> Option<NonNull<u8>> {
        None
    }

    fn cpu_index(&self) -> usize {
        with(|state| state.index)
    }

    unsafe fn with_writable_text(&self, range: Range<usize>, write: &mut dyn FnMut(isize)) {
        protect(&range, READ | WRITE | EXECUTE);
        write(0);
        protect(&range, READ | EXECUTE);
    }
}

const PAGE: usize = 4096;

/// PROT_READ, PROT_WRITE and PROT_EXEC of Linux's include/uapi/asm-generic/mman-common.h.
const READ: c_int = 1;
const WRITE: c_int = 2;
const EXECUTE: c_int = 4;

unsafe extern "C" {
    /// Of the C library, which std links.
    fn mprotect(address: *mut c_void, length: usize, protection: c_int) -> c_int;
}

/// Sets the protection of all pages that the range of text touches.
fn protect(range: &Range<usize>, protection: c_int) {
    let start = range.start & !(PAGE - 1);
    // SAFETY: pages of this image's text, which stay readable and executable.
    let result = unsafe { mprotect(start as *mut c_void, range.end - start, protection) };
    assert_eq!(result, 0, "mprotect: {}", io::Error::last_os_error());
}
