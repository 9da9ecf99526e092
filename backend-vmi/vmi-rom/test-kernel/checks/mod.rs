//! What is checked, in this order.

mod apic;
mod discovery;
mod lazy;
mod machine_state;
mod memory;
mod ports;
mod processors;
mod relocations;
mod time;
mod transfers;

pub(crate) use transfers::back_from_program;

use crate::abi::call;
use crate::abi::extension::statistic;
use crate::boot::BootInformation;
use crate::console::{check, say};
use crate::rom::{self, Rom};

pub(crate) fn run(information: &BootInformation) {
    let Some(rom) = Rom::find() else {
        check!(false, "a ROM is found");
        return;
    };
    discovery::run(rom, information);
    let result = rom.init();
    if information.has("init-fails") {
        check!(result != 0, "VMI_Init fails");
        return;
    }
    check!(result == 0, "VMI_Init succeeds");
    let counts = information.has("count");
    let kvm = information.has("kvm");
    check!(
        rom.read_count(statistic::COUNTING) == u64::from(counts),
        "counting is as asked"
    );
    check!(
        rom.read_count(statistic::PERSONALITY) == u64::from(kvm),
        "the personality is as asked"
    );
    relocations::run(rom, information);
    machine_state::run(rom);
    memory::run(rom);
    ports::run(rom);
    transfers::run(rom, information);
    lazy::run(rom);
    if !information.has("no-apic") {
        apic::run(rom, information);
        if information.has("smp") {
            processors::run(rom);
        }
    }
    if !information.has("no-timer") {
        time::run(rom, information);
    }
    counting(rom, counts);
}

/// The ROM has counted each call that was made, and none else.
fn counting(rom: Rom, counts: bool) {
    for number in 0..call::COUNT {
        let expected = if counts { rom::called(number) } else { 0 };
        let counted = rom.read_count(number);
        if counted != u64::from(expected) {
            say!("call {number}: {counted} counted, {expected} expected");
        }
        check!(counted == u64::from(expected), "count of call {number}");
    }
    check!(
        rom.read_count(0xFFFF) == 0,
        "an unknown number counts nothing"
    );
}
