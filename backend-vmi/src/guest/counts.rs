//! What our own ROM counts: for tests.

use core::mem::offset_of;
use core::ptr;

use super::{entries, start};
use crate::abi::extension::{Extension, OFFSET, SIGNATURE};

/// How often something has happened in the ROM: a call, by its number, or a
/// [statistic](crate::abi::extension::statistic). `None` if the ROM is not ours, or was not started.
/// Any context.
pub fn read_count(number: u32) -> Option<u64> {
    let rom = start::mapped_rom()?;
    let field = |offset: usize| {
        let field = ptr::with_exposed_provenance::<u32>(rom.start as usize + OFFSET + offset);
        // SAFETY: the kernel has mapped the ROM, which is longer than its header.
        unsafe { field.read_volatile() }
    };
    if field(offset_of!(Extension, signature)) != SIGNATURE {
        return None;
    }
    let code = rom
        .start
        .checked_add(field(offset_of!(Extension, read_count)))?;
    // SAFETY: the ROM says that this is how it is asked.
    rom.contains(&code)
        .then(|| unsafe { entries::enter(code, [number, 0, 0], [0; 2]) })
}
