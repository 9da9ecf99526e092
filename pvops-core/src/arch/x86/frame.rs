//! The stack frame of an interrupt.

/// What an interrupt or exception pushes, lowest address first, and what leads back to where it came
/// from. Intel SDM volume 3, figure 7-4.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct InterruptFrame {
    /// Address of the next instruction.
    pub eip: u32,
    /// Code segment selector; its low two bits are not 0 if the frame leads to user mode.
    pub cs: u32,
    /// The flags register.
    pub flags: u32,
    /// Stack pointer. This and the next are not there if the frame leads to the ring it was pushed in.
    pub esp: u32,
    /// Stack segment selector.
    pub ss: u32,
}

const _: () = assert!(size_of::<InterruptFrame>() == 20);
