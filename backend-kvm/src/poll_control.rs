//! Who polls when this CPU halts: the host, for some microseconds in the hope of a quick wake-up, or
//! the kernel itself.

use pvops_core::cpu;

use crate::features::{Features, NotOffered};

/// MSR_KVM_POLL_CONTROL: 1 if the host may poll, as it may at first.
const POLL_CONTROL: u32 = 0x4b56_4d05;

/// Has the host not poll when this CPU halts, because the kernel polls before it halts. On each CPU,
/// any context, after the CPU was brought up; [`take_down_cpu`](pvops_core::take_down_cpu) ends it.
///
/// # Errors
///
/// If the host has no poll control.
pub fn stop_host_polling() -> Result<(), NotOffered> {
    Features::POLL_CONTROL.demand()?;
    write(0);
    Ok(())
}

/// Lets the host poll again when this CPU halts. On each CPU, any context.
///
/// # Errors
///
/// If the host has no poll control.
pub fn resume_host_polling() -> Result<(), NotOffered> {
    Features::POLL_CONTROL.demand()?;
    write(1);
    Ok(())
}

fn write(may_poll: u64) {
    // SAFETY: the feature bit says that the register exists; it has no effect on what runs.
    unsafe { cpu::write_msr(POLL_CONTROL, may_poll) };
}
