//! Text to the console, byte by byte through the op `system.console_byte`.

use core::fmt::{self, Write};

use pvops_core::system;

/// Prints a line.
macro_rules! println {
    ($($argument:tt)*) => {
        $crate::console::print(format_args!("{}\n", format_args!($($argument)*)))
    };
}

/// Prints one machine line: `@`, then a JSON object.
macro_rules! report {
    ($($argument:tt)*) => {
        $crate::console::print(format_args!("@{{{}}}\n", format_args!($($argument)*)))
    };
}

pub(crate) use {println, report};

/// Prints the text. Any context; lines of different CPUs may mix.
pub(crate) fn print(text: fmt::Arguments<'_>) {
    // The console takes every byte, so there is no error.
    let _ = Console.write_fmt(text);
}

/// Bytes as the inside of a JSON string; what is not printable ASCII becomes `?`.
pub(crate) struct Json<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Json<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&byte| match byte {
            b'"' | b'\\' => write!(formatter, "\\{}", char::from(byte)),
            b' '..=b'~' => formatter.write_char(char::from(byte)),
            _ => formatter.write_char('?'),
        })
    }
}

struct Console;

impl Write for Console {
    /// Not inlined: the compiler would unroll it for each text that it knows.
    #[inline(never)]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(system::console_byte);
        Ok(())
    }
}
