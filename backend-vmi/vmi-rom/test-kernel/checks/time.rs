//! Counters, alarms and the time of day.

use crate::abi::call::Call;
use crate::abi::time::{AlarmFlags, Counter};
use crate::boot::BootInformation;
use crate::console::{check, input, out, say};
use crate::interrupts::{self, LOCAL_TIMER, TIMER, URGENT};
use crate::rom::Rom;

const TASK_PRIORITY: u32 = 0x80;
const COMMAND: u32 = 0x300;
const TO_SELF: u32 = 1 << 18;
const LOCAL_VECTOR_TIMER: u32 = 0x320;
const MASKED: u32 = 1 << 16;
const TIMER_CURRENT: u32 = 0x390;
const NANOSECONDS: u64 = 1_000_000_000;
/// 1 January 2020.
const NOT_LONG_AGO: u64 = 1_577_836_800;

pub(super) fn run(rom: Rom, information: &BootInformation) {
    let rate = rom.call(Call::GET_CYCLE_FREQUENCY, 0, 0, 0);
    say!("{rate} cycles per second");
    check!(rate > 1_000_000, "a rate");
    counters(rom);
    time_stamps(rom, rate);
    irq0(rom, rate);
    if !information.has("no-apic") {
        local(rom, rate);
    }
    wallclock(rom, information);
}

fn counter(rom: Rom, counter: Counter) -> u64 {
    rom.call(Call::GET_CYCLE_COUNTER, counter.0, 0, 0)
}

fn counters(rom: Rom) {
    let first = counter(rom, Counter::REAL);
    let available = counter(rom, Counter::AVAILABLE);
    let stolen = counter(rom, Counter::STOLEN);
    let last = counter(rom, Counter::REAL);
    check!(first < last, "real time goes on");
    let sum = available + stolen;
    say!("stolen: {stolen} cycles of {last}");
    check!(
        (first..=last).contains(&sum) || stolen > 0,
        "available and stolen cycles add up"
    );
    check!(
        available <= last && stolen <= last,
        "neither is more than all"
    );
    check!(
        rom.call(Call::GET_CYCLE_COUNTER, 3, 0, 0) == 0,
        "there is no counter 3"
    );
}

/// Linux takes the rate for that of RDTSC. Looks at both from outside and inside, so that an interruption
/// does not matter.
fn time_stamps(rom: Rom, rate: u64) {
    let real = || counter(rom, Counter::REAL);
    let look = || (real(), rom.call(Call::RDTSC, 0, 0, 0), real());
    let (first_before, first, first_after) = look();
    let mut last = look();
    while last.0 < first_after + rate / 20 {
        last = look();
    }
    let (last_before, last, last_after) = last;
    let elapsed = last - first;
    say!(
        "{elapsed} time stamps in {} cycles",
        last_before - first_after
    );
    let tolerance = elapsed / 64;
    check!(
        last_before - first_after <= elapsed + tolerance
            && last_after - first_before + tolerance >= elapsed,
        "cycles are as long as the time-stamp counter's"
    );
}

fn set(rom: Rom, flags: u32, expiry: u64, period: u64) {
    let halves = |value: u64| [value as u32, (value >> 32) as u32];
    let [low, high] = halves(expiry);
    rom.call_with_stack(Call::SET_ALARM, [flags, low, high], halves(period));
}

fn cancel(rom: Rom, counter: Counter) -> u64 {
    cancel_by_flags(rom, counter.0)
}

/// Linux passes what it has set the alarm by.
fn cancel_by_flags(rom: Rom, flags: u32) -> u64 {
    rom.call(Call::CANCEL_ALARM, flags, 0, 0) & 0xFFFF_FFFF
}

