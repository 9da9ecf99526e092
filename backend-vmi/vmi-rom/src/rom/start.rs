//! SetInitialAPState: another CPU begins with the registers that the guest says, in its own address
//! space, instead of in real mode.
//!
//! The start-up interrupt that follows is sent with the ROM's own vector: a page of the ROM's memory with
//! code that goes on from real mode. It turns paging on with tables of the ROM's own, which have the first
//! megabytes where they are and where the guest has mapped the ROM, and from there loads the guest's. That is
//! done by code in the ROM itself: a guest need not let the rest of the first megabyte be executed.

use core::arch::global_asm;
use core::arch::x86::__cpuid;
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, Ordering};

use super::cpu::Cpu;
use super::entries::Arguments;
use super::head;
use super::state::{CPUS, State};
use crate::abi::ap_state::ApState;

const CPUID_PSE: u32 = 1 << 3;
const CR4_PSE: u32 = 1 << 4;
const CR4_PAE: u32 = 1 << 5;
const LARGE_PAGE: u32 = 0x83;
/// The mapping is by pages of 4 MiB.
const LARGE_MASK: u32 = (4 << 20) - 1;

/// Of the interrupt command register: delivery modes, and what makes a destination more than one CPU.
const MODE: u32 = 7 << 8;
const INIT: u32 = 5 << 8;
const START_UP: u32 = 6 << 8;
const LEVEL_ASSERT: u32 = 1 << 14;
const NOT_ONE_CPU: u32 = 1 << 11 | 3 << 18;
const VECTOR: u32 = 0xFF;

const CODE_BYTES: usize = 0x800;

/// Three pages: code and what it works with, and page tables for each kind of paging.
#[repr(C, align(4096))]
pub(super) struct Start {
    code: UnsafeCell<[u8; CODE_BYTES]>,
    words: UnsafeCell<Words>,
    states: [UnsafeCell<ApState>; CPUS],
    rest: [u8; 4096 - CODE_BYTES - size_of::<Words>() - CPUS * size_of::<ApState>()],
    directory: UnsafeCell<[u32; 1024]>,
    long_directory: UnsafeCell<[u64; 512]>,
}

/// What the code reads.
#[repr(C, align(32))]
struct Words {
    /// For the last kind of paging: four pointers to directories.
    pointers: [u64; 4],
    gdt: [u64; 3],
    gdt_limit: u32,
    gdt_base: u32,
    protected_entry: u32,
    protected_code: u32,
    cr3: u32,
    long_cr3: u32,
    /// From physical to virtual addresses.
    distance: u32,
    /// Where the ROM goes on in the guest's mapping.
    high_entry: u32,
    rest: [u32; 2],
}

const _: () = assert!(offset_of!(Start, directory) == 4096);

/// Which CPUs have been told how to begin, by bits.
pub(super) struct Told(AtomicU32);

impl Start {
    /// Writes the code and what it needs. Gives false where the guest's mapping does not fit.
    pub(super) fn prepare(&self, state: &State) -> bool {
        let distance = head::rom_address().wrapping_sub(head::rom_physical_address());
        if distance & LARGE_MASK != 0 || __cpuid(1).edx & CPUID_PSE == 0 {
            return false;
        }
        let page = state.physical_address(self);
        let directory = state.physical_address(self.directory.get());
        let long_directory = state.physical_address(self.long_directory.get());
        let words = Words {
            pointers: pointers(long_directory, distance),
            gdt: [0, 0x00CF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF],
            // LGDT takes the upper half of the first word and the second.
            gdt_limit: 23 << 16,
            gdt_base: page + (CODE_BYTES + offset_of!(Words, gdt)) as u32,
            protected_entry: page + start_protected_offset(),
            protected_code: 8,
            cr3: directory,
            long_cr3: page + (CODE_BYTES + offset_of!(Words, pointers)) as u32,
            distance,
            high_entry: start_high_address(),
            rest: [0; 2],
        };
        // SAFETY: no CPU starts yet, and all of it is the ROM's memory.
        unsafe {
            let code = start_code_address() as *const u8;
            self.code
                .get()
                .cast::<u8>()
                .copy_from_nonoverlapping(code, start_code_bytes());
            self.words.get().write(words);
            let directory = self.directory.get().cast::<u32>();
            directory.write(LARGE_PAGE);
            directory.add((distance >> 22) as usize).write(LARGE_PAGE);
            let directory = self.long_directory.get().cast::<u64>();
            directory.write(LARGE_PAGE.into());
            directory
                .add((distance >> 21 & 0x1FF) as usize)
                .write(LARGE_PAGE.into());
        }
        true
    }
}

