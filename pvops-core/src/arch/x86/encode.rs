//! Encodings of 32-bit protected mode.

/// Where a call takes its target from that ends at `_end`: the address is absolute.
pub(crate) fn slot_of_call(_end: usize, displacement: isize) -> usize {
    displacement as usize
}

/// NOPs of 1 to 9 bytes. The `0f 1f` of later CPUs is an invalid opcode on those before the Pentium
/// Pro, so from three bytes on it is `lea esi, [esi + 0]`, in the lengths that its displacement, an
/// index byte that names no index and an override of DS give.
pub(crate) const NOPS: [&[u8]; 10] = [
    &[],
    &[0x90],
    &[0x66, 0x90],
    &[0x8d, 0x76, 0x00],
    &[0x8d, 0x74, 0x26, 0x00],
    &[0x3e, 0x8d, 0x74, 0x26, 0x00],
    &[0x8d, 0xb6, 0x00, 0x00, 0x00, 0x00],
    &[0x8d, 0xb4, 0x26, 0x00, 0x00, 0x00, 0x00],
    &[0x3e, 0x8d, 0xb4, 0x26, 0x00, 0x00, 0x00, 0x00],
    &[0x3e, 0x3e, 0x8d, 0xb4, 0x26, 0x00, 0x00, 0x00, 0x00],
];

/// Whether the override of DS means nothing in front of an instruction.
///
/// Intel SDM volume 2, section 2.1.1. It has a meaning
///
/// - where memory is addressed by ESP or EBP, for which SS is the default;
/// - where there is another segment override, for there may be one of them only;
/// - before branches, where prefixes of segments are hints, or reserved.
///
/// Elsewhere memory operands are in DS anyway, or where no override reaches: the stack of PUSH, POP
/// and IRET, the destination of string instructions. Instructions without one ignore it. The line is
/// as the template's source has it, so this says `false` too often rather than too rarely.
pub(crate) const fn is_indifferent_to_ds(line: &str) -> bool {
    let is_branch = starts_with(line.as_bytes(), b"j")
        || starts_with(line.as_bytes(), b"call")
        || starts_with(line.as_bytes(), b"loop");
    !is_branch && !has(line, "esp") && !has(line, "ebp") && !has(line, ":")
}

const fn has(line: &str, part: &str) -> bool {
    let mut rest = line.as_bytes();
    loop {
        if starts_with(rest, part.as_bytes()) {
            return true;
        }
        match rest {
            [_, behind @ ..] => rest = behind,
            [] => return false,
        }
    }
}

const fn starts_with(mut text: &[u8], mut part: &[u8]) -> bool {
    while let [wanted, more @ ..] = part {
        match text {
            [byte, rest @ ..] if *byte == *wanted => (text, part) = (rest, more),
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::is_indifferent_to_ds;

    #[test]
    fn a_prefix_that_means_something_is_not_put_in_front() {
        for line in [
            "cli",
            "rdmsr",
            "mov cr3, eax",
            "mov [eax], edx",
            "iretd",
            "push eax",
        ] {
            assert!(is_indifferent_to_ds(line), "{line}");
        }
        for line in [
            "mov eax, fs:[0x41]",
            "mov eax, [esp + 4]",
            "lea ecx, [ebp]",
            "jmp eax",
            "call eax",
        ] {
            assert!(!is_indifferent_to_ds(line), "{line}");
        }
    }
}