fn irq0(rom: Rom, rate: u64) {
    // One of the BIOS's.
    interrupts::let_come();
    let now = counter(rom, Counter::REAL);
    let before = interrupts::count(TIMER);
    set(rom, AlarmFlags::WIRED_IRQ0, now + rate / 50, 0);
    check!(interrupts::wait(TIMER, before), "an alarm by IRQ 0");
    check!(
        counter(rom, Counter::REAL) >= now + rate / 100,
        "not long before its time"
    );
    let periodic = AlarmFlags::WIRED_IRQ0 | AlarmFlags::PERIODIC;
    let now = counter(rom, Counter::REAL);
    set(rom, periodic, now + rate / 100, rate / 100);
    for beat in 0..3 {
        let before = interrupts::count(TIMER);
        check!(interrupts::wait(TIMER, before), "beat {beat} by IRQ 0");
    }
    check!(
        cancel_by_flags(rom, periodic) == 1,
        "an alarm by IRQ 0 was set"
    );
    check!(cancel_by_flags(rom, periodic) == 0, "and is no more");
}

fn local(rom: Rom, rate: u64) {
    rom.call(Call::APIC_WRITE, LOCAL_VECTOR_TIMER, LOCAL_TIMER as u32, 0);
    let lvtt = AlarmFlags::WIRED_LVTT;
    let now = counter(rom, Counter::REAL);
    let before = interrupts::count(LOCAL_TIMER);
    set(rom, lvtt, now + rate / 50, 0);
    check!(
        interrupts::wait(LOCAL_TIMER, before),
        "an alarm by the local APIC"
    );
    // Rates are measured, and a busy host disturbs that: the alarm comes again if it was early.
    for _ in 0..100 {
        let before = interrupts::count(LOCAL_TIMER);
        if counter(rom, Counter::REAL) >= now + rate / 50 {
            break;
        }
        check!(
            interrupts::wait(LOCAL_TIMER, before),
            "the alarm comes again"
        );
    }
    check!(
        counter(rom, Counter::REAL) >= now + rate / 50,
        "an alarm comes at its time"
    );
    check!(cancel(rom, Counter::REAL) == 0, "it is over");

    let before = interrupts::count(LOCAL_TIMER);
    set(rom, lvtt, counter(rom, Counter::REAL).saturating_sub(1), 0);
    check!(
        interrupts::wait(LOCAL_TIMER, before),
        "an alarm in the past comes at once"
    );

    let now = counter(rom, Counter::AVAILABLE);
    set(
        rom,
        lvtt | AlarmFlags::PERIODIC | Counter::AVAILABLE.0,
        now + rate / 100,
        rate / 100,
    );
    let first = interrupts::count(LOCAL_TIMER);
    for beat in 0..5 {
        let before = interrupts::count(LOCAL_TIMER);
        check!(
            interrupts::wait(LOCAL_TIMER, before),
            "beat {beat} by the local APIC"
        );
    }
    let beats = interrupts::count(LOCAL_TIMER) - first;
    let elapsed = counter(rom, Counter::AVAILABLE) - now;
    check!(
        elapsed >= rate / 200 * u64::from(beats),
        "beats keep their distance"
    );
    // Both counters have an alarm.
    set(rom, lvtt, counter(rom, Counter::REAL) + rate * 3600, 0);
    let before = interrupts::count(LOCAL_TIMER);
    check!(
        interrupts::wait(LOCAL_TIMER, before),
        "the earlier of two alarms comes"
    );
    check!(
        cancel(rom, Counter::AVAILABLE) == 1,
        "a periodic alarm was set"
    );
    check!(cancel(rom, Counter::AVAILABLE) == 0, "and is no more");
    check!(cancel(rom, Counter::REAL) == 1, "the other alarm was set");
    check!(
        cancel(rom, Counter::STOLEN) == 0,
        "the third counter has no alarm"
    );
    moved(rom, rate);
    waiting(rom);
    masked(rom);
}