/// The first gigabyte and that of the guest's mapping have the same directory.
fn pointers(directory: u32, distance: u32) -> [u64; 4] {
    let mut gigabyte = 0;
    [(); 4].map(|()| {
        let wanted = gigabyte == 0 || gigabyte == distance >> 30;
        gigabyte += 1;
        if wanted { u64::from(directory | 1) } else { 0 }
    })
}

/// SetInitialAPState.
pub(super) extern "C" fn set_initial_state(arguments: &Arguments) -> u64 {
    let state = State::get();
    let (address, cpu) = (arguments.eax, arguments.edx);
    let Some(slot) = state.start.states.get(cpu as usize) else {
        return 0;
    };
    // SAFETY: the guest has its state there.
    let mut wanted = unsafe { (address as *const ApState).read_unaligned() };
    if state.has_window.load(Ordering::Relaxed) != 0 && wanted.cr4 & CR4_PAE == 0 {
        wanted.cr4 |= CR4_PSE;
    }
    // SAFETY: that CPU waits for its start-up interrupt.
    unsafe { slot.get().write(wanted) };
    Cpu::begins_with_gdt(state, cpu as usize, wanted.gdtr_base);
    state.told.0.fetch_or(1 << cpu, Ordering::SeqCst);
    0
}

/// An interrupt command as the ROM sends it: a start-up interrupt of a CPU that was told how to begin leads
/// to the ROM's code. INIT takes what it was told, and what KVM was.
pub(super) fn redirect(state: &State, command: u32, destination: impl Fn() -> u32) -> u32 {
    let mode = command & MODE;
    if command & NOT_ONE_CPU != 0 || mode != INIT && mode != START_UP {
        return command;
    }
    let cpu = destination();
    let bit = if (cpu as usize) < CPUS { 1 << cpu } else { 0 };
    if mode == INIT {
        if command & LEVEL_ASSERT != 0 {
            state.told.0.fetch_and(!bit, Ordering::SeqCst);
            if let Some(cpu) = state.cpus.get(cpu as usize) {
                cpu.forget();
            }
        }
        return command;
    }
    if state.told.0.load(Ordering::SeqCst) & bit == 0 {
        return command;
    }
    command & !VECTOR | state.physical_address(&state.start) >> 12
}

