//! The ops of a simulated CPU.

mod cpu;
mod io;
mod irq;
mod machine;
mod mmu;
mod time;

use crate::binding::Outcome;
use crate::op::Op;
use crate::ops::Bindings;

/// As [`preserve!`](crate::preserve), which the crate that defines it can't use.
macro_rules! thunk {
    ($group:ident::$name:ident, $function:path) => {{
        preserve_thunk!(thunk, $group::$name, $function);
        // SAFETY: the thunk saves all that a preserve site does not lose.
        unsafe { crate::binding::Binding::<crate::op::$group::$name>::preserve(thunk) }
    }};
}

/// Binds ops of the group, each by `thunk!` or `call!` as its shape wants it, to what is done with the
/// [`State`](super::state::State) and noted; and the rest to what follows `else`.
macro_rules! simulated {
    ($group:ident {
        $($bind:ident $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)? = |$state:pat_param| $body:expr;)*
    } else { $($rest:ident: $binding:expr,)* }) => {
        crate::bindings::$group {
            $($name: {
                unsafe extern "C" fn function($($argument: $type),*) $(-> $result)? {
                    crate::testing::state::perform(
                        <crate::op::$group::$name as crate::Op>::NUMBER,
                        &[$(crate::testing::performed::Operand::as_word(&$argument).unwrap_or(0)),*],
                        |$state| $body,
                    )
                }
                $bind!($group::$name, function)
            },)*
            $($rest: $binding,)*
        }
    };
}
use {simulated, thunk};

/// Every op, for the table.
pub(super) const BINDINGS: Bindings = Bindings {
    cpu: cpu::BINDINGS,
    irq: irq::BINDINGS,
    mmu: mmu::BINDINGS,
    time: time::BINDINGS,
    io: io::BINDINGS,
    apic: machine::APIC,
    smp: machine::SMP,
    system: machine::SYSTEM,
    lock: crate::bindings::lock::AWAKE,
};

/// What a backend binds, on simulated CPUs: where it would execute instructions that only a kernel may, the
/// simulated CPU does; what it does by ops and in memory, as in the clock and behind the locks, stays.
///
/// A test that installs a backend puts this in between by [`interpose`](crate::interpose()) first, in a process
/// of its own in which no other thread uses ops:
///
/// ```text
/// unsafe { pvops_core::interpose(testing::simulate) };
/// ```
#[must_use]
pub fn simulate(bindings: Bindings) -> Bindings {
    let eoi = usize::from(crate::op::apic::eoi::NUMBER.0);
    let is_instruction = bindings.as_slice()[eoi].outcome() == Outcome::Inline;
    Bindings {
        mmu: crate::bindings::mmu {
            flush_tlb_multi: bindings.mmu.flush_tlb_multi,
            ..BINDINGS.mmu
        },
        time: bindings.time,
        apic: crate::bindings::apic {
            eoi: match is_instruction {
                true => BINDINGS.apic.eoi,
                false => bindings.apic.eoi,
            },
            ..bindings.apic
        },
        smp: bindings.smp,
        lock: bindings.lock,
        ..BINDINGS
    }
}
