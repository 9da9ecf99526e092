//! Lazy mode: what the ROM may put off.
//!
//! The ROM knows one mode for each CPU, and its modes do not nest; the depth is kept here. Turning a
//! mode off makes up for everything.

use core::sync::atomic::{AtomicU32, Ordering};

use pvops_core::cpu_set::MAX_CPUS;
use pvops_core::lazy::LazyDepth;
use pvops_core::{bindings, irq, preserve};

use super::binder::Binder;
use super::entries::call_if_there;
use crate::abi::LazyMode;
use crate::abi::call::Call;

pub(super) fn bind(binder: &Binder<'_>, native: bindings::mmu) -> bindings::mmu {
    if !binder.has(Call::SET_LAZY_MODE) {
        return native;
    }
    bindings::mmu {
        enter_lazy: preserve!(mmu::enter_lazy, enter),
        leave_lazy: preserve!(mmu::leave_lazy, leave),
        flush_lazy: preserve!(mmu::flush_lazy, flush),
        pause_lazy: preserve!(mmu::pause_lazy, pause),
        resume_lazy: preserve!(mmu::resume_lazy, resume),
        ..native
    }
}

/// How many CPUs may put changes off now: what the ops for entries look at first.
pub(super) static LAZY_CPUS: AtomicU32 = AtomicU32::new(0);

/// Whether this CPU may.
pub(super) fn is_lazy() -> bool {
    depth().is_some_and(LazyDepth::is_lazy)
}

static DEPTHS: [LazyDepth; MAX_CPUS] = [const { LazyDepth::new() }; MAX_CPUS];

fn depth() -> Option<&'static LazyDepth> {
    DEPTHS.get(pvops_core::kernel()?.cpu_index())
}

fn begin() {
    LAZY_CPUS.fetch_add(1, Ordering::Relaxed);
    set(LazyMode::MMU);
}

fn end() {
    LAZY_CPUS.fetch_sub(1, Ordering::Relaxed);
    set(LazyMode::OFF);
}

fn set(mode: LazyMode) {
    // SAFETY: this CPU may put off as much as the depth says.
    unsafe { call_if_there(Call::SET_LAZY_MODE, [mode.0, 0, 0], [0; 2]) };
}

unsafe extern "C" fn enter() {
    if let Some(depth) = depth() {
        let was_lazy = depth.is_lazy();
        depth.enter();
        if !was_lazy && depth.is_lazy() {
            begin();
        }
    }
}

unsafe extern "C" fn leave() {
    end_if(LazyDepth::leave);
}

unsafe extern "C" fn flush() {
    if is_lazy() {
        set(LazyMode::OFF);
        set(LazyMode::MMU);
    }
}

unsafe extern "C" fn pause() {
    end_if(LazyDepth::pause);
}

/// An interrupt in the middle would find a CPU that is not lazy, and changes that were put off.
fn end_if(must_end: fn(&LazyDepth) -> bool) {
    irq::without(|| {
        if depth().is_some_and(must_end) {
            end();
        }
    });
}

unsafe extern "C" fn resume() {
    if let Some(depth) = depth() {
        depth.resume();
        if depth.is_lazy() {
            begin();
        }
    }
}
