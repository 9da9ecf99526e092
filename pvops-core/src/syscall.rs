//! System calls of 64-bit programs: where they enter the kernel. Intel SDM volume 2, SYSCALL and SYSRET.

/// What `cpu::setup_syscall` wants to know. Both entries begin with interrupts off and all other
/// registers as the program has them.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct SyscallEntry {
    /// Where the SYSCALL instruction itself leads: still on the program's stack and with its GS, the
    /// program's RIP in rcx and its flags in r11.
    pub direct: usize,
    /// Where a host leads that takes the system call first, as Xen does for PV guests: on this CPU's
    /// [kernel stack](fn@crate::cpu::load_kernel_stack), with an
    /// [`InterruptFrame`](crate::InterruptFrame) on it. rcx and r11 have no meaning.
    pub framed: usize,
    /// The kernel's code selector; that of its stack is 8 more.
    pub kernel_code: u16,
    /// The selector, 8 less than that of the program's stack segment and 16 less than that of its
    /// 64-bit code segment, that `cpu::syscall_return` gives the program; its low two bits are 3.
    pub user_base: u16,
}
