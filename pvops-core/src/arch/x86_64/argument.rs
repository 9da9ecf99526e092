//! Arguments, as a site passes them.

/// What an op can take.
pub(crate) trait Argument {
    /// It in a register: narrow integers are extended by zeros to 32 bits, as a callee of the C ABI
    /// expects them.
    type Register;

    fn into_register(self) -> Self::Register;
}

macro_rules! integers {
    ($($integer:ty => $register:ty),*) => {
        $(impl Argument for $integer {
            type Register = $register;

            #[inline(always)]
            fn into_register(self) -> $register {
                self.into()
            }
        })*
    };
}

integers!(u8 => u32, u16 => u32, u32 => u32, u64 => u64, usize => usize);

impl<T> Argument for *const T {
    type Register = Self;

    #[inline(always)]
    fn into_register(self) -> Self {
        self
    }
}

impl<T> Argument for *mut T {
    type Register = Self;

    #[inline(always)]
    fn into_register(self) -> Self {
        self
    }
}

/// An argument in a register.
#[inline(always)]
pub(crate) fn register<A: Argument>(argument: A) -> A::Register {
    argument.into_register()
}
