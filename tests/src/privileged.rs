//! Where an image executes privileged or sensitive instructions itself.
//!
//! A kernel on `pvops-core` leaves them to its backends: one that is left elsewhere works
//! on bare hardware and fails, or silently does nothing, on a paravirtual host. The code is
//! decoded afresh from every symbol, so data between two functions cannot hide or invent an
//! instruction; code without any symbol is decoded too and reported without a name.

use iced_x86::{Instruction, Mnemonic, OpKind};

use crate::disassembly::{Disassembler, decode};
use crate::image::{Image, Section};

/// A privileged instruction in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Virtual address.
    pub address: u64,
    /// The instruction in Intel syntax.
    pub text: String,
    /// Demangled name of the symbol around it.
    pub symbol: Option<String>,
}

/// Lists every privileged or sensitive instruction in the executable sections of `image`.
///
/// Data symbols in these sections are passed over. Code for a mode that is not the image's is decoded
/// all the same, so what is found in boot code of that kind may be misnamed.
pub fn instructions(image: &Image<'_>) -> Vec<Finding> {
    let mut disassembler = Disassembler::new(image.bits(), image.symbols());
    let mut findings = Vec::new();
    for section in image.sections().iter().filter(|section| section.executable) {
        let starts = region_starts(image, section);
        for (index, &start) in starts.iter().enumerate() {
            let end = starts.get(index + 1).map_or(section.end(), |&next| next);
            let symbol = image.symbols().around(start);
            if symbol.is_some_and(|symbol| symbol.data) {
                continue;
            }
            let bytes = &section.data[(start - section.address) as usize..];
            // The last instruction may reach beyond the end.
            let region =
                decode(image.bits(), bytes, start).take_while(|instruction| instruction.ip() < end);
            for instruction in region {
                if is_privileged(&instruction) {
                    findings.push(Finding {
                        address: instruction.ip(),
                        text: disassembler.instruction(&instruction),
                        symbol: symbol.map(|symbol| symbol.name()),
                    });
                }
            }
        }
    }
    findings
}

/// Where decoding starts afresh: at every beginning and end of a symbol in the section.
fn region_starts(image: &Image<'_>, section: &Section<'_>) -> Vec<u64> {
    let inside = section.address..section.end();
    let mut starts = vec![section.address];
    for symbol in image.symbols().iter() {
        starts.extend([symbol.address, symbol.end]);
    }
    starts.retain(|start| inside.contains(start));
    starts.sort_unstable();
    starts.dedup();
    starts
}

/// Whether user mode may not execute the instruction, or whether it shows the guest what
/// its host is: Intel SDM volume 3, "Privileged Instructions"; AMD APM volume 2,
/// "Instructions Supported only in SVM"; and those that Popek and Goldberg call sensitive.
fn is_privileged(instruction: &Instruction) -> bool {
    instruction.is_privileged() || is_sensitive(instruction.mnemonic()) || moves_system(instruction)
}

fn is_sensitive(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(
        mnemonic,
        Cli | Sti
            | Hlt
            | In
            | Insb
            | Insw
            | Insd
            | Out
            | Outsb
            | Outsw
            | Outsd
            | Lgdt
            | Lidt
            | Lldt
            | Ltr
            | Sgdt
            | Sidt
            | Sldt
            | Str
            | Smsw
            | Lmsw
            | Clts
            | Invlpg
            | Invpcid
            | Invd
            | Wbinvd
            | Wbnoinvd
            | Rdmsr
            | Wrmsr
            | Rdpmc
            | Rdtsc
            | Rdtscp
            | Cpuid
            | Pushf
            | Pushfd
            | Pushfq
            | Popf
            | Popfd
            | Popfq
            | Swapgs
            | Iret
            | Iretd
            | Iretq
            | Syscall
            | Sysret
            | Sysretq
            | Sysenter
            | Sysexit
            | Sysexitq
            | Vmcall
            | Vmmcall
            | Vmfunc
            | Xsetbv
            | Monitor
            | Mwait
            | Invlpga
            | Stgi
            | Clgi
    )
}

