//! What Xen tells a PV kernel at its first instruction. Xen's public/xen.h, `start_info`.

/// As it lies where rsi leads at the entry.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct StartInfo {
    /// "xen-", the version and the architecture.
    magic: [u8; 32],
    /// Frames that the domain has.
    pub(super) frames: u64,
    /// Machine address of the page that Xen shares with the domain.
    pub(super) shared_info: u64,
    /// SIF_ and the name.
    pub(super) flags: u32,
    /// Machine frame of the ring to xenstored; 0 in the first domain.
    pub(super) store_mfn: u64,
    pub(super) store_port: u32,
    /// Machine frame of the ring to the console; in the first domain an offset.
    pub(super) console_mfn: u64,
    pub(super) console_port: u32,
    /// Virtual address of the first page table.
    pub(super) tables: u64,
    /// Frames from there on that are page tables.
    pub(super) table_frames: u64,
    /// Virtual address of the list of the machine frames behind the domain's.
    pub(super) p2m: u64,
    /// Virtual address of the module, or its frame if the flag says so.
    pub(super) module: u64,
    pub(super) module_bytes: u64,
    pub(super) command_line: [u8; 1024],
    /// If the list has an address of its own: its first frame.
    pub(super) first_p2m_frame: u64,
    pub(super) p2m_frames: u64,
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(StartInfo, frames) == 32);
    assert!(offset_of!(StartInfo, flags) == 48);
    assert!(offset_of!(StartInfo, store_mfn) == 56);
    assert!(offset_of!(StartInfo, console_mfn) == 72);
    assert!(offset_of!(StartInfo, tables) == 88);
    assert!(offset_of!(StartInfo, command_line) == 128);
    assert!(offset_of!(StartInfo, first_p2m_frame) == 1152);
    assert!(size_of::<StartInfo>() == 1168);
};

impl StartInfo {
    /// SIF_INITDOMAIN: this domain runs the machine.
    pub(super) const INITIAL_DOMAIN: u32 = 1 << 1;
    /// SIF_MOD_START_PFN: the module is given by its frame.
    pub(super) const MODULE_BY_FRAME: u32 = 1 << 3;

    /// Whether it is one at all, of a 64-bit domain.
    pub(super) fn is_valid(&self) -> bool {
        self.magic.starts_with(b"xen-3.0-x86_64")
    }
}
