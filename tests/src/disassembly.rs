//! Instructions as text, for people who check what patching will run.

use std::sync::Arc;

pub use iced_x86::Mnemonic;
use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, IntelFormatter};
use iced_x86::{SymbolResolver, SymbolResult};

use crate::symbols::Symbols;

/// Writes instructions in Intel syntax, with the names of an image's symbols in place of addresses.
pub struct Disassembler {
    bits: u32,
    formatter: IntelFormatter,
}

impl Disassembler {
    /// For code of a word size, with names from `symbols`.
    pub fn new(bits: u32, symbols: &Arc<Symbols>) -> Self {
        let names = Names(Arc::clone(symbols));
        let mut formatter = IntelFormatter::with_options(Some(Box::new(names)), None);
        let options = formatter.options_mut();
        options.set_hex_prefix("0x");
        options.set_hex_suffix("");
        options.set_uppercase_hex(false);
        options.set_space_after_operand_separator(true);
        Self { bits, formatter }
    }

    /// The instructions in `bytes`, which lie at the virtual `address`, on one line:
    /// separated by `; `, runs of NOPs counted.
    pub fn one_line(&mut self, bytes: &[u8], address: u64) -> String {
        let mut parts: Vec<String> = Vec::new();
        let mut nops = 0;
        for instruction in decode(self.bits, bytes, address) {
            if instruction.mnemonic() == Mnemonic::Nop && instruction.len() == 1 {
                nops += 1;
                continue;
            }
            push_nops(&mut parts, &mut nops);
            // Its operand is never read; what counts is the length.
            parts.push(match instruction.mnemonic() {
                Mnemonic::Nop => format!("{}-byte nop", instruction.len()),
                _ => self.instruction(&instruction),
            });
        }
        push_nops(&mut parts, &mut nops);
        parts.join("; ")
    }

    /// One decoded instruction.
    pub fn instruction(&mut self, instruction: &Instruction) -> String {
        let mut text = String::new();
        self.formatter.format(instruction, &mut text);
        text
    }
}

/// The instructions in `bytes`, which are of 64-bit or 32-bit code and lie at the virtual `address`. After
/// a byte that begins no instruction it goes on with the next one, so nothing behind it is passed over.
pub fn decode(bits: u32, bytes: &[u8], address: u64) -> impl Iterator<Item = Instruction> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(offset..).filter(|rest| !rest.is_empty())?;
        let ip = address.wrapping_add(offset as u64);
        let instruction = Decoder::with_ip(bits, rest, ip, DecoderOptions::NONE).decode();
        offset += match instruction.is_invalid() {
            true => 1,
            false => instruction.len(),
        };
        Some(instruction)
    })
}

fn push_nops(parts: &mut Vec<String>, count: &mut usize) {
    match std::mem::take(count) {
        0 => {}
        1 => parts.push("nop".into()),
        count => parts.push(format!("{count} x nop")),
    }
}

struct Names(Arc<Symbols>);

impl SymbolResolver for Names {
    fn symbol(
        &mut self,
        _instruction: &Instruction,
        _operand: u32,
        _instruction_operand: Option<u32>,
        address: u64,
        _address_size: u32,
    ) -> Option<SymbolResult<'_>> {
        let place = self.0.place(address)?;
        Some(SymbolResult::with_string(address, place.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;
    use crate::sample::{Sample, TEXT_ADDRESS};

    fn one_line(bytes: &[u8]) -> String {
        let elf = Sample::new().build();
        let image = Image::parse(&elf).unwrap();
        Disassembler::new(image.bits(), image.symbols()).one_line(bytes, TEXT_ADDRESS)
    }

    #[test]
    fn an_unpatched_site_names_its_slot() {
        let sample = Sample::new();
        assert_eq!(
            one_line(&sample.text[..6]),
            "call qword ptr [pvops_op_table]"
        );
        let elf = sample.build();
        let image = Image::parse(&elf).unwrap();
        assert_eq!(
            Disassembler::new(image.bits(), image.symbols())
                .one_line(&sample.text[7..15], TEXT_ADDRESS + 7),
            "call qword ptr [pvops_op_table+0x8]; 2 x nop"
        );
    }

    #[test]
    fn patched_sites_show_instructions_and_count_nops() {
        assert_eq!(one_line(b"\xfa\x90\x90\x90\x90\x90"), "cli; 5 x nop");
        assert_eq!(one_line(b"\x9c\x58\x90"), "pushfq; pop rax; nop");
        assert_eq!(one_line(b"\x3e\x3e\x3e\x3e\x3e\xfa"), "cli");
        assert_eq!(one_line(b"\x66\x0f\x1f\x44\x00\x00\x90"), "6-byte nop; nop");
        assert_eq!(one_line(b"\xb8\x10\x00\x00\x00"), "mov eax, 0x10");
    }

    #[test]
    fn bytes_that_are_no_instruction_do_not_stop_it() {
        assert_eq!(one_line(b"\x06\xfa"), "(bad); cli");
        assert_eq!(one_line(b"\xff"), "(bad)");
    }
}
