//! Addresses in this image.

/// An assembler line that loads the address of `$symbol` into the operand `$operand`, both literals.
macro_rules! address_of {
    ($operand:literal, $symbol:expr) => {
        concat!("lea {", $operand, "}, [rip + ", $symbol, "]")
    };
}

pub(crate) use address_of;
