//! Starting other CPUs: the ROM is told with which registers, and no code runs in real mode.

use core::arch::{asm, naked_asm};
use core::hint::spin_loop;

use pvops_backend_native as native;
use pvops_core::cpu_start::{CpuStart, StartStatus};
use pvops_core::{apic, bindings, call, cpu, time};

use super::binder::Binder;
use super::cpu::loaded_gdt;
use super::entries::call_if_there;
use crate::abi::ap_state::ApState;
use crate::abi::call::Call;

pub(super) fn bind(binder: &Binder<'_>, native: bindings::smp) -> bindings::smp {
    bindings::smp {
        start_cpu: binder.wrapped(
            Call::SET_INITIAL_AP_STATE,
            native.start_cpu,
            call!(smp::start_cpu, start_cpu),
        ),
        ..native
    }
}

/// In one page, as nothing says that a ROM looks for it in two.
#[repr(align(128))]
struct InOnePage(ApState);

const _: () = assert!(size_of::<ApState>() <= 128);

unsafe extern "C" fn start_cpu(apic_id: u32, start: *const CpuStart) -> StartStatus {
    // SAFETY: the op's caller gives a description that is right.
    let start = unsafe { &*start };
    let Ok(page_table) = u32::try_from(start.page_table) else {
        return StartStatus::BAD_ADDRESS;
    };
    if start.stack_top % 16 != 0 {
        return StartStatus::BAD_ADDRESS;
    }
    let state = InOnePage(initial_state(start, page_table));
    let registers = [(&raw const state.0).addr() as u32, apic_id, 0];
    let destination = u64::from(apic_id) << 32;
    // SAFETY: the CPU does not run, and the state leads it to the caller's entry.
    unsafe {
        apic::write_icr(destination | ASSERT | INIT);
        wait_us(10_000);
        call_if_there(Call::SET_INITIAL_AP_STATE, registers, [0; 2]);
        for _ in 0..2 {
            apic::write_icr(destination | ASSERT | START_UP);
            wait_us(200);
        }
    }
    StartStatus::TOLD
}

/// Interrupt command: delivery modes and level. Intel SDM volume 3, figure 12-12.
const INIT: u64 = 0b101 << 8;
const START_UP: u64 = 0b110 << 8;
const ASSERT: u64 = 1 << 14;

/// The registers of this CPU, but for what the new one is given.
fn initial_state(start: &CpuStart, page_table: u32) -> ApState {
    let descriptors = loaded_gdt();
    let (cs, ss, ds, es): (u32, u32, u32, u32);
    // SAFETY: reads registers.
    unsafe {
        asm!(
            "mov {:e}, cs", "mov {:e}, ss", "mov {:e}, ds", "mov {:e}, es",
            out(reg) cs, out(reg) ss, out(reg) ds, out(reg) es,
            options(nomem, nostack, preserves_flags),
        );
    }
    ApState {
        cr0: cpu::read_cr0() as u32,
        cr3: page_table,
        cr4: cpu::read_cr4() as u32,
        efer: [native::efer(), 0],
        eip: enter as *const () as u32,
        eax: start.argument as u32,
        ecx: start.entry as usize as u32,
        esp: start.stack_top as u32,
        cs: cs as u16,
        ss: ss as u16,
        ds: ds as u16,
        es: es as u16,
        gdtr_limit: descriptors.limit,
        gdtr_base: descriptors.base as u32,
        ..ApState::default()
    }
}

/// Where the CPU begins: goes on to the entry in ecx with the argument in eax on the stack.
#[unsafe(naked)]
unsafe extern "C" fn enter() {
    naked_asm!(
        "xor ebp, ebp",
        // Aligned as the C ABI wants it above the return address.
        "sub esp, 12",
        "push eax",
        "push 0",
        "jmp ecx",
    )
}

/// By the clock, and should that stand still, not for ever.
fn wait_us(microseconds: u64) {
    const MAX_LOOKS: u32 = 100_000_000;
    let end = time::clock_ns() + microseconds * 1000;
    for _ in 0..MAX_LOOKS {
        if time::clock_ns() >= end {
            break;
        }
        spin_loop();
    }
}
