//! A ROM made of this program's own code, which notes what it is called with.

use core::arch::global_asm;
use core::ptr::NonNull;
use core::slice;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pvops_core::boot_info::PhysicalMemory;

use crate::abi::call::{COUNT, Call};
use crate::guest::start::{LowMemory, Start, start, use_rom};
use crate::rom::scan;
use crate::routes::Routes;

/// What a call found. In the order of the assembly.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub(super) struct Seen {
    pub(super) call: u32,
    pub(super) eax: u32,
    pub(super) edx: u32,
    pub(super) ecx: u32,
    pub(super) stack: [u32; 2],
    pub(super) edi: u32,
    pub(super) esi: u32,
    /// How many calls so far.
    pub(super) count: u32,
}

/// The ROM, for one test at a time.
pub(super) struct TestRom(#[allow(dead_code)] MutexGuard<'static, ()>);

impl TestRom {
    /// Starts it, if no test has.
    pub(super) fn get() -> Self {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let rom = TestRom(guard);
        if super::super::routes().is_none() {
            rom.start();
        }
        rom.answer(0x3333_4444_1111_2222);
        rom
    }

    fn start(&self) {
        let rom = scan(&Place).next().unwrap().unwrap();
        let start_of_rom = Start {
            rom,
            mapped_at: NonNull::from(&raw_image()[0]),
            low_memory: LowMemory {
                start: 0xc000_0000,
                pages: 0x1_0000,
            },
        };
        // SAFETY: the ROM is executable, and wants no addresses.
        unsafe { use_rom(start_of_rom) };
        start().unwrap();
    }

    pub(super) fn routes(&self) -> &'static Routes {
        super::super::routes().unwrap()
    }

    /// What the next calls return in edx:eax.
    pub(super) fn answer(&self, answer: u64) {
        // SAFETY: the assembly reads it during a call only.
        unsafe { (&raw mut test_rom_answer).write_volatile(answer) };
    }

    /// What the last call found.
    pub(super) fn seen(&self) -> Seen {
        // SAFETY: the assembly writes it during a call only.
        unsafe { (&raw const test_rom_seen).read_volatile() }
    }

    /// Where the code of a call is.
    pub(super) fn code(&self, call: Call) -> usize {
        assert!(call.0 < COUNT);
        (&raw const test_rom_calls).addr() + 16 * call.0 as usize
    }
}

/// The ROM where a PC has one.
struct Place;

impl PhysicalMemory for Place {
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        let offset = address.checked_sub(0xc_a000)? as usize;
        raw_image().get(offset..offset + length)
    }
}

fn raw_image() -> &'static [u8] {
    // SAFETY: the section below is 4 KiB long and does not change.
    unsafe { slice::from_raw_parts(&raw const test_rom, 4096) }
}

unsafe extern "C" {
    static test_rom: u8;
    static test_rom_calls: u8;
    static test_rom_seen: Seen;
    static mut test_rom_answer: u64;
}

/// The calls that the ROM does not have as CALL.
pub(super) const NOT_PROVIDED: Call = Call::CLTS;
pub(super) const NOTHING: Call = Call::WBINVD;
pub(super) const UNKNOWN: Call = Call::RDPMC;

global_asm!(
    ".pushsection .text.test_rom, \"ax\", @progbits",
    ".balign 4096",
    "test_rom:",
    ".byte 0x55, 0xaa, 8",
    ".skip 5",
    ".ascii \"cVmi\"",
    ".byte 0, 3, 0, 0",
    ".long 0",
    ".short 0, 0xa0, 0xb0, 0",
    ".skip 0x80 - (. - test_rom)",
    "xor eax, eax",
    "ret",
    ".skip 0x88 - (. - test_rom)",
    "jmp test_rom_relocation",
    ".skip 0xa0 - (. - test_rom)",
    ".asciz \"GPL\"",
    ".skip 0xb0 - (. - test_rom)",
    ".ascii \"PCIR\"",
    ".short 0x15ad, 0x0801",
    ".skip 0x100 - (. - test_rom)",
    "test_rom_relocation:",
    "mov ecx, eax",
    "shl eax, 4",
    "lea eax, [test_rom_calls + eax]",
    "mov edx, 1",
    "cmp ecx, {iret}",
    "je 2f",
    "cmp ecx, {sysexit}",
    "je 2f",
    "cmp ecx, {not_provided}",
    "je 4f",
    "cmp ecx, {nothing}",
    "je 3f",
    "cmp ecx, {unknown}",
    "jne 5f",
    "mov edx, 9",
    "ret",
    "3: inc edx",
    "2: inc edx",
    "ret",
    "4: dec edx",
    "5: ret",
    ".balign 16",
    "test_rom_calls:",
    ".set test_rom_number, 0",
    ".rept {count}",
    ".balign 16",
    // PUSH imm32.
    ".byte 0x68",
    ".long test_rom_number",
    "jmp test_rom_common",
    ".set test_rom_number, test_rom_number + 1",
    ".endr",
    "test_rom_common:",
    "pop dword ptr [test_rom_seen]",
    "mov [test_rom_seen + 4], eax",
    "mov [test_rom_seen + 8], edx",
    "mov [test_rom_seen + 12], ecx",
    "mov eax, [esp + 4]",
    "mov [test_rom_seen + 16], eax",
    "mov eax, [esp + 8]",
    "mov [test_rom_seen + 20], eax",
    "mov [test_rom_seen + 24], edi",
    "mov [test_rom_seen + 28], esi",
    "inc dword ptr [test_rom_seen + 32]",
    "mov eax, [test_rom_answer]",
    "mov edx, [test_rom_answer + 4]",
    // All that a call may lose is lost.
    "mov ecx, 0x55556666",
    "ret",
    ".skip 4096 - (. - test_rom)",
    ".popsection",
    ".pushsection .bss.test_rom, \"aw\", @nobits",
    ".balign 8",
    "test_rom_answer: .skip 8",
    "test_rom_seen: .skip 36",
    ".popsection",
    count = const COUNT,
    iret = const Call::IRET.0,
    sysexit = const Call::SYSEXIT.0,
    not_provided = const NOT_PROVIDED.0,
    nothing = const NOTHING.0,
    unknown = const UNKNOWN.0,
);
