//! Registers, tables, ports and counters of the CPU.

use core::arch::asm;

use pvops_core::msr::MsrFault;
use pvops_core::{cpu, io, time};

use super::Outcome;
use crate::arch::probe::{self, ADDRESS_MSR};
use crate::layout::SCRATCH;
use crate::text::{ensure, text};
use crate::trap;

const CR0_PAGING: usize = 1 << 31;
const CR0_TASK_SWITCHED: usize = 1 << 3;
const CR4_PAE: usize = 1 << 5;
const CR4_TIME_STAMP_DISABLE: usize = 1 << 2;

/// CR0 and CR4 take a bit and give it back.
pub(super) fn control_registers() -> Outcome {
    let (cr0, cr4) = (cpu::read_cr0(), cpu::read_cr4());
    ensure!(
        cr0 & CR0_PAGING != 0 && cr4 & CR4_PAE != 0,
        "cr0 {cr0:#x}, cr4 {cr4:#x}"
    );
    // SAFETY: nobody uses the FPU, and in ring 0 the time-stamp counter can be read in any case.
    unsafe {
        cpu::write_cr0(cr0 | CR0_TASK_SWITCHED);
        cpu::write_cr4(cr4 | CR4_TIME_STAMP_DISABLE);
    }
    let (changed_cr0, changed_cr4) = (cpu::read_cr0(), cpu::read_cr4());
    // SAFETY: as it was.
    unsafe {
        cpu::write_cr0(cr0);
        cpu::write_cr4(cr4);
    }
    ensure!(
        changed_cr0 == cr0 | CR0_TASK_SWITCHED,
        "cr0 became {changed_cr0:#x}"
    );
    ensure!(
        changed_cr4 == cr4 | CR4_TIME_STAMP_DISABLE,
        "cr4 became {changed_cr4:#x}"
    );
    ensure!(
        cpu::read_cr0() == cr0 && cpu::read_cr4() == cr4,
        "cr0 or cr4 did not go back"
    );
    Ok(text!("cr0 {cr0:#x}, cr4 {cr4:#x}"))
}

/// CR0's flag of a switched task is set and cleared, and nothing else in CR0.
pub(super) fn task_switched() -> Outcome {
    let before = cpu::read_cr0();
    // SAFETY: nobody uses the FPU.
    unsafe { cpu::set_task_switched() };
    let set = cpu::read_cr0();
    cpu::clear_task_switched();
    let cleared = cpu::read_cr0();
    // SAFETY: as it was.
    unsafe { cpu::write_cr0(before) };
    ensure!(set == before | CR0_TASK_SWITCHED, "set: cr0 is {set:#x}");
    ensure!(
        cleared == before & !CR0_TASK_SWITCHED,
        "cleared: cr0 is {cleared:#x}"
    );
    Ok(text!("set and cleared"))
}

/// XCR0 takes what every CPU with XSAVE allows.
pub(super) fn extended_control() -> Outcome {
    const XSAVE: u32 = 1 << 26;
    const CR4_OSXSAVE: usize = 1 << 18;
    const XCR0: u32 = 0;
    const X87: u64 = 1;
    const SSE: u64 = 1 << 1;
    if cpu::cpuid(1, 0).ecx & XSAVE == 0 {
        return Ok(text!("this CPU has no XSAVE"));
    }
    let cr4 = cpu::read_cr4();
    // SAFETY: the CPU has XSAVE, and nobody uses the registers that XCR0 turns on and off.
    let found = unsafe {
        cpu::write_cr4(cr4 | CR4_OSXSAVE);
        let before = cpu::read_xcr(XCR0);
        let found = [X87, X87 | SSE].map(|value| {
            cpu::write_xcr(XCR0, value);
            cpu::read_xcr(XCR0)
        });
        cpu::write_xcr(XCR0, before);
        cpu::write_cr4(cr4);
        found
    };
    ensure!(found == [X87, X87 | SSE], "XCR0 became {found:x?}");
    Ok(text!("XCR0 takes {:#x} and {:#x}", found[0], found[1]))
}

/// Emptying the caches loses nothing.
pub(super) fn caches() -> Outcome {
    let words = core::hint::black_box([0x5a5a_a5a5_usize; 64]);
    let start = time::clock_ns();
    cpu::wbinvd();
    let took = time::clock_ns() - start;
    let lost = core::hint::black_box(words)
        .iter()
        .filter(|&&word| word != 0x5a5a_a5a5)
        .count();
    ensure!(lost == 0, "{lost} words were lost");
    Ok(text!("written back in {took} ns"))
}

/// The breakpoint addresses hold what is written.
pub(super) fn debug_registers() -> Outcome {
    for number in 0..4 {
        let value = SCRATCH.start + number as usize * 8;
        // SAFETY: DR7 enables none of the breakpoints.
        unsafe { cpu::write_debug_register(number, value) };
        let read = cpu::read_debug_register(number);
        ensure!(
            read == value,
            "dr{number} holds {read:#x} instead of {value:#x}"
        );
    }
    let dr7 = cpu::read_debug_register(7);
    // Bit 10 is always set: Intel SDM volume 3, figure 19-1.
    ensure!(dr7 & 0xff == 0 && dr7 & 1 << 10 != 0, "dr7 is {dr7:#x}");
    ensure!(
        cpu::read_debug_register(9) == 0,
        "a ninth debug register exists"
    );
    Ok(text!("dr0 to dr3, dr7 {dr7:#x}"))
}

