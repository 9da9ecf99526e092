//! A writable alias of the image, as far from it everywhere, for as long as its text is written.

use core::ops::Range;

use pvops_core::{irq, mmu};
use spin::Mutex;

use crate::arch::serialize;
use crate::layout::{self, KERNEL_OFFSET, PAGE, WRITABLE_ALIAS};
use crate::paging;
use crate::tables::Flags;

/// Calls `write` with the distance to where `range` can be written, and then lets this CPU execute
/// what was written. Without memory for tables `write` is not called.
///
/// In any context in which nobody is in `write` on this CPU.
pub(crate) fn with(range: Range<usize>, write: &mut dyn FnMut(isize)) {
    static ALONE: Mutex<()> = Mutex::new(());
    let (pages, distance) = match layout::image().contains(&range.start) {
        true => (
            range.start & !(PAGE - 1)..range.end,
            WRITABLE_ALIAS.start - layout::text_start(),
        ),
        // Other memory is writable where it is.
        false => (0..0, 0),
    };
    let pages = pages.step_by(PAGE);
    // Interrupts are off so that nobody waits for long, and nothing else runs with the alias.
    irq::without(|| {
        let _alone = ALONE.lock();
        let lazy = mmu::lazy();
        // Other CPUs are not told when an alias is gone: they never look there before they have mapped
        // it themselves, and what they might still have leads to the same page.
        let mapped = pages.clone().try_for_each(|page| {
            let physical = (page - KERNEL_OFFSET) as u64;
            paging::map(page.wrapping_add(distance), physical, Flags::DATA)
        });
        drop(lazy);
        if mapped.is_ok() {
            write(distance as isize);
        }
        // Before the first op, which may be what was written.
        serialize();
        let _lazy = mmu::lazy();
        for page in pages {
            paging::unmap(page.wrapping_add(distance));
        }
    });
}
