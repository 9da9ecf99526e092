//! What the ROM knows of each CPU, and which CPU it runs on.

use core::arch::asm;
use core::arch::x86::__cpuid;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::alarm::Alarms;
use super::deferred::Queue;
use super::interrupts_off::InterruptsOff;
use super::kvm::Records;
use super::state::State;

/// One CPU. Only that CPU uses it, with interrupts off, but for `gdt` and while it waits to be started.
#[repr(C)]
pub(super) struct Cpu {
    /// KVM's records; first, for their alignment.
    pub(super) records: Records,
    /// The base of its descriptor table: each CPU has its own. 0 if it isn't known, or not its own.
    gdt: AtomicU32,
    /// Whether KVM knows the records.
    pub(super) is_known_to_kvm: AtomicBool,
    pub(super) queue: Queue,
    pub(super) alarms: Alarms,
}

impl Cpu {
    /// The CPU that this runs on, if the ROM has room for it.
    pub(super) fn current<'a>(state: &'a State, _: &InterruptsOff) -> Option<&'a Self> {
        let by_gdt = match state.borrowers.load(Ordering::Relaxed) {
            0 => Self::with_gdt(state, gdt_base()),
            _ => None,
        };
        let cpu = match by_gdt {
            Some(cpu) => cpu,
            None => state.cpus.get(number())?,
        };
        if let Some(kvm) = state.kvm.get() {
            kvm.introduce(state, cpu);
        }
        Some(cpu)
    }

    /// The CPU whose own table that is.
    fn with_gdt(state: &State, base: u32) -> Option<&Self> {
        let mut cpus = state.cpus.iter();
        cpus.find(|cpu| cpu.gdt.load(Ordering::Relaxed) == base)
    }

    /// To be called before a CPU begins with that table: until it loads another one, the table does not tell it
    /// from the CPU whose it is.
    pub(super) fn begins_with_gdt(state: &State, number: usize, base: u32) {
        let bit = 1 << number;
        match Self::with_gdt(state, base.max(1)) {
            Some(_) => state.borrowers.fetch_or(bit, Ordering::SeqCst),
            None => state.borrowers.fetch_and(!bit, Ordering::SeqCst),
        };
    }

    /// To be called by another CPU, for one that is sent INIT: it makes no call any more before it is started.
    pub(super) fn forget(&self) {
        self.gdt.store(0, Ordering::Relaxed);
        // A last end of an interrupt may not have been told.
        self.records.take_end();
        self.is_known_to_kvm.store(false, Ordering::Release);
    }

    /// To be called with another descriptor table loaded.
    pub(super) fn loaded_gdt(state: &State, _: &InterruptsOff) {
        let base = gdt_base();
        let shared = state.shared_gdt.load(Ordering::Relaxed);
        // The table tells nothing while others have it too.
        let other = Self::with_gdt(state, base);
        if let Some(other) = other {
            other.gdt.store(0, Ordering::Relaxed);
        }
        let number = number();
        let Some(cpu) = state.cpus.get(number) else {
            return;
        };
        state.borrowers.fetch_and(!(1 << number), Ordering::SeqCst);
        let is_own = other.is_none_or(|other| core::ptr::eq(other, cpu));
        if is_own && base != shared {
            cpu.gdt.store(base, Ordering::Relaxed);
        } else {
            cpu.gdt.store(0, Ordering::Relaxed);
            state.shared_gdt.store(base, Ordering::Relaxed);
        }
    }
}

/// The identifier that this CPU's local APIC began with. Slow on a hypervisor.
fn number() -> usize {
    (__cpuid(1).ebx >> 24) as usize
}

/// Never 0 where it matters: a table at 0 is taken for an unknown one.
fn gdt_base() -> u32 {
    let mut operand = [0_u16; 3];
    // SAFETY: SGDT stores six bytes.
    unsafe { asm!("sgdt [{}]", in(reg) &raw mut operand, options(nostack, preserves_flags)) };
    let base = u32::from(operand[1]) | u32::from(operand[2]) << 16;
    base.max(1)
}
