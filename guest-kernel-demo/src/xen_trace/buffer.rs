//! What Xen has traced.

use core::ops::Range;

/// One CPU's records: `struct t_buf`, two words, and then the records.
pub(super) struct Buffer {
    pub(super) start: usize,
    pub(super) bytes: usize,
}

impl Buffer {
    pub(super) const NONE: Self = Buffer { start: 0, bytes: 0 };

    /// Takes all records out. `false` if there may have been more than there was room for. Xen itself
    /// says so too late: in front of the next record.
    pub(super) fn take(&self, visit: &mut dyn FnMut(Found)) -> bool {
        let header = self.start as *mut u32;
        let size = (self.bytes - HEADER) as u32;
        // SAFETY: the buffer is mapped, and Xen adds records only behind the produced one.
        let (consumed, produced) =
            unsafe { (header.read_volatile(), header.add(1).read_volatile()) };
        let mut at = consumed % (2 * size);
        let taken = (produced % (2 * size) + 2 * size - at) % (2 * size);
        // Each record has at least a word.
        for _ in 0..size / 4 {
            if at == produced {
                break;
            }
            let record = Record::read(self.start + HEADER..self.start + self.bytes, at % size);
            if let Some(found) = record.found() {
                visit(found);
            }
            at = (at + record.bytes) % (2 * size);
        }
        // SAFETY: as above; this word is ours to write.
        unsafe { header.write_volatile(produced) };
        at == produced && taken < size - LONGEST
    }
}

/// What Xen has done for an instruction.
pub(super) struct Found {
    pub(super) kind: &'static str,
    /// Where the kernel went on; for what was refused, the instruction itself.
    pub(super) behind: u64,
    pub(super) count: u64,
}

impl Found {
    pub(super) const NOTHING: Self = Found {
        kind: "",
        behind: 0,
        count: 0,
    };
}

const HEADER: usize = 8;

/// More than a record can have, and those that Xen writes where the buffer ends and where some were lost.
const LONGEST: u32 = 256;

/// `struct t_rec`.
struct Record {
    event: u32,
    bytes: u32,
    words: [u32; 7],
}

impl Record {
    /// TRC_PV_ and the name, with TRC_64_FLAG.
    const TRAP: u32 = 0x0020_1103;
    const FORCED_INVALID_OPCODE: u32 = 0x0020_1105;
    const EMULATED: u32 = 0x0020_1106;
    const PAGE_TABLE_EMULATED: u32 = 0x0020_110b;

    fn read(buffer: Range<usize>, offset: u32) -> Self {
        let word = |index: u32| {
            let address = buffer.start + (offset & !3) as usize + index as usize * 4;
            match address < buffer.end {
                // SAFETY: the buffer is mapped.
                true => unsafe { (address as *const u32).read_volatile() },
                false => 0,
            }
        };
        let header = word(0);
        let (extra, time) = (header >> 28 & 7, header >> 31 << 1);
        let mut words = [0; 7];
        for (index, slot) in (0..extra).zip(&mut words) {
            *slot = word(1 + time + index);
        }
        Record {
            event: header & 0x0fff_ffff,
            bytes: 4 * (1 + time + extra),
            words,
        }
    }

    /// What it says of an instruction of the kernel.
    fn found(&self) -> Option<Found> {
        const GENERAL_PROTECTION: u32 = 13;
        let pair =
            |index: usize| u64::from(self.words[index]) | u64::from(self.words[index + 1]) << 32;
        let (kind, behind) = match self.event {
            Self::FORCED_INVALID_OPCODE => ("cpuid", pair(0)),
            Self::EMULATED => ("emulated", pair(0)),
            // The new entry, the address, and the instruction.
            Self::PAGE_TABLE_EMULATED => ("page table", pair(4)),
            Self::TRAP if self.words[2] & 0x7fff == GENERAL_PROTECTION => ("refused", pair(0)),
            _ => return None,
        };
        const KERNEL: u64 = 1 << 63;
        (behind & KERNEL != 0).then_some(Found {
            kind,
            behind,
            count: 1,
        })
    }
}
