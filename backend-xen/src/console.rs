//! The op `system.console_byte` in guests that Xen runs in ring 0.
//!
//! dom0 writes to Xen's own console, by a call for each line: Xen prints it as it is. Other domains
//! may do that only where Xen was built for debugging, so they have the port on which Xen collects
//! what HVM guests print; it prints whole lines, with the domain's number before each.

use pvops_core::binding::Binding;
use pvops_core::op::system::console_byte;
use pvops_core::{call, io};
use spin::mutex::SpinMutex;

use crate::hypercall::{HypercallNumber, hypercall};

/// For dom0.
pub(crate) const XEN_CONSOLE: Binding<console_byte> = call!(system::console_byte, write_line);
/// For the others.
pub(crate) const DEBUG_PORT: Binding<console_byte> = call!(system::console_byte, write_port);

/// Where Xen's `hvm_print_line` (arch/x86/hvm/hvm.c) listens.
const PORT: u16 = 0xe9;
/// `CONSOLEIO_write`.
const WRITE: u64 = 0;
const LINE_BYTES: usize = 128;

static LINE: SpinMutex<Line> = SpinMutex::new(Line {
    bytes: [0; LINE_BYTES],
    length: 0,
});

struct Line {
    bytes: [u8; LINE_BYTES],
    length: usize,
}

unsafe extern "C" fn write_line(byte: u8) {
    // Somebody on another CPU, or whom this one has interrupted, is at the line.
    let Some(mut line) = LINE.try_lock() else {
        return print(&[byte]);
    };
    let end = line.length;
    line.bytes[end] = byte;
    line.length += 1;
    if byte == b'\n' || line.length == LINE_BYTES {
        print(&line.bytes[..line.length]);
        line.length = 0;
    }
}

/// Prints what is there of a line that has no end yet.
pub(crate) fn flush() {
    if let Some(mut line) = LINE.try_lock() {
        print(&line.bytes[..line.length]);
        line.length = 0;
    }
}

fn print(bytes: &[u8]) {
    let address = bytes.as_ptr().expose_provenance() as u64;
    let arguments = [WRITE, bytes.len() as u64, address];
    // SAFETY: Xen reads the bytes. There is nobody to tell of an error.
    let _ = unsafe { hypercall(HypercallNumber::CONSOLE_IO, arguments) };
}

unsafe extern "C" fn write_port(byte: u8) {
    // SAFETY: the port takes bytes to print, and does nothing else.
    unsafe { io::out8(PORT, byte) };
}
