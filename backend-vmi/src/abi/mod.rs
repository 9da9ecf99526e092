//! VMI 3.0: what a guest and a ROM agree on. Used by the guest backend and by `vmi-rom`; constants and
//! layouts only, for any word size.
//!
//! Sources: Linux 2.6.21 to 2.6.36, `asm/vmi.h`, `asm/vmi_time.h` and `vmi_32.c` ("vmi.h" below), which
//! is the only public form of version 3.0; and "Paravirtualization API Version 2.0" (LKML, 13 March
//! 2006; "the specification" below), where 3.0 has not changed it.
//!
//! A call is made in 32-bit protected mode with paging on and flat segments. Arguments are in EAX, EDX
//! and ECX, further ones on the stack from \[ESP+4\] at entry, which the caller pops; the result is in EAX
//! or EDX:EAX. EBX, ESI, EDI and EBP are kept; EAX, EDX, ECX and the flags are not. The four calls of
//! the interrupt flag (29 to 32) change flags only, and CPUID and the port calls what their instruction
//! changes. (The specification, appendix A.)

pub mod ap_state;
pub mod call;
pub mod extension;
pub mod header;
pub mod paging;
pub mod relocation;
pub mod time;

/// The argument of [`call::Call::SET_LAZY_MODE`] (vmi.h, `VMI_LAZY_*`). Leaving a mode makes up for all
/// that was deferred in it, and so do a page fault, `InvalPage` and `FlushTLB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct LazyMode(pub u32);

impl LazyMode {
    /// Nothing is deferred.
    pub const OFF: Self = Self(0);
    /// Updates of page tables may be deferred.
    pub const MMU: Self = Self(1);
    /// Updates of this CPU's state, such as descriptors and the kernel's stack, may be deferred.
    pub const CPU: Self = Self(2);
}

/// The result of [`call::Call::GET_INTERRUPT_MASK`], and the argument of `SetInterruptMask`, with
/// interrupts on: EFLAGS.IF (the specification, VMI_GetInterruptMask).
pub const INTERRUPTS_ENABLED: u32 = 0x200;

/// Arguments of [`call::Call::REBOOT`] (the specification, VMI_Reboot).
pub mod reboot {
    /// As by INIT.
    pub const SOFT: u32 = 0;
    /// As by the machine's reset line.
    pub const HARD: u32 = 1;
}
