//! Encodings of 64-bit mode.

/// Where a call takes its target from that ends at `end`: relative to that.
pub(crate) fn slot_of_call(end: usize, displacement: isize) -> usize {
    end.wrapping_add_signed(displacement)
}

/// Recommended NOPs of 1 to 9 bytes: Intel SDM volume 2, NOP, table "Recommended Multi-Byte
/// Sequence of NOP Instruction".
pub(crate) const NOPS: [&[u8]; 10] = [
    &[],
    &[0x90],
    &[0x66, 0x90],
    &[0x0f, 0x1f, 0x00],
    &[0x0f, 0x1f, 0x40, 0x00],
    &[0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
    &[0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
    &[0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
];

/// Whether the override of DS means nothing in front of an instruction: in 64-bit mode those of CS,
/// DS, ES and SS are ignored. Intel SDM volume 2, section 2.1.1; AMD APM volume 3, section 1.2.4.
pub(crate) const fn is_indifferent_to_ds(_line: &str) -> bool {
    true
}
