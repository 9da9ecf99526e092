//! Guards, by which a kernel says where lazy mode begins and ends.

use core::marker::PhantomData;

use crate::ops::mmu;

/// Lets the host put off changes to page tables until the guard is dropped. Interrupts on or off,
/// any CPU; its owner keeps to the [rules](crate::lazy).
///
/// ```compile_fail,E0277
/// fn send(_: impl Send) {}
/// send(pvops_core::mmu::lazy());
/// ```
#[inline(always)]
pub fn lazy() -> LazyMode {
    mmu::enter_lazy();
    LazyMode(PhantomData)
}

/// Keeps this CPU in lazy mode.
#[derive(Debug)]
#[must_use = "lazy mode ends when the guard is dropped"]
pub struct LazyMode(PhantomData<*mut ()>);

impl LazyMode {
    /// Makes what was put off so far; lazy mode goes on.
    #[inline(always)]
    pub fn flush(&self) {
        mmu::flush_lazy();
    }
}

impl Drop for LazyMode {
    #[inline(always)]
    fn drop(&mut self) {
        mmu::leave_lazy();
    }
}

/// Makes what was put off, and has every change made at once until the guard is dropped. In
/// interrupt and exception handlers, before they touch page tables.
#[inline(always)]
pub fn eager() -> EagerMode {
    mmu::pause_lazy();
    EagerMode(PhantomData)
}

/// Keeps lazy mode from having an effect on this CPU.
#[derive(Debug)]
#[must_use = "lazy mode goes on when the guard is dropped"]
pub struct EagerMode(PhantomData<*mut ()>);

impl Drop for EagerMode {
    #[inline(always)]
    fn drop(&mut self) {
        mmu::resume_lazy();
    }
}
