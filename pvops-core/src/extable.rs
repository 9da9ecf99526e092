//! The exception table: instructions that may fault, and where to go on if they do.
//!
//! An instruction that may fault is registered in the section `pvops_extable` by
//! [`extable_entry!`](crate::extable_entry). The kernel's exception handler asks [`fixup`] before
//! it gives up.

use crate::section::records;

/// Where to go on after the instruction at `address` has faulted, or `None` if no fault is expected
/// there.
///
/// Call it from the #GP and #PF handlers with the interrupted instruction pointer; if it returns an
/// address, put that into the interrupt frame and return. Any context, any CPU. The search is
/// linear: faults that are expected are rare.
pub fn fixup(address: usize) -> Option<usize> {
    entries()
        .iter()
        .find(|entry| entry.fault() == address)
        .map(Entry::resume)
}

/// Assembler lines (a string literal) that register the instruction at the local label `fault`,
/// with `resume` as the label to go on at.
#[macro_export]
macro_rules! extable_entry {
    ($fault:literal, $resume:literal) => {
        concat!(
            ".pushsection pvops_extable, \"aR\", @progbits\n",
            ".balign 4\n",
            ".long ",
            $fault,
            " - .\n",
            ".long ",
            $resume,
            " - .\n",
            ".popsection"
        )
    };
}

/// Both distances are from the field's own address.
#[repr(C)]
struct Entry {
    fault: i32,
    resume: i32,
}

impl Entry {
    fn fault(&self) -> usize {
        (&raw const self.fault)
            .addr()
            .wrapping_add_signed(self.fault as isize)
    }

    fn resume(&self) -> usize {
        (&raw const self.resume)
            .addr()
            .wrapping_add_signed(self.resume as isize)
    }
}

fn entries() -> &'static [Entry] {
    records!("pvops_extable", Entry)
}
