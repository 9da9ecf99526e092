//! A kernel's ELF file: which pieces of it go where, and where it begins.

use core::ops::Range;

use elf::ElfBytes;
use elf::abi::{EM_386, EM_X86_64, PT_LOAD, PT_NOTE};
use elf::endian::LittleEndian;
use elf::note::Note;
use elf::segment::ProgramHeader;
use pvops_core::boot_info::MemoryMap;

use crate::text::{Text, ensure, text};

/// What the trampoline has to know of a kernel.
#[repr(C)]
pub(super) struct Image {
    /// Physical address of the PVH entry.
    pub(super) entry: u32,
    pub(super) piece_count: u32,
    pub(super) pieces: [Piece; MAX_PIECES],
}

/// Bytes to copy, and how many zeroes to put behind them. Addresses are physical.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(super) struct Piece {
    pub(super) source: u32,
    pub(super) destination: u32,
    pub(super) byte_count: u32,
    pub(super) zero_count: u32,
}

/// Segments that a kernel may have.
pub(super) const MAX_PIECES: usize = 8;

impl Image {
    /// Reads a file that is at physical address `start`.
    ///
    /// # Errors
    ///
    /// If it is no ELF file for this CPU, has no PVH entry, or does not fit into 32-bit addresses.
    pub(super) fn read(file: &[u8], start: u64) -> Result<Self, Text> {
        let elf = ElfBytes::<LittleEndian>::minimal_parse(file)
            .map_err(|error| text!("the module is no ELF file: {error}"))?;
        let machine = elf.ehdr.e_machine;
        ensure!(
            machine == EM_X86_64 || machine == EM_386,
            "the module is a program for machine {machine}"
        );
        let mut image = Image {
            entry: 0,
            piece_count: 0,
            pieces: [Piece::default(); MAX_PIECES],
        };
        let mut entry = None;
        for segment in elf.segments().into_iter().flatten() {
            match segment.p_type {
                PT_LOAD if segment.p_memsz > 0 => {
                    elf.segment_data(&segment)
                        .map_err(|error| text!("a segment of the module: {error}"))?;
                    let piece = Piece::of(&segment, start)
                        .ok_or(text!("a segment of the module has bad addresses"))?;
                    let slot = image.pieces.get_mut(image.piece_count as usize);
                    *slot.ok_or(text!("the module has too many segments"))? = piece;
                    image.piece_count += 1;
                }
                PT_NOTE => entry = entry.or(pvh_entry(&elf, &segment)),
                _ => {}
            }
        }
        image.entry = entry.ok_or(text!("the module has no PVH entry"))?;
        let entry = u64::from(image.entry);
        ensure!(
            image.covers(&(entry..entry + 1)),
            "the module's PVH entry is outside of it"
        );
        Ok(image)
    }

    /// # Errors
    ///
    /// If the image goes to where no memory is, or where its own file is.
    pub(super) fn check(&self, memory_map: &MemoryMap, file: &Range<u64>) -> Result<(), Text> {
        for piece in self.destinations() {
            ensure!(
                memory_map.is_usable(&piece),
                "there is no memory for the module at {:#x}",
                piece.start
            );
        }
        ensure!(!self.covers(file), "the module lies where it has to go to");
        Ok(())
    }

    /// Whether any of the range is where the image goes.
    pub(super) fn covers(&self, range: &Range<u64>) -> bool {
        self.destinations()
            .any(|piece| piece.start < range.end && range.start < piece.end)
    }

    fn destinations(&self) -> impl Iterator<Item = Range<u64>> {
        let pieces = &self.pieces[..self.piece_count as usize];
        pieces.iter().map(|piece| {
            let start = u64::from(piece.destination);
            start..start + u64::from(piece.byte_count) + u64::from(piece.zero_count)
        })
    }
}

impl Piece {
    fn of(segment: &ProgramHeader, file: u64) -> Option<Self> {
        let end = segment.p_paddr.checked_add(segment.p_memsz)?;
        u32::try_from(end).ok()?;
        Some(Piece {
            source: file.checked_add(segment.p_offset)?.try_into().ok()?,
            destination: segment.p_paddr.try_into().ok()?,
            byte_count: segment.p_filesz.try_into().ok()?,
            zero_count: segment
                .p_memsz
                .checked_sub(segment.p_filesz)?
                .try_into()
                .ok()?,
        })
    }
}

/// The entry in a segment of notes, if it is there. Xen public/elfnote.h, XEN_ELFNOTE_PHYS32_ENTRY.
fn pvh_entry(elf: &ElfBytes<'_, LittleEndian>, segment: &ProgramHeader) -> Option<u32> {
    const PHYS32_ENTRY: u64 = 18;
    elf.segment_data_as_notes(segment)
        .ok()?
        .find_map(|note| match note {
            Note::Unknown(note) if note.n_type == PHYS32_ENTRY && note.name == b"Xen\0" => {
                Some(u32::from_le_bytes(*note.desc.first_chunk()?))
            }
            _ => None,
        })
}
