//! Where each call is, and `VMI_GetRelocationInfo`.

use core::arch::global_asm;
use core::sync::atomic::Ordering;

use super::count::STUB_BYTES;
use super::state::State;
use super::{alarm, apic, clock, deferred, descriptors, paging, rtc, start, system};
use crate::abi::call::{self, Call};
use crate::abi::relocation::Kind;

/// A call's arguments, as its entry has pushed them.
#[repr(C)]
pub(super) struct Arguments {
    pub(super) eax: u32,
    pub(super) edx: u32,
    pub(super) ecx: u32,
    return_address: u32,
    /// Those that the guest has pushed. Read only where the call has any.
    pub(super) stack: [u32; 2],
}

// An entry is the distance to its code and a kind. Other functions of the ROM are reached by `function`,
// which hands over where the arguments are; EAX and EDX are the result.
global_asm!(
    ".pushsection .text.entries, \"ax\", @progbits",
    ".macro function label:req, target:req",
    "\\label:",
    "pushl %ecx",
    "pushl %edx",
    "pushl %eax",
    "pushl %esp",
    "call \\target",
    "addl $16, %esp",
    "ret",
    ".endm",
    "function call_set_gdt, {set_gdt}",
    "function call_set_ldt, {set_ldt}",
    "function call_set_tr, {set_tr}",
    "function call_write_segment, {write_segment}",
    "function call_write_gate, {write_gate}",
    "function call_update_kernel_stack, {update_kernel_stack}",
    "function call_set_cr3, {set_cr3}",
    "function call_set_cr4, {set_cr4}",
    "function call_get_cr2, {get_cr2}",
    "function call_set_dr, {set_dr}",
    "function call_get_dr, {get_dr}",
    "function call_reboot, {reboot}",
    "function call_shutdown, {shutdown}",
    "function call_set_pxe, {set_pxe}",
    "function call_set_pxe_long, {set_pxe_long}",
    "function call_inval_page, {inval_page}",
    "function call_flush_tlb, {flush_tlb}",
    "function call_set_linear_mapping, {set_linear_mapping}",
    "function call_set_initial_state, {set_initial_state}",
    "function call_apic_write, {apic_write}",
    "function call_apic_read, {apic_read}",
    "function call_frequency, {frequency}",
    "function call_counter, {counter}",
    "function call_set_alarm, {set_alarm}",
    "function call_cancel_alarm, {cancel_alarm}",
    "function call_time, {time}",
    "function call_was_updated, {was_updated}",
    "function call_set_lazy_mode, {set_lazy_mode}",
    ".macro entry kind:req, label:req",
    ".long call_\\label - .",
    ".byte \\kind, 0, 0, 0",
    ".endm",
    ".balign 8",
    ".globl call_entries",
    "call_entries:",
    "entry {call}, cpuid", // 0
    "entry {call}, wrmsr",
    "entry {call}, rdmsr",
    "entry {call}, set_gdt",
    "entry {call}, set_ldt",
    "entry {call}, set_idt", // 5
    "entry {call}, set_tr",
    "entry {call}, get_gdt",
    "entry {call}, get_ldt",
    "entry {call}, get_idt",
    "entry {call}, get_tr", // 10
    "entry {call}, write_segment",
    "entry {call}, write_segment",
    "entry {call}, write_gate",
    "entry {call}, update_kernel_stack",
    "entry {call}, set_cr0", // 15
    "entry {call}, set_cr2",
    "entry {call}, set_cr3",
    "entry {call}, set_cr4",
    "entry {call}, get_cr0",
    "entry {call}, get_cr2", // 20
    "entry {call}, get_cr3",
    "entry {call}, get_cr4",
    "entry {call}, wbinvd",
    "entry {call}, set_dr",
    "entry {call}, get_dr", // 25
    "entry {call}, rdpmc",
    "entry {call}, rdtsc",
    "entry {call}, clts",
    "entry {call}, enable_interrupts",
    "entry {call}, disable_interrupts", // 30
    "entry {call}, get_interrupt_mask",
    "entry {call}, set_interrupt_mask",
    "entry {jump}, iret",
    "entry {jump}, sysexit",
    "entry {call}, halt", // 35
    "entry {call}, reboot",
    "entry {call}, shutdown",
    "entry {call}, set_pxe",
    "entry {call}, set_pxe_long",
    // In ring 0 there is nothing to learn from an entry that is written, or of pages that are tables.
    "entry {nop}, nothing", // 40
    "entry {nop}, nothing",
    "entry {none}, nothing",
    "entry {none}, nothing",
    "entry {nop}, nothing",
    "entry {nop}, nothing", // 45
    "entry {call}, inval_page",
    "entry {call}, flush_tlb",
    "entry {call}, set_linear_mapping",
    "entry {call}, inl",
    "entry {call}, inb", // 50
    "entry {call}, inw",
    "entry {call}, insl",
    "entry {call}, insb",
    "entry {call}, insw",
    "entry {call}, outl", // 55
    "entry {call}, outb",
    "entry {call}, outw",
    "entry {call}, outsl",
    "entry {call}, outsb",
    "entry {call}, outsw", // 60
    "entry {call}, set_iopl_mask",
    "entry {call}, set_initial_state",
    "entry {call}, apic_write",
    "entry {call}, apic_read",
    "entry {call}, io_delay", // 65
    "entry {call}, frequency",
    "entry {call}, counter",
    "entry {call}, set_alarm",
    "entry {call}, cancel_alarm",
    "entry {call}, time", // 70
    "entry {call}, was_updated",
    "entry {none}, nothing",
    "entry {call}, set_lazy_mode",
    "call_entries_end:",
    ".if call_entries_end - call_entries - 8 * {calls}",
    ".error \"the table has an entry for each call\"",
    ".endif",
    // EAX is the number.
    ".globl get_relocation_entry",
    "get_relocation_entry:",
    "call 1f",
    "1: popl %edx",
    "leal (counted_calls - 1b)(%edx), %ecx",
    "leal (call_entries - 1b)(%edx), %edx",
    "pushl %ecx",
    "pushl %edx",
    "pushl %eax",
    "call {get_relocation}",
    "addl $12, %esp",
    "ret",
    ".popsection",
    none = const Kind::NONE.0,
    call = const Kind::CALL_REL.0,
    jump = const Kind::JUMP_REL.0,
    nop = const Kind::NOP.0,
    calls = const call::COUNT,
    set_gdt = sym descriptors::set_gdt,
    set_ldt = sym descriptors::set_ldt,
    set_tr = sym descriptors::set_tr,
    write_segment = sym descriptors::write_segment,
    write_gate = sym descriptors::write_gate,
    update_kernel_stack = sym descriptors::update_kernel_stack,
    set_cr3 = sym paging::set_cr3,
    set_cr4 = sym system::set_cr4,
    get_cr2 = sym paging::get_cr2,
    set_dr = sym system::set_dr,
    get_dr = sym system::get_dr,
    reboot = sym system::restart,
    shutdown = sym system::shutdown,
    set_pxe = sym paging::set_pxe,
    set_pxe_long = sym paging::set_pxe_long,
    inval_page = sym paging::inval_page,
    flush_tlb = sym paging::flush_tlb,
    set_linear_mapping = sym paging::set_linear_mapping,
    set_initial_state = sym start::set_initial_state,
    apic_write = sym apic::write,
    apic_read = sym apic::read,
    frequency = sym clock::frequency,
    counter = sym clock::counter,
    set_alarm = sym alarm::set,
    cancel_alarm = sym alarm::cancel,
    time = sym rtc::time,
    was_updated = sym rtc::was_updated,
    set_lazy_mode = sym deferred::set_lazy_mode,
    get_relocation = sym get_relocation,
    options(att_syntax)
);

