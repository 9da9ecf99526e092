//! A part of the code that no interrupt interrupts.

use crate::ops::irq::{disable, restore_flags, save_flags};

/// Runs `run` with interrupts off, and puts them back as they were. Any context; it nests.
///
/// ```text
/// let length = irq::without(|| QUEUE.lock().len());
/// ```
#[inline(always)]
pub fn without<T>(run: impl FnOnce() -> T) -> T {
    let flags = save_flags();
    disable();
    let _restored = Restored(flags);
    run()
}

/// Puts the flags back, also where `run` unwinds, as it may in a test.
struct Restored(usize);

impl Drop for Restored {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the flags are those of this CPU, where `run` was entered.
        unsafe { restore_flags(self.0) };
    }
}
