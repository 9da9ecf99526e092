//! The answer of `VMI_GetRelocationInfo`.

/// Where a call is, and how to reach it (vmi.h, `struct vmi_relocation_info`). EAX is the address, DL the
/// kind; the rest of EDX is reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Relocation {
    /// Virtual address.
    pub address: u32,
    /// How to reach it.
    pub kind: Kind,
    /// Reserved.
    pub reserved: [u8; 3],
}

/// How a call is reached (vmi.h, `VMI_RELOCATION_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Kind(pub u8);

impl Kind {
    /// The ROM does not have it: the native instruction is right. Not so for IRET and SYSEXIT, where
    /// Linux has no native instruction left.
    pub const NONE: Self = Self(0);
    /// By CALL.
    pub const CALL_REL: Self = Self(1);
    /// By JMP only.
    pub const JUMP_REL: Self = Self(2);
    /// The call does nothing: drop it.
    pub const NOP: Self = Self(3);
}

impl Relocation {
    /// From EDX:EAX.
    pub const fn from_registers(edx_eax: u64) -> Self {
        let [a0, a1, a2, a3, kind, reserved @ ..] = edx_eax.to_le_bytes();
        Self {
            address: u32::from_le_bytes([a0, a1, a2, a3]),
            kind: Kind(kind),
            reserved,
        }
    }
}

const _: () = assert!(size_of::<Relocation>() == 8);