/// Moves to and from control and debug registers.
fn moves_system(instruction: &Instruction) -> bool {
    instruction.mnemonic() == Mnemonic::Mov
        && (0..instruction.op_count()).any(|operand| {
            let register = instruction.op_register(operand);
            instruction.op_kind(operand) == OpKind::Register
                && (register.is_cr() || register.is_dr())
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Sample, TEXT_ADDRESS};

    fn found(text: &[u8], symbols: &[(&str, u64, u64)]) -> Vec<(u64, String, Option<String>)> {
        let elf = Sample::without_sites(text, symbols).build();
        let image = Image::parse(&elf).unwrap();
        instructions(&image)
            .into_iter()
            .map(|finding| (finding.address - TEXT_ADDRESS, finding.text, finding.symbol))
            .collect()
    }

    /// Every instruction that a kernel must leave to its backends, and its encoding.
    const PRIVILEGED: &[(&str, &[u8])] = &[
        ("cli", b"\xfa"),
        ("sti", b"\xfb"),
        ("hlt", b"\xf4"),
        ("in al, dx", b"\xec"),
        ("out 0xf4, al", b"\xe6\xf4"),
        ("lgdt [rax]", b"\x0f\x01\x10"),
        ("lidt [rax]", b"\x0f\x01\x18"),
        ("sgdt [rax]", b"\x0f\x01\x00"),
        ("sidt [rax]", b"\x0f\x01\x08"),
        ("lldt ax", b"\x0f\x00\xd0"),
        ("ltr ax", b"\x0f\x00\xd8"),
        ("lmsw ax", b"\x0f\x01\xf0"),
        ("clts", b"\x0f\x06"),
        ("invlpg [rax]", b"\x0f\x01\x38"),
        ("wbinvd", b"\x0f\x09"),
        ("mov cr3, rax", b"\x0f\x22\xd8"),
        ("mov rax, cr2", b"\x0f\x20\xd0"),
        ("mov dr7, rax", b"\x0f\x23\xf8"),
        ("mov rax, dr6", b"\x0f\x21\xf0"),
        ("rdmsr", b"\x0f\x32"),
        ("wrmsr", b"\x0f\x30"),
        ("rdtsc", b"\x0f\x31"),
        ("rdtscp", b"\x0f\x01\xf9"),
        ("cpuid", b"\x0f\xa2"),
        ("pushfq", b"\x9c"),
        ("popfq", b"\x9d"),
        ("swapgs", b"\x0f\x01\xf8"),
        ("iretq", b"\x48\xcf"),
        ("sysretq", b"\x48\x0f\x07"),
        ("vmcall", b"\x0f\x01\xc1"),
        ("vmmcall", b"\x0f\x01\xd9"),
        ("xsetbv", b"\x0f\x01\xd1"),
    ];

    #[test]
    fn each_privileged_instruction_is_found() {
        for &(text, bytes) in PRIVILEGED {
            let mut code = bytes.to_vec();
            code.push(0xc3);
            let length = code.len() as u64;
            let found = found(&code, &[("kernel", 0, length)]);
            assert_eq!(found, [(0, text.to_string(), Some("kernel".to_string()))]);
        }
    }

    #[test]
    fn ordinary_code_is_not_reported() {
        // push rbp; mov rbp, rsp; xor eax, eax; mov ds:[rax], ecx; int3; syscall's second
        // byte as an immediate: mov eax, 0xfa; pop rbp; ret
        let code = b"\x55\x48\x89\xe5\x31\xc0\x89\x08\xcc\xb8\xfa\x00\x00\x00\x5d\xc3";
        assert!(found(code, &[("kernel", 0, 16)]).is_empty());
    }

    #[test]
    fn data_between_functions_does_not_desynchronise() {
        // Four bytes of data that would swallow the `cli` after them as an immediate.
        let code = b"\xc3\x48\xb8\x00\x00\xfa\xc3\x90\x90\x90\x90";
        let symbols = [("before", 0, 1), ("after", 5, 2)];
        let found = found(code, &symbols);
        assert_eq!(found, [(5, "cli".to_string(), Some("after".to_string()))]);
    }

    #[test]
    fn bytes_that_are_no_instruction_hide_nothing() {
        let found = found(b"\x06\xfa\xc3", &[("kernel", 0, 3)]);
        assert_eq!(found, [(1, "cli".to_string(), Some("kernel".to_string()))]);
    }

    #[test]
    fn code_without_symbol_is_reported_without_name() {
        let found = found(b"\xc3\xf4\xfa", &[("kernel", 0, 1)]);
        assert_eq!(
            found,
            [(1, "hlt".to_string(), None), (2, "cli".to_string(), None)]
        );
    }
}
