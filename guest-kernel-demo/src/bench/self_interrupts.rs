//! What an interrupt of a CPU to itself costs, until it has come and been ended, by the names of
//! kvm-unit-tests' `vmexit`: let in by STI or by a halt, with `tpr` held back by CR8 first, with `x2apic`
//! by a register.

#[cfg(target_arch = "x86_64")]
use pvops_core::cpu;
use pvops_core::{Kernel, irq, smp};

use super::Bench;
#[cfg(target_arch = "x86_64")]
use super::exits::write_msr;
use super::interrupts::until_came;
use crate::platform::Platform;
use crate::trap::{self, SELF_VECTOR};

/// Runs all that this host can do. Interrupts off.
pub(super) fn run(bench: &Bench<'_>) {
    let by_op = || send(SELF_VECTOR);
    let_in(bench, "op", ["self_ipi_sti_nop", "self_ipi_sti_hlt"], by_op);
    #[cfg(target_arch = "x86_64")]
    if !bench.lacks("cr8") {
        let names = ["self_ipi_tpr_sti_nop", "self_ipi_tpr_sti_hlt"];
        at_once(bench, "op", "self_ipi_tpr", || held_back(by_op));
        let_in(bench, "op", names, || held_back(by_op));
    }
    #[cfg(target_arch = "x86_64")]
    if !bench.lacks("ring-0") && is_x2apic() {
        by_register(bench);
    }
}

/// Sends this CPU an interrupt.
#[inline(always)]
pub(super) fn send(vector: u8) {
    let this = Platform.cpu_index();
    // SAFETY: the vector has a handler, as all have.
    unsafe { smp::send_ipi(this, vector) };
}

/// By the register for that, which x2APIC mode has. Intel SDM volume 3, section 11.12.11.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
fn by_register(bench: &Bench<'_>) {
    const SELF_IPI: u32 = 0x83f;
    // SAFETY: as above.
    let send = || unsafe { write_msr(SELF_IPI, u64::from(SELF_VECTOR)) };
    let names = ["x2apic_self_ipi_sti_nop", "x2apic_self_ipi_sti_hlt"];
    let_in(bench, "register", names, send);
    if !bench.lacks("cr8") {
        let names = ["x2apic_self_ipi_tpr_sti_nop", "x2apic_self_ipi_tpr_sti_hlt"];
        at_once(bench, "register", "x2apic_self_ipi_tpr", || held_back(send));
        let_in(bench, "register", names, || held_back(send));
    }
}

#[cfg(target_arch = "x86_64")]
fn is_x2apic() -> bool {
    const APIC_BASE: u32 = 0x1b;
    const X2APIC: u64 = 1 << 10;
    cpu::read_msr_safe(APIC_BASE).is_ok_and(|base| base & X2APIC != 0)
}

/// What `send` sends comes when STI lets it in, and when a halt does.
#[inline(never)]
fn let_in(bench: &Bench<'_>, way: &str, [sti_nop, sti_hlt]: [&str; 2], send: impl Fn()) {
    bench.exit(sti_nop, way, |_| {
        let before = trap::count(SELF_VECTOR);
        send();
        // SAFETY: all interrupts have handlers.
        unsafe { irq::enable() };
        until_came(SELF_VECTOR, before);
        irq::disable();
    });
    // Elsewhere the interrupt comes before the halt, and nothing ends that.
    if !bench.lacks("sti-shadow") {
        bench.exit(sti_hlt, way, |_| {
            let before = trap::count(SELF_VECTOR);
            send();
            // SAFETY: as above.
            unsafe { irq::safe_halt() };
            until_came(SELF_VECTOR, before);
            irq::disable();
        });
    }
}

/// What `send` sends comes when it can, with interrupts on.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
fn at_once(bench: &Bench<'_>, way: &str, name: &str, send: impl Fn()) {
    // SAFETY: all interrupts have handlers.
    unsafe { irq::enable() };
    bench.exit(name, way, |_| {
        let before = trap::count(SELF_VECTOR);
        send();
        until_came(SELF_VECTOR, before);
    });
    irq::disable();
}

/// What `send` sends is held back until CR8 lets it in.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn held_back(send: impl Fn()) {
    // SAFETY: all interrupts have handlers.
    unsafe {
        cpu::write_cr8(15);
        send();
        cpu::write_cr8(0);
    }
}
