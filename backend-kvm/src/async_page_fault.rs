//! Async page faults: while the host fetches a page of the guest's memory, the kernel runs another
//! task.
//!
//! If a program touches a page that the host has to fetch first, the host raises a page fault that is
//! none: CR2 holds a token. When the page is there, an interrupt says so, with the token in this
//! CPU's record. The kernel's part:
//!
//! 1. It lends a vector by [`set_vector`].
//! 2. Its #PF handler asks [`take_fault`] first, if a program was interrupted, and runs other tasks
//!    until the token [is ready](Token::is_ready).
//! 3. The vector's handler calls [`handle_ready`] and wakes the tasks whose tokens are ready.
//!
//! A task may go on too early: it faults again. So where anything is in doubt, a token is ready.
//!
//! The host is asked for faults of programs only. The kernel itself may hold a lock at any
//! instruction and can't wait; when it touches such a page, the host halts the CPU until the page is
//! there or an interrupt comes. Linux does the same.
//!
//! Protocol and layout: Linux's Documentation/virt/kvm/x86/msr.rst, MSR_KVM_ASYNC_PF_EN, _INT and
//! _ACK.

mod tokens;

use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use pvops_core::{InterruptVector, Kernel, cpu};
use spin::Mutex;

use crate::features::Features;
use crate::shared::{self, ENABLE};
use tokens::Tokens;

/// Names a page that the host fetches.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Token(u32);

impl Token {
    /// All that are outstanding, where [`handle_ready`] gives it.
    pub const ALL: Token = Token(u32::MAX);

    /// Names nothing: what the record holds meanwhile.
    const NONE: Token = Token(0);

    /// Whether the task that has faulted may go on. Interrupts off, so that the interrupt doesn't come
    /// between the question and the wait.
    pub fn is_ready(self) -> bool {
        !TOKENS.lock().is_outstanding(self)
    }
}

/// Lends the vector by which the host says that a page is there. Without one, async page faults stay
/// off. Call it before [`install`](pvops_core::install()).
///
/// # Safety
///
/// On every CPU that is brought up, the vector's handler calls [`handle_ready`], and the handler of
/// page faults of programs asks [`take_fault`].
pub unsafe fn set_vector(vector: InterruptVector) {
    VECTOR.store(vector.get(), Ordering::Relaxed);
}

/// The token, if this page fault is one of the host's. For the #PF handler, if a program was
/// interrupted, before anything that can fault, interrupts off; `cr2` is what CR2 held. Where the
/// feature is off, or the fault is ordinary, it costs two loads or so.
#[must_use = "with a token the fault is none, and CR2 no address"]
pub fn take_fault(cr2: usize) -> Option<Token> {
    record()?.take_fault(cr2, &TOKENS)
}

/// Takes from the host which page is there, and lets it name the next. For the handler of the vector,
/// interrupts off, before the end of the interrupt. `None` if the host names none.
///
/// Afterwards wake the tasks whose tokens [are ready](Token::is_ready).
pub fn handle_ready() -> Option<Token> {
    let token = record()?.take_ready(&TOKENS);
    // SAFETY: the register exists where the feature is in use; the record is free for the next.
    unsafe { cpu::write_msr(ASYNC_PF_ACK, 1) };
    token
}

/// MSR_KVM_ASYNC_PF_EN: the record's physical address, 64-byte aligned, and flags.
const ASYNC_PF_EN: u32 = 0x4b56_4d02;
/// MSR_KVM_ASYNC_PF_INT: the vector.
const ASYNC_PF_INT: u32 = 0x4b56_4d06;
/// MSR_KVM_ASYNC_PF_ACK: 1 when the record is free for the next token.
const ASYNC_PF_ACK: u32 = 0x4b56_4d07;
/// KVM_ASYNC_PF_DELIVERY_AS_INT. Bit 1, faults of the kernel as well, stays 0.
const READY_BY_INTERRUPT: u64 = 1 << 3;
/// KVM_PV_REASON_PAGE_NOT_PRESENT.
const NOT_PRESENT: u32 = 1 << 0;

