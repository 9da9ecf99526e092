//! How all calls are made.

use core::array;
use core::fmt;

use crate::abi::call::{COUNT, Call};
use crate::abi::relocation::Relocation;
use crate::route::{Misfit, Reach, Route};

/// What the ROM has said of each call.
#[derive(Clone, Debug)]
pub struct Routes([Result<Route, Misfit>; COUNT as usize]);

impl Routes {
    /// Asks `relocation`, which is `VMI_GetRelocationInfo` and answers in EDX:EAX, of every call.
    pub fn ask(reach: &Reach, mut relocation: impl FnMut(Call) -> u64) -> Self {
        Routes(array::from_fn(|number| {
            let call = Call(number as u32);
            Route::of(call, Relocation::from_registers(relocation(call)), reach)
        }))
    }

    /// How a call is made; natively if the ROM does not have it.
    ///
    /// # Errors
    ///
    /// If the ROM's answer can't be used; then it is made natively, too.
    pub fn get(&self, call: Call) -> Result<Route, Misfit> {
        let known = self.0.get(call.0 as usize).copied();
        known.unwrap_or(Ok(Route::Native))
    }

    /// All calls, with how each is made.
    pub fn iter(&self) -> impl Iterator<Item = (Call, Result<Route, Misfit>)> {
        (0..).map(Call).zip(self.0)
    }

    /// The answers that can't be used.
    pub fn misfits(&self) -> impl Iterator<Item = (Call, Misfit)> {
        self.iter()
            .filter_map(|(call, route)| Some((call, route.err()?)))
    }
}

/// Counts them: `VMI calls: 40 calls, 2 jumps, 3 nothing, 29 native`.
impl fmt::Display for Routes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |is: fn(&Result<Route, Misfit>) -> bool| {
            self.0.iter().filter(|&route| is(route)).count()
        };
        write!(
            formatter,
            "VMI calls: {} calls, {} jumps, {} nothing, {} native",
            count(|route| matches!(route, Ok(Route::Call(_)))),
            count(|route| matches!(route, Ok(Route::Jump(_)))),
            count(|route| *route == Ok(Route::Nothing)),
            count(|route| *route == Ok(Route::Native)),
        )?;
        match self.misfits().count() {
            0 => Ok(()),
            misfits => write!(formatter, ", {misfits} can't be used"),
        }
    }
}