// From real mode to paging in the page that it was copied to, then in the ROM. ESI is where that page is, EDI
// where this CPU's state is.
global_asm!(
    ".pushsection .text.start, \"ax\", @progbits",
    ".code16",
    "start_code:",
    "cli",
    "movw %cs, %ax",
    "movw %ax, %ds",
    "movzwl %ax, %esi",
    "shll $4, %esi",
    "movl $1, %eax",
    "cpuid",
    "shrl $24, %ebx",
    "imull ${state_bytes}, %ebx, %ebx",
    "leal {states}(%esi,%ebx), %edi",
    "lgdtl {words} + {gdt_limit} + 2",
    "movl %cr0, %eax",
    "orl $1, %eax",
    "movl %eax, %cr0",
    "ljmpl *{words} + {protected_entry}",
    ".code32",
    "start_protected:",
    "movl $0x10, %eax",
    "movl %eax, %ds",
    "movl %eax, %es",
    "movl %eax, %ss",
    "movl {cr4}(%edi), %eax",
    "andl ${pae}, %eax",
    "orl ${pse}, %eax",
    "movl %eax, %cr4",
    // Without long mode.
    "movl {efer}(%edi), %eax",
    "andl $~0x500, %eax",
    "jz 1f",
    "movl {efer} + 4(%edi), %edx",
    "movl $0xC0000080, %ecx",
    "wrmsr",
    "1: movl {words} + {cr3}(%esi), %eax",
    "testl ${pae}, {cr4}(%edi)",
    "jz 2f",
    "movl {words} + {long_cr3}(%esi), %eax",
    "2: movl %eax, %cr3",
    "movl %cr0, %eax",
    "orl $0x80010000, %eax",
    "movl %eax, %cr0",
    "movl {words} + {distance}(%esi), %eax",
    "addl %eax, %esi",
    "addl %eax, %edi",
    "jmpl *{words} + {high_entry}(%esi)",
    "start_code_end:",
    "start_high:",
    "movl {guest_cr3}(%edi), %eax",
    "movl %eax, %cr3",
    "movl {cr4}(%edi), %eax",
    "movl %eax, %cr4",
    "movl {cr2}(%edi), %eax",
    "movl %eax, %cr2",
    "movl (%edi), %eax",
    "movl %eax, %cr0",
    // The end of this page is the stack for the operands of both.
    "leal 4096(%esi), %esp",
    "pushl {gdtr_base}(%edi)",
    "pushw {gdtr_limit}(%edi)",
    "lgdtl (%esp)",
    "pushl {idtr_base}(%edi)",
    "pushw {idtr_limit}(%edi)",
    "lidtl (%esp)",
    "lldt {ldtr}(%edi)",
    // The rest by IRET, from below the guest's own stack pointer.
    "movw {ss}(%edi), %ss",
    "movl {esp}(%edi), %esp",
    "pushl {eflags}(%edi)",
    "movzwl {cs}(%edi), %eax",
    "pushl %eax",
    "pushl {eip}(%edi)",
    "movw {es}(%edi), %es",
    "movw {fs}(%edi), %fs",
    "movw {gs}(%edi), %gs",
    "movw {ds}(%edi), %ds",
    "movl %cs:{eax}(%edi), %eax",
    "movl %cs:{ebx}(%edi), %ebx",
    "movl %cs:{ecx}(%edi), %ecx",
    "movl %cs:{edx}(%edi), %edx",
    "movl %cs:{ebp}(%edi), %ebp",
    "movl %cs:{esi}(%edi), %esi",
    "movl %cs:{edi}(%edi), %edi",
    "iretl",
    ".globl start_code_address, start_code_bytes, start_protected_offset, start_high_address",
    "start_code_address:",
    "call 1f",
    "1: popl %eax",
    "addl $start_code - 1b, %eax",
    "ret",
    "start_high_address:",
    "call 1f",
    "1: popl %eax",
    "addl $start_high - 1b, %eax",
    "ret",
    "start_code_bytes: movl $start_code_end - start_code, %eax; ret",
    "start_protected_offset: movl $start_protected - start_code, %eax; ret",
    ".popsection",
    words = const offset_of!(Start, words),
    states = const offset_of!(Start, states),
    state_bytes = const size_of::<ApState>(),
    gdt_limit = const offset_of!(Words, gdt_limit),
    protected_entry = const offset_of!(Words, protected_entry),
    cr3 = const offset_of!(Words, cr3),
    long_cr3 = const offset_of!(Words, long_cr3),
    distance = const offset_of!(Words, distance),
    high_entry = const offset_of!(Words, high_entry),
    pae = const CR4_PAE,
    pse = const CR4_PSE,
    cr2 = const offset_of!(ApState, cr2),
    guest_cr3 = const offset_of!(ApState, cr3),
    cr4 = const offset_of!(ApState, cr4),
    efer = const offset_of!(ApState, efer),
    eip = const offset_of!(ApState, eip),
    eflags = const offset_of!(ApState, eflags),
    eax = const offset_of!(ApState, eax),
    ebx = const offset_of!(ApState, ebx),
    ecx = const offset_of!(ApState, ecx),
    edx = const offset_of!(ApState, edx),
    esp = const offset_of!(ApState, esp),
    ebp = const offset_of!(ApState, ebp),
    esi = const offset_of!(ApState, esi),
    edi = const offset_of!(ApState, edi),
    cs = const offset_of!(ApState, cs),
    ss = const offset_of!(ApState, ss),
    ds = const offset_of!(ApState, ds),
    es = const offset_of!(ApState, es),
    fs = const offset_of!(ApState, fs),
    gs = const offset_of!(ApState, gs),
    ldtr = const offset_of!(ApState, ldtr),
    gdtr_limit = const offset_of!(ApState, gdtr_limit),
    gdtr_base = const offset_of!(ApState, gdtr_base),
    idtr_base = const offset_of!(ApState, idtr_base),
    idtr_limit = const offset_of!(ApState, idtr_limit),
    options(att_syntax)
);

unsafe extern "C" {
    safe fn start_code_address() -> u32;
    safe fn start_code_bytes() -> usize;
    safe fn start_protected_offset() -> u32;
    safe fn start_high_address() -> u32;
}
