//! The stack frame of an interrupt.

/// What an interrupt or exception pushes, lowest address first, and what leads back to where it came
/// from. In 64-bit mode it always has five words. Intel SDM volume 3, figure 7-9.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct InterruptFrame {
    /// Address of the next instruction.
    pub rip: u64,
    /// Code segment selector; its low two bits are not 0 if the frame leads to user mode.
    pub cs: u64,
    /// The flags register.
    pub flags: u64,
    /// Stack pointer.
    pub rsp: u64,
    /// Stack segment selector.
    pub ss: u64,
}

const _: () = assert!(size_of::<InterruptFrame>() == 40);
