//! What Xen tells a PV kernel at its first instruction. Xen's public/xen.h, `start_info`.

use core::ops::Range;

use super::address::FRAME_BYTES;

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

    /// The frames of the list of machine frames, if it has some of its own.
    pub(super) fn p2m_range(&self) -> Range<u64> {
        match self.p2m_frames {
            0 => 0..0,
            frames => self.first_p2m_frame..self.first_p2m_frame + frames,
        }
    }

    /// Whether it is one at all, of a 64-bit domain, and what it says lies within the domain's memory:
    /// `image` is the virtual address of its first frame.
    pub(super) fn is_valid(&self, image: u64) -> bool {
        /// More than 46 bits of addresses have.
        const MAX_FRAMES: u64 = 1 << 34;
        let lies_within = |first: u64, frames: u64| {
            let end = first.checked_add(frames);
            frames != 0 && end.is_some_and(|end| end < self.frames)
        };
        let is_mapped = |address: u64, frames| {
            let offset = address.checked_sub(image);
            offset.is_some_and(|offset| lies_within(offset / FRAME_BYTES, frames))
        };
        let p2m_frames = self.frames.saturating_mul(8).div_ceil(FRAME_BYTES);
        let p2m = match self.p2m_frames {
            0 => is_mapped(self.p2m, p2m_frames),
            frames => frames >= p2m_frames && lies_within(self.first_p2m_frame, frames),
        };
        self.magic.starts_with(b"xen-3.0-x86_64")
            && self.frames <= MAX_FRAMES
            && self.shared_info != 0
            && is_mapped(self.tables, self.table_frames)
            && p2m
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: u64 = 0xffff_ffff_8000_0000;

    fn good() -> StartInfo {
        let mut magic = [0; 32];
        magic[..15].copy_from_slice(b"xen-3.0-x86_64p");
        StartInfo {
            magic,
            frames: 44_241,
            shared_info: 0x1000,
            flags: 0,
            store_mfn: 0,
            store_port: 0,
            console_mfn: 0,
            console_port: 0,
            tables: IMAGE + 0x31_a000,
            table_frames: 5,
            p2m: IMAGE + 0x2c_2000,
            module: 0,
            module_bytes: 0,
            command_line: [0; 1024],
            first_p2m_frame: 0,
            p2m_frames: 0,
        }
    }

    #[test]
    fn what_xen_says_of_a_dom0_is_taken() {
        assert!(good().is_valid(IMAGE));
        let own_list = StartInfo {
            p2m: 0,
            first_p2m_frame: 900,
            p2m_frames: 87,
            ..good()
        };
        assert!(own_list.is_valid(IMAGE));
    }

    #[test]
    fn what_lies_outside_of_the_domain_is_not() {
        let bad: [fn(&mut StartInfo); 10] = [
            |info| info.magic[0] = b'X',
            |info| info.frames = 0,
            |info| info.frames = u64::MAX,
            |info| info.shared_info = 0,
            |info| info.tables = IMAGE - FRAME_BYTES,
            |info| info.tables = IMAGE + 44_240 * FRAME_BYTES,
            |info| info.table_frames = 0,
            |info| info.table_frames = u64::MAX,
            |info| info.p2m = u64::MAX - 8,
            |info| (info.first_p2m_frame, info.p2m_frames) = (u64::MAX, 87),
        ];
        for (number, spoil) in bad.into_iter().enumerate() {
            let mut info = good();
            spoil(&mut info);
            assert!(!info.is_valid(IMAGE), "case {number}");
        }
    }
}
