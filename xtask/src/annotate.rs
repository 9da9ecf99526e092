//! Function names beside kernel addresses in a guest's output.

use std::path::Path;
use std::sync::Arc;

use pvops_tests::image::Image;
use pvops_tests::symbols::Symbols;

const PREFIX: &str = "ffffffff8";
const ADDRESS_DIGITS: usize = "ffffffff80000000".len();

/// Names addresses after the symbols of one kernel.
#[derive(Clone)]
pub(crate) struct Annotator {
    symbols: Option<Arc<Symbols>>,
}

impl Annotator {
    /// Takes the names from the file `kernel`; from a file that cannot be read none.
    pub(crate) fn from_file(kernel: &Path) -> Self {
        let file = std::fs::read(kernel).unwrap_or_default();
        let symbols = Image::parse(&file)
            .ok()
            .map(|image| Arc::clone(image.symbols()));
        Self { symbols }
    }

    /// `text` with ` <name+offset>` behind each hexadecimal address in the top 2 GiB that
    /// lies in a function. The address may lack its `0x`, as in QEMU's register dumps.
    pub(crate) fn annotate(&self, text: &str) -> String {
        let mut annotated = String::new();
        let mut rest = text;
        while !rest.is_empty() {
            let is_digit = |character: char| character.is_ascii_hexdigit();
            let digits_end = rest.find(|character| !is_digit(character));
            let (digits, after) = rest.split_at(digits_end.unwrap_or(rest.len()));
            annotated.push_str(digits);
            if let Some(function) = self.function_at(digits) {
                annotated.push_str(&format!(" <{function}>"));
            }
            let other_end = after.find(is_digit).unwrap_or(after.len());
            annotated.push_str(&after[..other_end]);
            rest = &after[other_end..];
        }
        annotated
    }

    fn function_at(&self, digits: &str) -> Option<String> {
        if digits.len() != ADDRESS_DIGITS || !digits.starts_with(PREFIX) {
            return None;
        }
        let address = u64::from_str_radix(digits, 16).ok()?;
        let symbols = self.symbols.as_ref()?;
        if symbols.around(address)?.data {
            return None;
        }
        Some(symbols.place(address)?.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pvops_tests::sample::Sample;

    fn annotate(text: &str) -> String {
        let elf = Sample::new().build();
        let symbols = Some(Arc::clone(Image::parse(&elf).unwrap().symbols()));
        Annotator { symbols }.annotate(text)
    }

    #[test]
    fn addresses_in_functions_are_named() {
        assert_eq!(
            annotate("fault at 0xffffffff80200008, from 0xffffffff80200000."),
            "fault at 0xffffffff80200008 <second+0x1>, from 0xffffffff80200000 <first>."
        );
    }

    #[test]
    fn the_message_about_a_bad_site_names_its_function() {
        assert_eq!(
            annotate(
                "the backend native can't be installed: call site 0xffffffff80200007 of \
                 cpu.write_msr holds [fa, 15, fb, ff, 1f, 00, 90, 90], not its call"
            ),
            "the backend native can't be installed: call site 0xffffffff80200007 <second> of \
             cpu.write_msr holds [fa, 15, fb, ff, 1f, 00, 90, 90], not its call"
        );
        assert_eq!(
            annotate("call site 0xffffffff80200008 of irq.disable did not take what was written"),
            "call site 0xffffffff80200008 <second+0x1> of irq.disable did not take what was written"
        );
    }

    #[test]
    fn register_dumps_are_named_too() {
        assert_eq!(
            annotate("RIP=ffffffff80200003 RFL=00000046"),
            "RIP=ffffffff80200003 <first+0x3> RFL=00000046"
        );
    }

    #[test]
    fn other_numbers_stay_as_they_are() {
        for text in [
            "",
            "no address",
            "data 0xffffffff80400000",
            "outside 0xffffffff80500000",
            "short 0xffffffff8020",
            "long 0xffffffff802000000",
            "cut 0xffffffff8",
            "\u{e9} ffffffff8020000\u{e9}",
        ] {
            assert_eq!(annotate(text), text);
        }
    }

    #[test]
    fn without_symbols_nothing_changes() {
        let annotator = Annotator::from_file(Path::new("/nonexistent"));
        let text = "fault at 0xffffffff80200008";
        assert_eq!(annotator.annotate(text), text);
    }
}