/// An exception's, so never lent.
const NO_VECTOR: u8 = 0;
static VECTOR: AtomicU8 = AtomicU8::new(NO_VECTOR);
/// Held with interrupts off.
static TOKENS: Mutex<Tokens> = Mutex::new(Tokens::new());

pub(crate) fn has_vector() -> bool {
    VECTOR.load(Ordering::Relaxed) != NO_VECTOR
}

/// Has the host raise such faults on this CPU; `None` if the kernel has no memory for the record. Only
/// where the host offers this and the kernel has lent a vector; interrupts off.
pub(crate) fn start(kernel: &dyn Kernel) -> Option<()> {
    let record = &shared::of_this_cpu(kernel)?.async_page_fault;
    let physical = shared::physical(kernel, record)?;
    record.clear();
    // SAFETY: the kernel has lent the vector, and the host writes the record only.
    unsafe {
        // First, as the host may use the vector at once. A KVM that leaves the local APIC to its
        // monitor offers this and refuses it; then no such fault comes.
        let _ = cpu::write_msr_safe(ASYNC_PF_INT, VECTOR.load(Ordering::Relaxed).into());
        let _ = cpu::write_msr_safe(ASYNC_PF_EN, physical | ENABLE | READY_BY_INTERRUPT);
    }
    Some(())
}

/// Has the host raise no such faults on this CPU any more. It forgets those that are outstanding, so
/// all tokens are ready; interrupts off.
pub(crate) fn stop(kernel: &dyn Kernel) {
    disable();
    if let Some(frame) = shared::of(kernel.cpu_index()) {
        frame.async_page_fault.clear();
    }
    TOKENS.lock().ready(Token::ALL);
}

/// The same without a look at record and tokens. Only where the host offers this; any context.
pub(crate) fn disable() {
    // SAFETY: the register exists.
    unsafe { cpu::write_msr(ASYNC_PF_EN, 0) };
}

/// The record of this CPU, if the feature is in use.
fn record() -> Option<&'static Record> {
    if !Features::in_use().contains(Features::ASYNC_PF_INT) {
        return None;
    }
    let frame = shared::of(pvops_core::kernel()?.cpu_index())?;
    Some(&frame.async_page_fault)
}

/// The record: `struct kvm_vcpu_pv_apf_data` in `arch/x86/include/uapi/asm/kvm_para.h`.
#[repr(C, align(64))]
pub(crate) struct Record {
    /// Not 0 from when the host raises a fault until the kernel takes it.
    flags: AtomicU32,
    /// Not 0 from when the host says that a page is there until the kernel takes it.
    token: AtomicU32,
    reserved: [AtomicU8; 56],
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<Record>() == 64);
    assert!(offset_of!(Record, flags) == 0);
    assert!(offset_of!(Record, token) == 4);
};

impl Record {
    fn take_fault(&self, cr2: usize, tokens: &Mutex<Tokens>) -> Option<Token> {
        if self.flags.load(Ordering::Relaxed) == 0 {
            return None;
        }
        // Flags that we do not know say nothing of this fault.
        let flags = self.flags.swap(0, Ordering::Relaxed);
        (flags & NOT_PRESENT != 0).then(|| {
            // The host keeps tokens in 32 bits.
            let token = Token(cr2 as u32);
            tokens.lock().fault(token);
            token
        })
    }

    fn take_ready(&self, tokens: &Mutex<Tokens>) -> Option<Token> {
        let token = Token(self.token.swap(0, Ordering::Relaxed));
        (token != Token::NONE).then(|| {
            tokens.lock().ready(token);
            token
        })
    }

    fn clear(&self) {
        self.flags.store(0, Ordering::Relaxed);
        self.token.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
