//! Exit ops and sites in assembly: IRET leads from user mode to user mode as well.

use pvops_core::{InterruptFrame, cpu};
use pvops_tests::check::Outcome;

/// Goes where a frame says, once from assembly and once from Rust, with the registers as they are.
pub(crate) fn exits() -> Outcome {
    const VALUE: usize = 0x1234_5678;
    // SAFETY: both come back.
    let (by_assembly, by_rust) = unsafe { (exit_and_return(VALUE), call_exit(VALUE, exit)) };
    match (by_assembly, by_rust) {
        (VALUE, VALUE) => Ok(()),
        other => Err(format!("a register's {VALUE:#x} became {other:#x?}")),
    }
}

unsafe extern "C" fn exit(frame: *const InterruptFrame) -> ! {
    // SAFETY: the frame leads to `call_exit`, which needs nothing of this function's stack.
    unsafe { cpu::interrupt_return(frame) }
}

cfg_if::cfg_if! {
    if #[cfg(target_arch = "x86_64")] {
        #[path = "exits/x86_64.rs"]
        mod selected;
    } else {
        #[path = "exits/x86.rs"]
        mod selected;
    }
}
use selected::{call_exit, exit_and_return};
pub(crate) use selected::{return_from_call, return_from_jump};
