//! Lazy modes: what waits in them, and what makes up for it.

use crate::abi::LazyMode;
use crate::abi::call::Call;
use crate::abi::extension::statistic;
use crate::abi::paging::{flush, level, update};
use crate::console::check;
use crate::rom::Rom;
use crate::segments::{GDT, KERNEL_DATA, SPARE, Shared, TASK_STATE};

static TABLE: Shared<[u32; 1024]> = Shared::new([0; 1024]);

pub(super) fn run(rom: Rom) {
    let before = rom.read_count(statistic::FLUSHES);
    set(rom, 0, 1);
    check!(entry(0) == 1, "nothing waits outside of a lazy mode");
    mode(rom, LazyMode::MMU);
    set(rom, 0, 2);
    check!(entry(0) == 1, "an update waits");
    rom.call(Call::SET_PXE, 3, TABLE.address() + 4, level::PT);
    check!(
        entry(0) == 2 && entry(1) == 3,
        "one that may not wait comes after those that do"
    );
    let by_call: [(&str, Call, u32); 4] = [
        ("InvalPage", Call::INVAL_PAGE, TABLE.address()),
        ("FlushTLB", Call::FLUSH_TLB, flush::TLB),
        ("GetCR2", Call::GET_CR2, 0),
        (
            "SetCR3",
            Call::SET_CR3,
            rom.call(Call::GET_CR3, 0, 0, 0) as u32,
        ),
    ];
    for (number, (name, call, argument)) in by_call.into_iter().enumerate() {
        let value = 10 + number as u32;
        set(rom, 2, value);
        check!(entry(2) != value, "an update waits for {name}");
        rom.call(call, argument, 0, 0);
        check!(entry(2) == value, "{name} makes up for it");
    }
    long_entry(rom);
    for index in 0..33 {
        set(rom, index, 100 + index);
    }
    check!(
        entry(31) == 131 && entry(32) != 132,
        "so many updates wait that the first are done"
    );
    mode(rom, LazyMode::OFF);
    check!(
        (0..33).all(|index| entry(index) == 100 + index as u32),
        "leaving the mode makes up for the rest"
    );
    check!(
        rom.read_count(statistic::FLUSHES) - before == 8,
        "they come together"
    );
    cpu_state(rom);
}

fn long_entry(rom: Rom) {
    let address = TABLE.address() + 512;
    let flags = level::PT | update::DEFER;
    rom.call_with_stack(Call::SET_PXE_LONG, [5, 6, address], [flags, 0]);
    check!(entry(128) == 0, "a long update waits");
    rom.call(Call::FLUSH_TLB, flush::TLB, 0, 0);
    check!(
        entry(128) == 5 && entry(129) == 6,
        "FlushTLB makes up for a long one"
    );
}

fn cpu_state(rom: Rom) {
    mode(rom, LazyMode::CPU);
    set(rom, 0, 7);
    check!(entry(0) == 7, "page tables are not this mode's");
    let write = |value: u32| {
        let registers = [GDT.address(), SPARE, value];
        rom.call_with_stack(Call::WRITE_GDT_ENTRY, registers, [0; 2]);
    };
    // SAFETY: both are the kernel's own.
    let descriptor = || unsafe { (*GDT.get())[SPARE as usize] };
    // SAFETY: as above.
    let stack = || unsafe { TASK_STATE.get().read_volatile() }[1];
    write(77);
    rom.call(
        Call::UPDATE_KERNEL_STACK,
        KERNEL_DATA.into(),
        0x7777_0000,
        0,
    );
    check!(
        descriptor() != 77 && stack() != 0x7777_0000,
        "the CPU's state waits"
    );
    mode(rom, LazyMode::OFF);
    check!(
        descriptor() == 77 && stack() == 0x7777_0000,
        "leaving the mode makes up for it"
    );
    mode(rom, LazyMode::CPU);
    write(0);
    rom.call(Call::SET_LDT, 0, 0, 0);
    check!(descriptor() == 0, "SetLDT makes up for descriptors");
    mode(rom, LazyMode::OFF);
}

fn mode(rom: Rom, mode: LazyMode) {
    rom.call(Call::SET_LAZY_MODE, mode.0, 0, 0);
}

fn set(rom: Rom, index: u32, value: u32) {
    let flags = level::PT | update::DEFER;
    rom.call(Call::SET_PXE, value, TABLE.address() + index * 4, flags);
}

fn entry(index: usize) -> u32 {
    // SAFETY: it is the kernel's own.
    unsafe { TABLE.get().cast::<u32>().add(index).read_volatile() }
}
