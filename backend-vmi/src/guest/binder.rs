//! Binding ops to what the ROM has for them.

use core::mem::transmute;

use pvops_core::binding::Binding;
use pvops_core::op::{ErasedFunction, ExitOp, NoResult, Op, PreserveOp};

use crate::abi::call::Call;
use crate::route::{CallEntry, JumpEntry, Misfit, Route};
use crate::routes::Routes;

/// Chooses between the ROM and the native instruction.
pub(super) struct Binder<'a> {
    routes: &'a Routes,
}

impl<'a> Binder<'a> {
    pub(super) fn new(routes: &'a Routes) -> Self {
        Binder { routes }
    }

    /// The ROM's own code at the sites of an op with a result.
    ///
    /// # Safety
    ///
    /// The call must do what the op does, with the operands where the op's shape has them, and lose
    /// no more than the shape does.
    pub(super) unsafe fn value<O: PreserveOp>(&self, call: Call, native: Binding<O>) -> Binding<O> {
        match self.routes.get(call) {
            // SAFETY: the caller vouches for the call.
            Ok(Route::Call(entry)) => unsafe { Binding::preserve(called(entry)) },
            _ => native,
        }
    }

    /// The ROM's own code, or nothing where the ROM says so, at the sites of an op without a result.
    ///
    /// # Safety
    ///
    /// As for [`value`](Self::value).
    pub(super) unsafe fn action<O: PreserveOp + NoResult>(
        &self,
        call: Call,
        native: Binding<O>,
    ) -> Binding<O> {
        match self.routes.get(call) {
            Ok(Route::Nothing) => Binding::nothing(),
            // SAFETY: the caller vouches for the call.
            _ => unsafe { self.value(call, native) },
        }
    }

    /// Our own function around a call that the ROM has.
    pub(super) fn wrapped<O: Op>(
        &self,
        call: Call,
        native: Binding<O>,
        wrapper: Binding<O>,
    ) -> Binding<O> {
        if self.has(call) { wrapper } else { native }
    }

    /// The ROM's own code at the sites of an op that never returns: jumped to or called, as the ROM
    /// says. `thunk` jumps there, without the return address.
    ///
    /// # Errors
    ///
    /// If the ROM has none.
    ///
    /// # Safety
    ///
    /// As for [`value`](Self::value); `thunk` jumps to the call.
    pub(super) unsafe fn exit<O: ExitOp>(
        &self,
        call: Call,
        thunk: ErasedFunction,
    ) -> Result<Binding<O>, Misfit> {
        match self.routes.get(call)? {
            // SAFETY: the caller vouches for the call. Code that is called drops the return address,
            // code that is jumped to finds none.
            Route::Call(entry) => Ok(unsafe { Binding::exit_by_call(called(entry)) }),
            // SAFETY: as above.
            Route::Jump(entry) => Ok(unsafe { Binding::exit_by_jump(thunk, jumped_to(entry)) }),
            Route::Native | Route::Nothing => Err(Misfit::Missing),
        }
    }

    /// Whether the ROM has the call.
    pub(super) fn has(&self, call: Call) -> bool {
        matches!(self.routes.get(call), Ok(Route::Call(_)))
    }
}

fn called(entry: CallEntry) -> ErasedFunction {
    code(entry.address())
}

fn jumped_to(entry: JumpEntry) -> ErasedFunction {
    code(entry.address())
}

fn code(address: u32) -> ErasedFunction {
    // SAFETY: the address is in the ROM or where the ROM has reserved addresses, hence not 0; nobody
    // calls it but by the sites of the op that it is bound to.
    unsafe { transmute::<u32, ErasedFunction>(address) }
}
