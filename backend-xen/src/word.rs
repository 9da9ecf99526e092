//! What Xen's interface has in the guest's own word size: frame numbers of guests of the CPU's
//! virtualization and the machine (`xen_pfn_t`), addresses (`XEN_GUEST_HANDLE`) and words of bits
//! (`xen_ulong_t`). Xen's public/arch-x86/xen.h.

cfg_if::cfg_if! {
    if #[cfg(target_pointer_width = "64")] {
        /// A word of Xen's interface.
        pub type Word = u64;
        pub(crate) type AtomicWord = core::sync::atomic::AtomicU64;
    } else {
        /// A word of Xen's interface.
        pub type Word = u32;
        pub(crate) type AtomicWord = core::sync::atomic::AtomicU32;
    }
}

/// A size or offset by the word size of this code.
pub(crate) const fn by_word_size(in_64_bit: usize, in_32_bit: usize) -> usize {
    match Word::BITS {
        64 => in_64_bit,
        _ => in_32_bit,
    }
}
