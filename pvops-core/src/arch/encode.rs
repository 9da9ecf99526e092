//! The few encodings that patching writes itself.
//!
//! A site is filled to its last byte without an instruction more than the template has: a prefix
//! that means nothing costs no instruction, a NOP does. So the override of DS goes in front of the
//! first instruction, as often as the template [takes it](super::padding).

use super::selected::encode::{NOPS, slot_of_call};
use crate::binding::Template;

/// Length of the longest site.
pub(crate) const MAX_SITE: usize = 15;
/// Length of the call through a slot.
pub(crate) const INDIRECT_CALL: usize = 6;
/// Length of `jmp rel32`.
const JUMP: usize = 5;

/// The one-byte breakpoint.
pub(crate) const INT3: u8 = 0xcc;

/// The DS segment override.
const DS: u8 = 0x3e;
/// The CS segment override, which means nothing before a CALL; DS could be read as the `notrack`
/// prefix.
const CS: u8 = 0x2e;

/// Where an unpatched site's call takes its target from, or `None` if the bytes are no such site:
/// `ff 15 disp32`, then one-byte NOPs.
pub(crate) fn indirect_call_slot(site: usize, bytes: &[u8]) -> Option<usize> {
    let (call, padding) = bytes.split_at_checked(INDIRECT_CALL)?;
    if call[..2] != [0xff, 0x15] || padding.iter().any(|&byte| byte != 0x90) {
        return None;
    }
    let displacement = i32::from_le_bytes([call[2], call[3], call[4], call[5]]);
    Some(slot_of_call(
        site.wrapping_add(INDIRECT_CALL),
        displacement as isize,
    ))
}

/// From the end of a site's call to `target`; `None` if that is out of a rel32's range.
pub(crate) fn call_distance(site: usize, target: usize) -> Option<i32> {
    let distance = target.wrapping_sub(site.wrapping_add(INDIRECT_CALL)) as isize;
    i32::try_from(distance).ok()
}

/// Fills a site with a call over a distance.
pub(crate) fn call(distance: i32, out: &mut [u8]) {
    // CS CALL rel32 is six bytes: one instruction, and no NOP behind it.
    let (call, rest) = out.split_at_mut(INDIRECT_CALL);
    call[..2].copy_from_slice(&[CS, 0xe8]);
    call[2..].copy_from_slice(&distance.to_le_bytes());
    nops(rest);
}

/// From the end of a site's jump to `target`; `None` if that is out of a rel32's range.
pub(crate) fn jump_distance(site: usize, target: usize) -> Option<i32> {
    let distance = target.wrapping_sub(site.wrapping_add(JUMP)) as isize;
    i32::try_from(distance).ok()
}

/// Fills a site with a jump over a distance.
pub(crate) fn jump(distance: i32, out: &mut [u8]) {
    let (jump, rest) = out.split_at_mut(JUMP);
    jump[0] = 0xe9;
    jump[1..].copy_from_slice(&distance.to_le_bytes());
    // Never reached.
    rest.fill(INT3);
}

/// Fills a site but for the room that it returns, where a template, not longer than the site, is to
/// go.
pub(crate) fn room<'a>(template: &Template, out: &'a mut [u8]) -> &'a mut [u8] {
    let padding = padded_length(template, out.len()) - template.len();
    let (prefixes, rest) = out.split_at_mut(padding);
    prefixes.fill(DS);
    let (room, rest) = rest.split_at_mut(template.len());
    nops(rest);
    room
}

/// Length of a template with the prefixes that it has at a site.
pub(crate) fn padded_length(template: &Template, site: usize) -> usize {
    template.len() + (site - template.len()).min(template.padding())
}

/// Length of the first NOP that [`nops`] leaves.
pub(crate) fn first_nop_length(site: usize) -> usize {
    site.min(NOPS.len() - 1)
}

/// Fills a site with as few NOPs as will do.
pub(crate) fn nops(mut out: &mut [u8]) {
    while !out.is_empty() {
        let length = out.len().min(NOPS.len() - 1);
        let (nop, rest) = out.split_at_mut(length);
        nop.copy_from_slice(NOPS[length]);
        out = rest;
    }
}

/// Fills a site with UD2, for an op that must not be called.
pub(crate) fn trap(out: &mut [u8]) {
    let (trap, rest) = out.split_at_mut(2);
    trap.copy_from_slice(&[0x0f, 0x0b]);
    // Never reached.
    rest.fill(INT3);
}