/// Linux begins with IRQ 0.
fn moved(rom: Rom, rate: u64) {
    let now = counter(rom, Counter::REAL);
    let periodic = AlarmFlags::WIRED_IRQ0 | AlarmFlags::PERIODIC;
    set(rom, periodic, now + rate / 100, rate / 100);
    let before = interrupts::count(LOCAL_TIMER);
    set(rom, AlarmFlags::WIRED_LVTT, now + rate / 50, 0);
    check!(
        interrupts::wait(LOCAL_TIMER, before),
        "an alarm moves to the local APIC"
    );
    let (by_irq0, before) = (interrupts::count(TIMER), interrupts::count(LOCAL_TIMER));
    let later = counter(rom, Counter::REAL) + rate / 10;
    set(rom, AlarmFlags::WIRED_LVTT, later, 0);
    check!(interrupts::wait(LOCAL_TIMER, before), "and comes there");
    let more = interrupts::count(TIMER) - by_irq0;
    check!(
        more < 3,
        "and of ten beats by IRQ 0 those at most that were late: {more}"
    );
    cancel(rom, Counter::REAL);
}

/// The end of another interrupt is not the alarm's.
fn waiting(rom: Rom) {
    let write = |register, value| _ = rom.call(Call::APIC_WRITE, register, value, 0);
    // Only what is urgent may come.
    write(TASK_PRIORITY, LOCAL_TIMER as u32);
    set_in_the_past(rom);
    let before = interrupts::count(URGENT);
    write(COMMAND, TO_SELF | URGENT as u32);
    check!(interrupts::wait(URGENT, before), "an urgent interrupt");
    check!(
        cancel(rom, Counter::REAL) == 1,
        "an alarm that could not come yet is not over"
    );
    let before = interrupts::count(LOCAL_TIMER);
    set_in_the_past(rom);
    write(TASK_PRIORITY, 0);
    check!(
        interrupts::wait(LOCAL_TIMER, before),
        "it comes when it may"
    );
    cancel(rom, Counter::REAL);
}

fn masked(rom: Rom) {
    let write = |register, value| _ = rom.call(Call::APIC_WRITE, register, value, 0);
    write(LOCAL_VECTOR_TIMER, MASKED | LOCAL_TIMER as u32);
    set_in_the_past(rom);
    let before = interrupts::count(LOCAL_TIMER);
    write(LOCAL_VECTOR_TIMER, LOCAL_TIMER as u32);
    check!(
        interrupts::wait(LOCAL_TIMER, before),
        "an alarm that was masked comes when it may"
    );
}

/// And waits until the timer has run out.
fn set_in_the_past(rom: Rom) {
    let past = counter(rom, Counter::REAL).saturating_sub(1);
    set(rom, AlarmFlags::WIRED_LVTT, past, 0);
    while rom.call(Call::APIC_READ, TIMER_CURRENT, 0, 0) as u32 != 0 {}
}

fn wallclock(rom: Rom, information: &BootInformation) {
    let time = || rom.call(Call::GET_WALLCLOCK_TIME, 0, 0, 0);
    let updated = || rom.call(Call::WALLCLOCK_UPDATED, 0, 0, 0) & 0xFFFF_FFFF;
    let first = time();
    say!("{} seconds since 1970", first / NANOSECONDS);
    check!(first / NANOSECONDS > NOT_LONG_AGO, "the time of day");
    check!(time() >= first, "the time of day goes on");
    check!(updated() == 0, "nobody has set it");
    if information.has("kvm") {
        return;
    }
    // The next year; BCD or not, and no decade ends.
    out(0x70, 9);
    let year = input(0x71);
    let next = if year & 0xF == 9 { year - 1 } else { year + 1 };
    out(0x70, 9);
    out(0x71, next);
    check!(updated() == 1, "somebody has set it");
    check!(updated() == 0, "it is told once");
    let difference = time().abs_diff(first) / NANOSECONDS;
    check!(
        (364 * 86400..367 * 86400).contains(&difference),
        "it is another year"
    );
}
