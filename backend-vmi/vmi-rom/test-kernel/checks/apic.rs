//! The local APIC by calls.

use core::arch::x86::__cpuid;

use crate::abi::call::Call;
use crate::boot::BootInformation;
use crate::console::check;
use crate::interrupts::{self, SELF};
use crate::rom::Rom;

const IDENTIFIER: u32 = 0x20;
const VERSION: u32 = 0x30;
const TASK_PRIORITY: u32 = 0x80;
const SPURIOUS: u32 = 0xF0;
const COMMAND: u32 = 0x300;
const COMMAND_HIGH: u32 = 0x310;
const TO_SELF: u32 = 1 << 18;

pub(super) fn run(rom: Rom, information: &BootInformation) {
    let read = |register| rom.call(Call::APIC_READ, register, 0, 0) as u32;
    let write = |register, value| _ = rom.call(Call::APIC_WRITE, register, value, 0);
    check!(read(VERSION) & 0xF0 == 0x10, "the APIC's version");
    check!(
        read(0xFEE0_0000 | VERSION) == read(VERSION),
        "an address does as well as an offset"
    );
    let own = read(IDENTIFIER) >> 24;
    check!(own == __cpuid(1).ebx >> 24, "the APIC's identifier");
    write(TASK_PRIORITY, 0x20);
    check!(read(TASK_PRIORITY) == 0x20, "APICWrite");
    write(TASK_PRIORITY, 0);
    write(SPURIOUS, 0x1FF);

    let before = interrupts::count(SELF);
    write(COMMAND, TO_SELF | SELF as u32);
    check!(interrupts::wait(SELF, before), "an interrupt to itself");
    let before = interrupts::count(SELF);
    write(COMMAND_HIGH, own << 24);
    write(COMMAND, SELF as u32);
    check!(interrupts::wait(SELF, before), "an interrupt by identifier");
    // The first has ended, or the second could not come.
    let before = interrupts::count(SELF);
    write(COMMAND, TO_SELF | SELF as u32);
    check!(
        interrupts::wait(SELF, before),
        "a third, as the others have ended"
    );
    if information.has("hypercalls") {
        use crate::abi::extension::statistic;
        check!(
            rom.read_count(statistic::HYPERCALL_IPIS) == 1,
            "one was sent by a hypercall"
        );
    }
}
