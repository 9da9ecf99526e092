//! Calls of a simulated host.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::state::{perform, with};
use crate::binding::Binding;
use crate::op::{self, Op};

cfg_if::cfg_if! {
    if #[cfg(target_arch = "x86_64")] {
        mod x86_64;
        use x86_64 as selected;
    } else {
        mod x86;
        use x86 as selected;
    }
}

pub use selected::HypercallRegisters;

/// Answers hypercalls.
pub(super) type Host = Rc<dyn Fn(&mut HypercallRegisters)>;

/// The op `system.hypercall`, whose operands are wherever the host wants them.
// SAFETY: the thunk gives the host all registers that calls use, and changes no others.
pub(super) const HYPERCALL: Binding<op::system::hypercall> =
    unsafe { Binding::hypercall(selected::thunk) };

/// What the thunk calls: the host that the test has given, or else the recording.
unsafe extern "C" fn answer(registers: *mut HypercallRegisters) {
    // SAFETY: the thunk passes what it has saved.
    let registers = unsafe { &mut *registers };
    let number = registers.number() as u64;
    perform(op::system::hypercall::NUMBER, &[number], |_| ());
    let Some(host) = with(|state| state.host.clone()) else {
        let result = with(|state| state.replay_hypercall(registers));
        registers.set_result(result as usize);
        return;
    };
    // A panic can't unwind through an op, whose site is assembly.
    if let Err(reason) = catch_unwind(AssertUnwindSafe(|| host(registers))) {
        with(|state| _ = state.failure.get_or_insert(reason));
    }
}