/// CPUID answers, subleafs included, and does not lose rbx.
pub(super) fn cpuid() -> Outcome {
    let leaf = cpu::cpuid(0, 0);
    let mut vendor = [0; 12];
    for (part, register) in vendor
        .chunks_exact_mut(4)
        .zip([leaf.ebx, leaf.edx, leaf.ecx])
    {
        part.copy_from_slice(&register.to_le_bytes());
    }
    ensure!(
        vendor.iter().all(u8::is_ascii_graphic),
        "the vendor is {vendor:x?}"
    );
    let features = cpu::cpuid(1, 0);
    ensure!(
        features.edx & 1 << 5 != 0,
        "no model-specific registers: {:#x}",
        features.edx
    );
    let vendor = core::str::from_utf8(&vendor).unwrap_or("?");
    Ok(text!("{vendor}, highest leaf {:#x}", leaf.eax))
}

/// A register takes a value and gives it back.
pub(super) fn msr() -> Outcome {
    const VALUE: u64 = SCRATCH.start as u64 + 0x678;
    // SAFETY: the register exists, takes any address, and is not used meanwhile.
    unsafe {
        let before = cpu::read_msr(ADDRESS_MSR);
        cpu::write_msr(ADDRESS_MSR, VALUE);
        let value = cpu::read_msr(ADDRESS_MSR);
        cpu::write_msr(ADDRESS_MSR, before);
        ensure!(value == VALUE, "wrote {VALUE:#x}, read {value:#x}");
        ensure!(
            cpu::read_msr(ADDRESS_MSR) == before,
            "the old value did not come back"
        );
    }
    Ok(text!("{VALUE:#x} out and in"))
}

const EFER: u32 = 0xc000_0080;

/// Reading a register that does not exist is an error; one that does is a value.
pub(super) fn msr_read_safe() -> Outcome {
    const ABSENT: u32 = 0x0bad_c0de;
    let before = trap::count(13);
    let absent = cpu::read_msr_safe(ABSENT);
    ensure!(
        absent == Err(MsrFault),
        "reading {ABSENT:#x} gives {absent:x?}"
    );
    let Ok(efer) = cpu::read_msr_safe(EFER) else {
        return Err(text!("EFER can't be read"));
    };
    // SAFETY: it was just read.
    ensure!(efer == unsafe { cpu::read_msr(EFER) }, "EFER differs");
    let faults = trap::count(13) - before;
    ensure!(faults == 1, "{faults} faults instead of 1");
    Ok(text!("{ABSENT:#x} is an error, EFER {efer:#x}"))
}

/// Writing what a register does not take is an error; what it does take is none.
pub(super) fn msr_write_safe() -> Outcome {
    /// IA32_PKRS has 32 bits, if it exists at all. QEMU's TCG, which takes nearly any write, refuses
    /// others.
    const PKRS: u32 = 0x6e1;
    let before = trap::count(13);
    // SAFETY: the one write is refused, the other writes what was read.
    unsafe {
        let refused = cpu::write_msr_safe(PKRS, u64::MAX);
        ensure!(refused == Err(MsrFault), "{PKRS:#x} takes all ones");
        let efer = cpu::read_msr(EFER);
        ensure!(
            cpu::write_msr_safe(EFER, efer).is_ok(),
            "EFER can't be written"
        );
    }
    let faults = trap::count(13) - before;
    ensure!(faults == 1, "{faults} faults instead of 1");
    Ok(text!("all ones to {PKRS:#x} is an error, EFER is not"))
}

/// The time-stamp counter runs, and its two reads agree.
pub(super) fn tsc() -> Outcome {
    let mut last = cpu::read_tsc_ordered();
    let start = last;
    for _ in 0..1000 {
        let (plain, ordered) = (cpu::read_tsc(), cpu::read_tsc_ordered());
        ensure!(
            plain >= last && ordered >= plain,
            "{last} then {plain} then {ordered}"
        );
        last = ordered;
    }
    ensure!(last > start, "it stands at {start}");
    Ok(text!("2,000 reads took {} ticks", last - start))
}

/// RDPMC is executed: it counts, or faults where the CPU has no counters.
pub(super) fn performance_counter() -> Outcome {
    let faults = || trap::count(6) + trap::count(13);
    let before = faults();
    // SAFETY: a fault is expected.
    let value = unsafe { probe::read_counter(0) };
    let faulted = faults() - before;
    match (value, faulted) {
        (u64::MAX, 1) => Ok(text!("none here")),
        (0..=0x7fff_ffff_ffff_ffff, 0) => Ok(text!("counter 0 is {value}")),
        _ => Err(text!("{value:#x} after {faulted} faults")),
    }
}

