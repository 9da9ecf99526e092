//! The local APIC's registers, by calls.

use super::count::{Statistic, count};
use super::cpu::Cpu;
use super::entries::Arguments;
use super::interrupts_off::InterruptsOff;
use super::state::State;
use super::{alarm, deferred, start, window};

pub(super) const EOI: u32 = 0xB0;
const INTERRUPT_COMMAND: u32 = 0x300;
const INTERRUPT_COMMAND_HIGH: u32 = 0x310;
/// The low 12 bits say which register, whether the guest passes its address or its offset.
const REGISTER_MASK: u32 = 0xFF0;

/// APICRead.
pub(super) extern "C" fn read(arguments: &Arguments) -> u64 {
    u64::from(window::read(arguments.eax))
}

/// APICWrite.
pub(super) extern "C" fn write(arguments: &Arguments) -> u64 {
    let value = arguments.edx;
    match arguments.eax & REGISTER_MASK {
        EOI => end_interrupt(),
        INTERRUPT_COMMAND => send(value),
        alarm::TIMER_VECTOR | alarm::TIMER_DIVIDE => set_timer(arguments.eax, value),
        register => window::write(register, value),
    }
    0
}

fn set_timer(register: u32, value: u32) {
    let state = State::get();
    let interrupts_off = InterruptsOff::new();
    window::write(register, value);
    if let Some(cpu) = Cpu::current(state, &interrupts_off) {
        alarm::timer_was_written(state, cpu);
    }
}

fn end_interrupt() {
    let state = State::get();
    let interrupts_off = InterruptsOff::new();
    let Some(cpu) = Cpu::current(state, &interrupts_off) else {
        return window::write(EOI, 0);
    };
    let is_alarm = alarm::is_in_service(cpu);
    if cpu.records.take_end() {
        count(Statistic::SavedEnds);
    } else {
        window::write(EOI, 0);
    }
    if is_alarm {
        alarm::has_come(state, cpu);
    }
}

/// Other CPUs may look at what this one was to write.
fn send(command: u32) {
    deferred::flush();
    let state = State::get();
    let destination = || window::read(INTERRUPT_COMMAND_HIGH) >> 24;
    if let Some(kvm) = state.kvm.get()
        && kvm.send(command, destination)
    {
        return count(Statistic::HypercallIpis);
    }
    let command = start::redirect(state, command, destination);
    window::write(INTERRUPT_COMMAND, command);
}
