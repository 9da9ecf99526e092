//! Clocks and counters that the machine has. What reading one costs is for the host to count.

use pvops_core::{Kernel, cpu, io, time};

use super::Outcome;
use crate::boot;
use crate::platform::Platform;
use crate::text::{ensure, text};

/// The library's clock.
pub(super) fn library() -> Outcome {
    goes_on(u64::MAX, time::clock_ns)
}

/// The time-stamp counter.
pub(super) fn tsc() -> Outcome {
    goes_on(u64::MAX, cpu::read_tsc_ordered)
}

/// The power-management timer. ACPI 6.5, section 4.8.3.3: some have 24 bits, some 32.
pub(super) fn pm_timer() -> Outcome {
    let port = boot::pm_timer().ok_or(text!("there is none"))?;
    // SAFETY: reading the timer has no effect.
    goes_on(0xff_ffff, || u64::from(unsafe { io::in32(port) }))
}

/// The high-precision event timer. IA-PC HPET specification 1.0a, section 2.3.
pub(super) fn hpet() -> Outcome {
    const LENGTH: usize = 1024;
    const CONFIGURATION: usize = 0x010;
    const ENABLE: u32 = 1 << 0;
    const COUNTER: usize = 0x0f0;
    let physical = boot::hpet().ok_or(text!("there is none"))?;
    let registers = Platform
        .map_device(physical, LENGTH)
        .ok_or(text!("no addresses are left"))?;
    // SAFETY: the registers were just mapped.
    let register = |offset: usize| unsafe { registers.as_ptr().add(offset).cast::<u32>() };
    // SAFETY: as above; starting the counter disturbs nobody.
    unsafe {
        let configuration = register(CONFIGURATION).read_volatile();
        register(CONFIGURATION).write_volatile(configuration | ENABLE);
    }
    goes_on(u64::from(u32::MAX), || {
        // SAFETY: as above.
        u64::from(unsafe { register(COUNTER).read_volatile() })
    })
}

/// Channel 2 of the programmable interval timer, which counts down. Intel 8254: mode 0; the gate is in
/// port 0x61.
pub(super) fn pit() -> Outcome {
    const CHANNEL: u16 = 0x42;
    const COMMAND: u16 = 0x43;
    const GATE: u16 = 0x61;
    // SAFETY: the channel is the speaker's, which stays off.
    unsafe {
        io::out8(GATE, io::in8(GATE) & !2 | 1);
        io::out8(COMMAND, 0b1011_0000);
        io::out8(CHANNEL, 0xff);
        io::out8(CHANNEL, 0xff);
    }
    goes_on(0xffff, || {
        // SAFETY: as above.
        let count = unsafe {
            io::out8(COMMAND, 0b1000_0000);
            u16::from_le_bytes([io::in8(CHANNEL), io::in8(CHANNEL)])
        };
        u64::from(!count)
    })
}

/// Reads a counter with so many bits again and again. It goes on, and never back; a step of more than
/// half the way round is one back.
fn goes_on(mask: u64, read: impl Fn() -> u64) -> Outcome {
    const READS: u64 = 2000;
    let mut last = read();
    let mut passed = 0;
    for _ in 1..READS {
        let now = read();
        let step = now.wrapping_sub(last) & mask;
        ensure!(step <= mask / 2, "it went back from {last} to {now}");
        passed += step;
        last = now;
    }
    ensure!(passed > 0, "it stands at {last}");
    Ok(text!("{READS} reads, {passed} later"))
}
