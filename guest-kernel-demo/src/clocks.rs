//! Counters of a PC that the kernel itself has no use for: its self-test and its benchmarks read them.

use core::ptr::NonNull;

use pvops_core::{Kernel, io};

use crate::boot;
use crate::platform::Platform;

/// Channel 2 of the programmable interval timer, which counts down. Intel 8254: mode 0; the gate is in
/// port 0x61.
pub(crate) struct Pit(());

impl Pit {
    const CHANNEL: u16 = 0x42;
    const COMMAND: u16 = 0x43;

    /// Starts the channel. Only where there is a PIT.
    pub(crate) fn start() -> Self {
        const GATE: u16 = 0x61;
        // SAFETY: the channel is the speaker's, which stays off.
        unsafe {
            io::out8(GATE, io::in8(GATE) & !2 | 1);
            io::out8(Self::COMMAND, 0b1011_0000);
            io::out8(Self::CHANNEL, 0xff);
            io::out8(Self::CHANNEL, 0xff);
        }
        Self(())
    }

    /// Latches the count, and reads its two halves.
    #[inline(always)]
    pub(crate) fn read(&self) -> u16 {
        // SAFETY: as above.
        unsafe {
            io::out8(Self::COMMAND, 0b1000_0000);
            u16::from_le_bytes([io::in8(Self::CHANNEL), io::in8(Self::CHANNEL)])
        }
    }
}

/// The counter of the high-precision event timer. IA-PC HPET specification 1.0a, section 2.3.
pub(crate) struct Hpet(NonNull<u32>);

impl Hpet {
    /// Starts the counter, which disturbs nobody. `None` if there is none, or no addresses are left.
    pub(crate) fn start() -> Option<Self> {
        const LENGTH: usize = 1024;
        const CONFIGURATION: usize = 0x010;
        const ENABLE: u32 = 1 << 0;
        const COUNTER: usize = 0x0f0;
        let registers = Platform.map_device(boot::hpet()?, LENGTH)?;
        // SAFETY: the registers were just mapped.
        let register = |offset: usize| unsafe { registers.add(offset).cast::<u32>() };
        // SAFETY: as above.
        unsafe {
            let configuration = register(CONFIGURATION).read_volatile();
            register(CONFIGURATION).write_volatile(configuration | ENABLE);
        }
        Some(Self(register(COUNTER)))
    }

    /// The lower half of the counter.
    #[inline(always)]
    pub(crate) fn read(&self) -> u32 {
        // SAFETY: devices stay mapped.
        unsafe { self.0.read_volatile() }
    }
}
