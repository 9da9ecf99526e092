//! A backend for the simulated CPU, with an op of every outcome.

use pvops_backend_native as native;
use pvops_core::backend::Backend;
use pvops_core::binding::Binding;
use pvops_core::{Bindings, bindings, inline, op, preserve, testing};

use crate::exits::{return_from_call, return_from_jump};

/// The backend.
pub(crate) static BACKEND: Backend = Backend {
    name: "host",
    signature: None,
    bind: |_| Ok(bindings()),
    bring_up_cpu: |_| Ok(()),
    take_down_cpu: |_| {},
};

/// What it binds.
pub(crate) fn bindings() -> Bindings {
    let native = native::typical();
    let simulated = testing::simulate(native);
    Bindings {
        cpu: bindings::cpu {
            read_tsc: preserve!(cpu::read_tsc, read_tsc),
            // SAFETY: the second is the instruction, the first as well but for the return address.
            interrupt_return: unsafe { Binding::exit_by_jump(return_from_call, return_from_jump) },
            // Inline, where a process may execute it.
            read_tsc_ordered: native.cpu.read_tsc_ordered,
            write_ldt_entry: native.cpu.write_ldt_entry,
            ..simulated.cpu
        },
        irq: bindings::irq {
            enable: LONG_ENABLE,
            ..simulated.irq
        },
        mmu: bindings::mmu {
            flush_tlb: Binding::nothing(),
            make_entry: native.mmu.make_entry,
            entry_value: native.mmu.entry_value,
            ..simulated.mmu
        },
        io: bindings::io {
            // Too long for the site: called, not inlined.
            delay: inline!(io::delay, "mov eax, 1", "mov eax, 2"),
            ..simulated.io
        },
        apic: bindings::apic {
            eoi: Binding::unavailable(),
            ..simulated.apic
        },
        ..simulated
    }
}

/// Inline, though longer than the shape's plainest form: the site's length to the byte.
#[cfg(target_arch = "x86_64")]
const LONG_ENABLE: Binding<op::irq::enable> = inline!(
    irq::enable,
    "pushfq",
    "pushfq",
    "pop rax",
    "pop rax",
    "mov eax, eax"
);
#[cfg(target_arch = "x86")]
const LONG_ENABLE: Binding<op::irq::enable> = inline!(
    irq::enable,
    "pushfd",
    "popfd",
    "pushfd",
    "popfd",
    "cld",
    "cld"
);

/// What the time-stamp counter reads as.
pub(crate) const TSC: u64 = 0x0123_4567_89ab_cdef;

/// Uses vector registers and wants an aligned stack, as any function may.
unsafe extern "C" fn read_tsc() -> u64 {
    let words = std::hint::black_box([1_u128; 8]);
    let sum: u128 = words.iter().sum();
    TSC + (sum - 8) as u64
}
