//! Which function a call leads to.
//!
//! A backend reaches the Rust function behind an op of a preserve class by a thunk. All thunks of
//! one backend module have the same name, so a thunk is told by the function that it calls.

use std::fmt;

use crate::disassembly::decode;
use crate::image::Image;
use crate::symbols::Symbol;

/// The name that `preserve!` and `inline!` give to their thunks.
const THUNK: &str = "::thunk";

/// A function that call sites call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callee {
    /// Demangled name of the symbol that is called.
    pub symbol: String,
    /// If that is a thunk around a function, the demangled name of the function.
    pub behind: Option<String>,
}

/// The function at the virtual `address`; `None` unless a function begins there.
pub fn at(image: &Image<'_>, address: u64) -> Option<Callee> {
    let symbol = image.symbols().around(address)?;
    (symbol.address == address && !symbol.data).then(|| callee(image, symbol))
}

/// Where `image` has the function `wanted`; `None` unless it has exactly one of that name.
pub fn find(image: &Image<'_>, wanted: &Callee) -> Option<u64> {
    let mut found = image.symbols().iter().filter(|symbol| {
        !symbol.data && symbol.name() == wanted.symbol && callee(image, symbol) == *wanted
    });
    let address = found.next()?.address;
    found.next().is_none().then_some(address)
}

fn callee(image: &Image<'_>, symbol: &Symbol) -> Callee {
    let name = symbol.name();
    let behind = match name.ends_with(THUNK) {
        true => only_call(image, symbol),
        false => None,
    };
    Callee {
        symbol: name,
        behind,
    }
}

/// The name of the function that `symbol` calls, if it calls one only.
fn only_call(image: &Image<'_>, symbol: &Symbol) -> Option<String> {
    let length = usize::try_from(symbol.end.checked_sub(symbol.address)?).ok()?;
    let code = image.code(symbol.address, length)?;
    let mut calls =
        decode(image.bits(), code, symbol.address).filter(|instruction| instruction.is_call_near());
    let target = calls.next()?.near_branch_target();
    if calls.next().is_some() {
        return None;
    }
    let function = image.symbols().around(target)?;
    (function.address == target).then(|| function.name())
}

impl fmt::Display for Callee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.behind {
            Some(function) => write!(f, "{function} (by a thunk)"),
            None => f.write_str(&self.symbol),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Sample, TEXT_ADDRESS};

    /// Two functions and thunks around them, `call` at the start of each thunk.
    fn sample() -> Sample {
        let text = b"\xc3\xc3\xe8\xf9\xff\xff\xff\xc3\xe8\xf4\xff\xff\xff\xc3";
        let symbols = [
            ("one", 0, 1),
            ("two", 1, 1),
            ("backend::thunk", 2, 6),
            ("backend::thunk", 8, 6),
        ];
        Sample::without_sites(text, &symbols)
    }

    fn thunk_of(function: &str) -> Callee {
        Callee {
            symbol: "backend::thunk".into(),
            behind: Some(function.into()),
        }
    }

    #[test]
    fn a_thunk_is_told_by_what_it_calls() {
        let elf = sample().build();
        let image = Image::parse(&elf).unwrap();
        assert_eq!(at(&image, TEXT_ADDRESS + 2), Some(thunk_of("one")));
        assert_eq!(at(&image, TEXT_ADDRESS + 8), Some(thunk_of("two")));
        assert_eq!(find(&image, &thunk_of("two")), Some(TEXT_ADDRESS + 8));
        assert_eq!(thunk_of("two").to_string(), "two (by a thunk)");
    }

    #[test]
    fn only_the_beginning_of_a_function_is_one() {
        let elf = sample().build();
        let image = Image::parse(&elf).unwrap();
        let one = at(&image, TEXT_ADDRESS).unwrap();
        assert_eq!(one.to_string(), "one");
        assert_eq!(find(&image, &one), Some(TEXT_ADDRESS));
        assert_eq!(at(&image, TEXT_ADDRESS + 3), None);
        assert_eq!(at(&image, 0), None);
    }

    #[test]
    fn two_of_one_name_are_not_found() {
        let mut sample = sample();
        sample.symbols[1].0 = "one".into();
        let elf = sample.build();
        let image = Image::parse(&elf).unwrap();
        let one = at(&image, TEXT_ADDRESS).unwrap();
        assert_eq!(find(&image, &one), None);
        assert_eq!(find(&image, &thunk_of("one")), None);
        assert_eq!(find(&image, &thunk_of("none")), None);
    }
}