/// The tables that were loaded are in use, and can be loaded again.
pub(super) fn descriptor_tables() -> Outcome {
    let (code, task): (u16, u16);
    // SAFETY: reads two selectors; a null LDT is what the kernel has.
    unsafe {
        cpu::load_ldt(0);
        asm!("mov {0:x}, cs", "str {1:x}", out(reg) code, out(reg) task, options(nomem, nostack));
    }
    ensure!(code == crate::gdt::KERNEL_CODE, "cs is {code:#x}");
    ensure!(task == crate::gdt::TASK, "the task register is {task:#x}");
    Ok(text!("cs {code:#x}, task register {task:#x}, no ldt"))
}

/// INT3 reaches its handler and comes back.
pub(super) fn breakpoint() -> Outcome {
    let before = trap::count(3);
    // SAFETY: the handler counts and returns.
    unsafe { asm!("int3") };
    let came = trap::count(3) - before;
    ensure!(came == 1, "{came} breakpoints came");
    Ok(text!("handled"))
}

/// The first serial port's scratch register takes a byte, alone and as the upper half of a word; a
/// PCI configuration register reads the same in bytes, words and whole.
pub(super) fn ports() -> Outcome {
    const SCRATCH: u16 = 0x3ff;
    /// PCI local bus 3.0, section 3.2.2.3.2: address and data of configuration mechanism 1.
    const ADDRESS: u16 = 0xcf8;
    const DATA: u16 = 0xcfc;
    const ENABLE: u32 = 1 << 31;
    // SAFETY: the scratch register has no function, the modem status below it takes no writes, and
    // reading the first PCI device's first register has no effect.
    unsafe {
        for value in [0x5a, 0xa5] {
            io::out8(SCRATCH, value);
            io::delay();
            let read = io::in8(SCRATCH);
            ensure!(read == value, "wrote {value:#x}, read {read:#x}");
            io::out16(SCRATCH - 1, u16::from(!value) << 8);
            let read = io::in8(SCRATCH);
            ensure!(
                read == !value,
                "wrote the word of {:#x}, read {read:#x}",
                !value
            );
        }
        io::out32(ADDRESS, ENABLE);
        let whole = io::in32(DATA);
        let words = [io::in16(DATA), io::in16(DATA + 2)];
        let bytes = [0, 1, 2, 3].map(|byte| io::in8(DATA + byte));
        let [low, high] = words.map(u32::from);
        ensure!(
            high << 16 | low == whole,
            "{whole:#x} in words is {words:x?}"
        );
        ensure!(
            u32::from_le_bytes(bytes) == whole,
            "{whole:#x} in bytes is {bytes:x?}"
        );
        Ok(text!(
            "scratch register by byte and word, first PCI device {whole:#x}"
        ))
    }
}

/// A string of reads is the same reads one by one; of a string of writes the last one stays.
pub(super) fn strings() -> Outcome {
    const SCRATCH: u16 = 0x3ff;
    const ADDRESS: u16 = 0xcf8;
    const DATA: u16 = 0xcfc;
    const ENABLE: u32 = 1 << 31;
    const COUNT: usize = 5;
    const GUARD: usize = COUNT + 1;
    let addresses = [ENABLE | 0x800, ENABLE | 0x0f0, ENABLE];
    let (mut bytes, mut words, mut wholes) = ([0; GUARD], [0; GUARD], [0; GUARD]);
    // SAFETY: as for the ports one by one; the buffers have room for one more than is read.
    let (scratch, upper, address, byte, word, whole) = unsafe {
        // Neither is what stays in the end.
        io::out8(SCRATCH, 0);
        io::out32(ADDRESS, 0);
        io::out8_string(SCRATCH, [1, 2, 0x5a].as_ptr(), 3);
        let scratch = io::in8(SCRATCH);
        io::out16_string(SCRATCH - 1, [0x0100, 0xa500].as_ptr(), 2);
        let upper = io::in8(SCRATCH);
        io::out32_string(ADDRESS, addresses.as_ptr(), addresses.len());
        io::in8_string(DATA, bytes.as_mut_ptr(), COUNT);
        io::in16_string(DATA, words.as_mut_ptr(), COUNT);
        io::in32_string(DATA, wholes.as_mut_ptr(), COUNT);
        io::in8_string(DATA, bytes.as_mut_ptr().add(COUNT), 0);
        let address = io::in32(ADDRESS);
        let (byte, word) = (io::in8(DATA), io::in16(DATA));
        (scratch, upper, address, byte, word, io::in32(DATA))
    };
    ensure!(scratch == 0x5a, "of three bytes {scratch:#x} stays");
    ensure!(upper == 0xa5, "of two words {upper:#x} stays");
    ensure!(address == ENABLE, "of three addresses {address:#x} stays");
    ensure!(whole != 0, "there is nothing to read");
    let same = bytes == core::array::from_fn(|index| if index < COUNT { byte } else { 0 })
        && words == core::array::from_fn(|index| if index < COUNT { word } else { 0 })
        && wholes == core::array::from_fn(|index| if index < COUNT { whole } else { 0 });
    ensure!(same, "{bytes:x?}, {words:x?}, {wholes:x?}");
    Ok(text!("bytes, words and {COUNT} times {whole:#x}"))
}
