//! End of interrupt by memory: the host says in a word when it need not hear of one.
//!
//! The host sets the word's bit before it delivers an interrupt behind which nothing waits, and takes
//! the bit away again whenever it gets to run before the handler is through. If the bit is still set
//! at the end, clearing it is all there is to do, and saves the exit that the local APIC's register
//! costs.

use core::arch::asm;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use pvops_core::cpu_set::MAX_CPUS;
use pvops_core::{Kernel, apic, cpu};

use crate::shared::{self, ENABLE};

/// MSR_KVM_PV_EOI_EN: the word's physical address, and the enable bit.
const PV_EOI_EN: u32 = 0x4b56_4d04;
/// The local APIC's register, by its x2APIC number. Intel SDM volume 3, table 12-6.
const EOI_REGISTER: u32 = 0xb;

/// How many ends of interrupts on a CPU, by the kernel's number, the host did not have to hear of, since the
/// backend was installed; modulo 2^32 in 32-bit code. Any context.
pub fn saved_ends_of_interrupts(cpu: usize) -> u64 {
    SAVED
        .get(cpu)
        .map_or(0, |Saved(count)| count.load(Ordering::Relaxed) as u64)
}

/// Written by its CPU alone, at many interrupts: in a cache line of its own.
#[repr(align(64))]
struct Saved(AtomicUsize);

static SAVED: [Saved; MAX_CPUS] = [const { Saved(AtomicUsize::new(0)) }; MAX_CPUS];

/// Has the host use this CPU's word; `None` if the kernel has no memory for it. Only where the host
/// offers this; interrupts off.
pub(crate) fn start(kernel: &dyn Kernel) -> Option<()> {
    let word = &shared::of_this_cpu(kernel)?.end_of_interrupt;
    let physical = shared::physical(kernel, word)?;
    word.store(0, Ordering::Relaxed);
    // SAFETY: the register exists; the host writes the word only.
    unsafe { cpu::write_msr(PV_EOI_EN, physical | ENABLE) };
    Some(())
}

/// Has the host leave this CPU's word alone. Interrupts that are in service end by the register.
pub(crate) fn stop(kernel: &dyn Kernel) {
    disable();
    if let Some(frame) = shared::of(kernel.cpu_index()) {
        frame.end_of_interrupt.store(0, Ordering::Relaxed);
    }
}

/// The same without a look at the word. Only where the host offers this; any context.
pub(crate) fn disable() {
    // The write itself makes the host take the bit away, if it is set.
    // SAFETY: the register exists.
    unsafe { cpu::write_msr(PV_EOI_EN, 0) };
}

/// The op `apic.eoi`.
pub(crate) unsafe extern "C" fn eoi() {
    let cpu = pvops_core::kernel().map_or(0, Kernel::cpu_index);
    let saved = shared::of(cpu).is_some_and(|frame| take(&frame.end_of_interrupt));
    if !saved {
        // SAFETY: every local APIC has the register.
        unsafe { apic::write(EOI_REGISTER, 0) };
    } else if let Some(Saved(count)) = SAVED.get(cpu) {
        count.store(
            count.load(Ordering::Relaxed).wrapping_add(1),
            Ordering::Relaxed,
        );
    }
}

/// Clears the word's lowest bit, and says whether it was set.
///
/// The host touches the word only while this CPU is out of the guest, which it never is within an
/// instruction: so one instruction it must be, but not a locked one.
fn take(word: &AtomicU32) -> bool {
    let was_set: u8;
    // SAFETY: the instruction changes the word only.
    unsafe {
        asm!(
            "btr dword ptr [{word}], 0",
            "setc {was_set}",
            word = in(reg) word.as_ptr(),
            was_set = lateout(reg_byte) was_set,
            options(nostack),
        );
    }
    was_set != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "inline assembly")]
    fn a_set_bit_is_taken_once_and_nothing_else_with_it() {
        for (before, taken, after) in [
            (0, false, 0),
            (1, true, 0),
            (u32::MAX, true, u32::MAX - 1),
            (u32::MAX - 1, false, u32::MAX - 1),
        ] {
            let word = AtomicU32::new(before);
            assert_eq!(take(&word), taken, "{before:#x}");
            assert_eq!(word.load(Ordering::Relaxed), after, "{before:#x}");
            assert!(!take(&word));
        }
    }
}
