//! Registers and descriptor tables.

use std::format;

use super::{simulated, thunk};
use crate::binding::Binding;
use crate::bindings;
use crate::descriptor::{DescriptorTablePointer, GateDescriptor};
use crate::msr::MsrAccess;
use crate::probe::CpuIdResult;
use crate::testing::registers::CR0_TASK_SWITCHED;
use crate::testing::state::{State, perform, perform_unnoted};
use crate::{Op, SyscallEntry, call, op};

pub(super) const BINDINGS: bindings::cpu = simulated!(cpu {
    thunk read_cr0() -> usize = |state| state.registers.cr0;
    thunk write_cr0(value: usize) = |state| state.registers.cr0 = value;
    thunk read_cr4() -> usize = |state| state.registers.cr4;
    thunk write_cr4(value: usize) = |state| state.registers.cr4 = value;
    call read_debug_register(number: u32) -> usize
        = |state| state.registers.debug.get(&number).copied().unwrap_or(0);
    call write_debug_register(number: u32, value: usize) = |state| {
        if matches!(number, 0..=3 | 6 | 7) {
            state.registers.debug.insert(number, value);
        }
    };
    thunk read_msr(index: u32) -> u64
        = |state| state.read_msr(index).unwrap_or_else(|| state.refuse(format!("RDMSR of {index:#x}")));
    thunk write_msr(index: u32, value: u64) = |state| {
        if !state.write_msr(index, value) {
            state.refuse(format!("WRMSR of {index:#x}"));
        }
    };
    call write_msr_safe(index: u32, value: u64) -> MsrAccess = |state| access(state.write_msr(index, value));
    thunk read_performance_counter(counter: u32) -> u64
        = |state| state.refuse(format!("RDPMC of {counter:#x}"));
    thunk load_gdt(_pointer: *const DescriptorTablePointer) = |_| ();
    thunk load_idt(_pointer: *const DescriptorTablePointer) = |_| ();
    thunk load_ldt(_selector: u16) = |_| ();
    thunk load_task_register(_selector: u16) = |_| ();
    thunk read_cr8() -> usize = |state| state.registers.cr8;
    thunk write_cr8(value: usize) = |state| state.registers.cr8 = value;
    thunk read_xcr(index: u32) -> u64 = |state| match state.registers.extended.get(&index) {
        Some(&value) => value,
        None => state.refuse(format!("XGETBV of {index:#x}")),
    };
    thunk write_xcr(index: u32, value: u64) = |state| {
        state.registers.extended.insert(index, value);
    };
    thunk wbinvd() = |_| ();
    thunk clear_task_switched() = |state| state.registers.cr0 &= !CR0_TASK_SWITCHED;
    thunk set_task_switched() = |state| state.registers.cr0 |= CR0_TASK_SWITCHED;
    thunk swapgs() = |state| {
        let registers = &mut state.registers;
        core::mem::swap(&mut registers.gs_base, &mut registers.kernel_gs_base);
    };
    call setup_syscall(_entry: *const SyscallEntry) = |_| ();
    thunk read_fs_base() -> usize = |state| state.registers.fs_base;
    thunk write_fs_base(base: usize) = |state| state.registers.fs_base = base;
    thunk read_gs_base() -> usize = |state| state.registers.gs_base;
    thunk write_gs_base(base: usize) = |state| state.registers.gs_base = base;
    thunk read_kernel_gs_base() -> usize = |state| state.registers.kernel_gs_base;
    thunk write_kernel_gs_base(base: usize) = |state| state.registers.kernel_gs_base = base;
    thunk load_gs_selector(_selector: u16) = |_| ();
    thunk write_gdt_entry(table: *mut u64, index: usize, entry: u64)
        // SAFETY: the op's caller vouches for the entry.
        = |_| unsafe { table.add(index).write_volatile(entry) };
    thunk write_ldt_entry(table: *mut u64, index: usize, entry: u64)
        // SAFETY: as above.
        = |_| unsafe { table.add(index).write_volatile(entry) };
    call write_idt_entry(table: *mut GateDescriptor, index: usize, gate: *const GateDescriptor)
        // SAFETY: the op's caller vouches for both.
        = |_| unsafe { table.add(index).write_volatile(gate.read()) };
    thunk load_kernel_stack(field: *mut usize, stack: usize)
        // SAFETY: the op's caller vouches for the field.
        = |_| unsafe { field.write_unaligned(stack) };
    call load_tls(table: *mut u64, first: usize, entries: *const [u64; 3])
        // SAFETY: the op's caller vouches for the entries and their places.
        = |_| unsafe { table.add(first).cast::<[u64; 3]>().write_volatile(entries.read()) };
    thunk start_context_switch() = |_| ();
    thunk end_context_switch() = |_| ();
} else {
    cpuid: thunk!(cpu::cpuid, cpuid),
    read_msr_safe: call!(cpu::read_msr_safe, read_msr_safe),
    read_tsc: thunk!(cpu::read_tsc, read_tsc),
    read_tsc_ordered: thunk!(cpu::read_tsc_ordered, read_tsc),
    // There are no programs to go to.
    interrupt_return: Binding::unavailable(),
    syscall_return: Binding::unavailable(),
    sysenter_return: Binding::unavailable(),
});

unsafe extern "C" fn cpuid(leaf: u32, subleaf: u32, result: *mut CpuIdResult) {
    let operands = [u64::from(leaf), u64::from(subleaf)];
    perform(op::cpu::cpuid::NUMBER, &operands, |state| {
        let answer = state.cpuid(leaf, subleaf);
        // SAFETY: the thunk passes a place for the result.
        unsafe { result.write(answer) };
    });
}

unsafe extern "C" fn read_msr_safe(index: u32, value: *mut u64) -> MsrAccess {
    perform(
        op::cpu::read_msr_safe::NUMBER,
        &[u64::from(index)],
        |state| {
            let read = state.read_msr(index);
            if let Some(read) = read {
                // SAFETY: the site passes a place for the value.
                unsafe { value.write(read) };
            }
            access(read.is_some())
        },
    )
}

unsafe extern "C" fn read_tsc() -> u64 {
    perform_unnoted(|state| {
        let tsc = state.read_tsc();
        state.note_event();
        tsc
    })
}

fn access(is_done: bool) -> MsrAccess {
    match is_done {
        true => MsrAccess::DONE,
        false => MsrAccess::REFUSED,
    }
}

impl State {
    /// What the CPU raises #GP for: the test fails, and a read gives 0.
    fn refuse(&mut self, what: std::string::String) -> u64 {
        self.fail(format!(
            "{what}, a register that the simulated CPU does not have: #GP"
        ));
        0
    }
}
