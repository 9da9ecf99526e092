//! What our own ROM adds, in the reserved bytes of its header. No part of VMI: a guest that does not know
//! it loses nothing.
//!
//! Our ROM asks one thing more of a guest than VMI does: where the ROM is mapped, all of the first
//! megabyte is mapped too, writable and with the same distance between virtual and physical addresses.
//! The ROM keeps its state in memory below 640 KiB, which it has taken from the memory map of the BIOS.

use core::mem::{offset_of, size_of};

use super::header::Header;

/// From the ROM's beginning to the [`Extension`].
pub const OFFSET: usize = offset_of!(Header, reserved);

/// The reserved bytes of the header in our own ROM.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed)]
pub struct Extension {
    /// [`SIGNATURE`].
    pub signature: u32,
    /// Offset of code that is called as any call, after `VMI_Init`. EAX is a [call's
    /// number](super::call::Call) or a [`statistic`]; EDX:EAX is how often that has happened on all CPUs,
    /// and is 0 for an unknown number. Calls are counted only if the ROM was told to count.
    pub read_count: u32,
}

/// "pvop".
pub const SIGNATURE: u32 = u32::from_le_bytes(*b"pvop");

/// Numbers for [`Extension::read_count`] that are not those of calls.
pub mod statistic {
    /// Which personality the ROM has: 0 for native, 1 for KVM.
    pub const PERSONALITY: u32 = 0x100;
    /// Whether calls are counted: 0 or 1.
    pub const COUNTING: u32 = 0x101;
    /// How often deferred updates were made up for.
    pub const FLUSHES: u32 = 0x102;
    /// How many updates were deferred.
    pub const DEFERRED: u32 = 0x103;
    /// How many ends of interrupts needed no access to the local APIC.
    pub const SAVED_ENDS: u32 = 0x104;
    /// How many interrupts between CPUs were sent by a hypercall.
    pub const HYPERCALL_IPIS: u32 = 0x105;
}

const _: () = assert!(OFFSET == 0x20 && size_of::<Extension>() <= 96);
