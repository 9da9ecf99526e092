//! Time and the event.

use std::cell::Cell;
use std::rc::Rc;

use pvops_core::event::EventStatus;
use pvops_core::testing::Cpu;
use pvops_core::{cpu, irq, time};

const VECTOR: u8 = 0x40;

fn counting() -> (Cpu, Rc<Cell<u32>>) {
    let this = Cpu::new();
    let count = Rc::new(Cell::new(0));
    let counted = count.clone();
    this.on_interrupt(VECTOR, move || counted.set(counted.get() + 1));
    // SAFETY: the vector has its handler.
    unsafe {
        time::setup_event(VECTOR);
        irq::enable();
    }
    (this, count)
}

#[test]
fn time_passes_when_it_is_told_to() {
    let this = Cpu::new();
    let start_ns = time::clock_ns();
    this.advance_ns(1_000_000);
    assert_eq!(time::clock_ns(), start_ns + 1_000_001);
    this.set_tsc(u64::MAX - 1);
    assert_eq!(cpu::read_tsc(), u64::MAX - 1);
    this.advance_ns(9);
    assert_eq!(cpu::read_tsc_ordered(), 8);
    assert_eq!(time::wall_clock_ns(), 0);
    this.set_wall_clock_ns(1_700_000_000_000_000_000);
    this.advance_ns(5);
    assert_eq!(time::wall_clock_ns(), 1_700_000_000_000_000_005);
    assert_eq!((time::stolen_ns(0), time::was_stopped()), (0, false));
}

#[test]
fn an_event_comes_once_when_its_time_has_come() {
    let (this, count) = counting();
    let deadline_ns = time::clock_ns() + 100;
    assert_eq!(time::set_event(deadline_ns), EventStatus::SET);
    this.advance_ns(50);
    assert_eq!(count.get(), 0);
    while time::clock_ns() < deadline_ns {}
    assert_eq!(count.get(), 1);
    this.advance_ns(1000);
    assert_eq!(count.get(), 1);
    assert_eq!(time::set_event(deadline_ns), EventStatus::PASSED);
    assert_eq!(count.get(), 2);
    assert_eq!(time::set_event(u64::MAX), EventStatus::SET);
    time::cancel_event();
    this.advance_ns(u64::MAX / 2);
    assert_eq!(count.get(), 2);
}

#[test]
fn a_halt_lasts_until_the_event() {
    let (_this, count) = counting();
    let deadline_ns = time::clock_ns() + 3_600_000_000_000;
    assert_eq!(time::set_event(deadline_ns), EventStatus::SET);
    irq::halt();
    assert_eq!((count.get(), time::clock_ns()), (1, deadline_ns + 1));
}
