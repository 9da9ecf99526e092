//! Records that the linker gathers from all object files into one section.

/// All records of type `$record` in the section `$name`, whose name is a C identifier.
///
/// The section is mentioned here, empty, so that it and its bounds exist in an image without a
/// single record. Whoever emits records gives them the alignment of four bytes that `$record` has.
macro_rules! records {
    ($name:literal, $record:ty) => {{
        const _: () = assert!(align_of::<$record>() == 4);
        let (start, stop): (*const $record, *const $record);
        // SAFETY: loads two addresses.
        unsafe {
            core::arch::asm!(
                concat!(".pushsection ", $name, ", \"aR\", @progbits"),
                ".balign 4",
                ".popsection",
                $crate::arch::address_of!("start", concat!("__start_", $name)),
                $crate::arch::address_of!("stop", concat!("__stop_", $name)),
                start = out(reg) start,
                stop = out(reg) stop,
                options(nomem, nostack, pure, preserves_flags),
            );
        }
        let count = (stop.addr() - start.addr()) / size_of::<$record>();
        // SAFETY: the linker puts the records between the two symbols, and nobody writes them.
        unsafe { core::slice::from_raw_parts(start, count) }
    }};
}

pub(crate) use records;