/// A line of the table.
#[repr(C)]
struct Entry {
    /// From this line to the code.
    distance: u32,
    kind: Kind,
    pad: [u8; 3],
}

/// The answer depends on the number and on what `VMI_Init` has found.
extern "C" fn get_relocation(number: u32, entries: *const Entry, counted_calls: u32) -> u64 {
    if number >= call::COUNT {
        return answer(0, Kind::NONE);
    }
    let entry = entries.wrapping_add(number as usize);
    // SAFETY: the table has a line for each call.
    let Entry { distance, kind, .. } = unsafe { entry.read() };
    let state = State::get();
    if kind == Kind::NONE || is_missing(state, Call(number)) {
        return answer(0, Kind::NONE);
    }
    if state.counting.load(Ordering::Relaxed) == 0 {
        return answer((entry as u32).wrapping_add(distance), kind);
    }
    let kind = match kind {
        Kind::NOP => Kind::CALL_REL,
        kind => kind,
    };
    answer(counted_calls + number * STUB_BYTES, kind)
}

/// Whether this machine lacks what the call needs.
fn is_missing(state: &State, call: Call) -> bool {
    match call {
        Call::SET_INITIAL_AP_STATE => {
            state.has_window.load(Ordering::Relaxed) == 0
                || state.can_start.load(Ordering::Relaxed) == 0
        }
        Call::SET_LAZY_MODE => state.no_lazy.load(Ordering::Relaxed) != 0,
        Call::APIC_READ | Call::APIC_WRITE => state.has_window.load(Ordering::Relaxed) == 0,
        _ if (Call::GET_CYCLE_FREQUENCY..=Call::WALLCLOCK_UPDATED).contains(&call) => {
            state.clock.rate() == 0
        }
        _ => false,
    }
}

fn answer(address: u32, kind: Kind) -> u64 {
    u64::from(kind.0) << 32 | u64::from(address)
}
