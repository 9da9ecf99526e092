//! How another CPU begins.

use core::mem::{offset_of, size_of};

/// The registers of a CPU at its first instruction (vmi.h, `struct vmi_ap_state`). CR0.PE and CR0.PG must
/// be set; long mode is not supported. General registers keep the order of vmi.h.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ApState {
    /// Control register.
    pub cr0: u32,
    /// Control register.
    pub cr2: u32,
    /// Control register: a physical address.
    pub cr3: u32,
    /// Control register.
    pub cr4: u32,
    /// Extended features. Two halves: the alignment of a 64-bit number is not the same everywhere.
    pub efer: [u32; 2],
    /// First instruction.
    pub eip: u32,
    /// Flags.
    pub eflags: u32,
    /// General register.
    pub eax: u32,
    /// General register.
    pub ebx: u32,
    /// General register.
    pub ecx: u32,
    /// General register.
    pub edx: u32,
    /// Stack pointer.
    pub esp: u32,
    /// General register.
    pub ebp: u32,
    /// General register.
    pub esi: u32,
    /// General register.
    pub edi: u32,
    /// Selector.
    pub cs: u16,
    /// Selector.
    pub ss: u16,
    /// Selector.
    pub ds: u16,
    /// Selector.
    pub es: u16,
    /// Selector.
    pub fs: u16,
    /// Selector.
    pub gs: u16,
    /// Selector of the local descriptor table.
    pub ldtr: u16,
    /// Limit of the global descriptor table.
    pub gdtr_limit: u16,
    /// Virtual address of the global descriptor table.
    pub gdtr_base: u32,
    /// Virtual address of the interrupt descriptor table.
    pub idtr_base: u32,
    /// Limit of the interrupt descriptor table.
    pub idtr_limit: u16,
    /// Padding.
    pub pad: u16,
}

const _: () = {
    assert!(offset_of!(ApState, efer) == 16);
    assert!(offset_of!(ApState, eip) == 24);
    assert!(offset_of!(ApState, edi) == 60);
    assert!(offset_of!(ApState, cs) == 64);
    assert!(offset_of!(ApState, gdtr_limit) == 78);
    assert!(offset_of!(ApState, gdtr_base) == 80);
    assert!(offset_of!(ApState, idtr_limit) == 88);
    assert!(size_of::<ApState>() == 92);
};
