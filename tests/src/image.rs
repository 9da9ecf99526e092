//! One linked ELF file, taken apart.
//!
//! Only ELF64 for x86-64 and ELF32 for 386 are accepted, and only after linking: in an object file
//! the call site records have no addresses yet.

use std::fmt;
use std::sync::Arc;

use object::elf::{EM_386, EM_X86_64, ET_DYN, ET_EXEC, SHF_ALLOC, SHF_EXECINSTR};
use object::read::elf::{ElfFile, ElfFile32, ElfFile64, FileHeader};
use object::{LittleEndian, Object, ObjectSection, SectionFlags, elf};

use crate::symbols::Symbols;

/// A linked x86 ELF file: its loaded sections and its symbols.
pub struct Image<'data> {
    bits: u32,
    position_independent: bool,
    comment: &'data [u8],
    sections: Vec<Section<'data>>,
    symbols: Arc<Symbols>,
}

/// A section that is loaded into memory.
pub struct Section<'data> {
    /// Name in the section header, empty when it is not UTF-8.
    pub name: &'data str,
    /// Virtual address of its first byte.
    pub address: u64,
    /// Its bytes in the file; shorter than in memory for zero-filled sections.
    pub data: &'data [u8],
    /// Whether it holds instructions.
    pub executable: bool,
}

/// Why a file is not a linked x86 image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageError {
    /// It does not begin with the ELF magic.
    NotElf,
    /// An ELF file for another machine.
    NotX86,
    /// An object file or a core dump.
    NotLinked,
    /// A header or table lies outside the file; the text says which.
    Corrupt(String),
}

impl<'data> Image<'data> {
    /// Reads the headers, sections and symbols of `file`.
    ///
    /// # Errors
    /// When `file` is no linked x86 ELF file, or is damaged.
    pub fn parse(file: &'data [u8]) -> Result<Self, ImageError> {
        match bits(file)? {
            64 => Self::read(
                ElfFile64::<LittleEndian>::parse(file).map_err(corrupt)?,
                64,
                EM_X86_64,
            ),
            bits => Self::read(
                ElfFile32::<LittleEndian>::parse(file).map_err(corrupt)?,
                bits,
                EM_386,
            ),
        }
    }

    fn read<Elf: FileHeader<Endian = LittleEndian>>(
        elf: ElfFile<'data, Elf>,
        bits: u32,
        machine: elf::Machine,
    ) -> Result<Self, ImageError> {
        let header = elf.elf_header();
        if header.e_machine(LittleEndian) != machine {
            return Err(ImageError::NotX86);
        }
        if ![ET_EXEC, ET_DYN].contains(&header.e_type(LittleEndian)) {
            return Err(ImageError::NotLinked);
        }
        let mut sections = Vec::new();
        let mut comment: &[u8] = &[];
        for section in elf.sections() {
            if section.name() == Ok(".comment") {
                comment = section.data().map_err(corrupt)?;
            }
            let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
                continue;
            };
            if !sh_flags.contains(SHF_ALLOC) {
                continue;
            }
            sections.push(Section {
                name: section.name().unwrap_or_default(),
                address: section.address(),
                data: section.data().map_err(corrupt)?,
                executable: sh_flags.contains(SHF_EXECINSTR),
            });
        }
        let symbols = Arc::new(Symbols::read(&elf));
        Ok(Self {
            bits,
            position_independent: header.e_type(LittleEndian) == ET_DYN,
            comment,
            sections,
            symbols,
        })
    }

    /// Its word size: 64 or 32 bits.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// Whether it can be loaded at any address.
    pub fn is_position_independent(&self) -> bool {
        self.position_independent
    }

    /// Whether LLD linked it, as the section `.comment` says; GNU ld leaves no trace there.
    pub fn is_linked_by_lld(&self) -> bool {
        let linker = b"Linker: LLD";
        self.comment
            .windows(linker.len())
            .any(|text| text == linker)
    }

    /// The loaded sections, in file order.
    pub fn sections(&self) -> &[Section<'data>] {
        &self.sections
    }

    /// The loaded sections called `name`; a linker can leave more than one.
    pub fn sections_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Section<'data>> {
        self.sections
            .iter()
            .filter(move |section| section.name == name)
    }

    /// The symbols of functions and data.
    pub fn symbols(&self) -> &Arc<Symbols> {
        &self.symbols
    }

    /// The `length` bytes of instructions at the virtual `address`, or `None` when they are
    /// not all in one executable section.
    pub fn code(&self, address: u64, length: usize) -> Option<&'data [u8]> {
        self.sections
            .iter()
            .filter(|section| section.executable)
            .find_map(|section| section.bytes(address, length))
    }
}

impl<'data> Section<'data> {
    fn bytes(&self, address: u64, length: usize) -> Option<&'data [u8]> {
        let start = usize::try_from(address.checked_sub(self.address)?).ok()?;
        self.data.get(start..start.checked_add(length)?)
    }

    /// The virtual address behind its last byte in the file.
    pub fn end(&self) -> u64 {
        self.address.saturating_add(self.data.len() as u64)
    }
}

/// The word size. Looks at the identification bytes alone, so that another kind of file is not
/// called a damaged one. Offsets: System V ABI, "ELF Identification".
fn bits(file: &[u8]) -> Result<u32, ImageError> {
    const ELFCLASS32: u8 = 1;
    const ELFCLASS64: u8 = 2;
    const ELFDATA2LSB: u8 = 1;
    if !file.starts_with(b"\x7fELF") {
        return Err(ImageError::NotElf);
    }
    match file.get(4..6) {
        Some([ELFCLASS64, ELFDATA2LSB]) => Ok(64),
        Some([ELFCLASS32, ELFDATA2LSB]) => Ok(32),
        Some(_) => Err(ImageError::NotX86),
        None => Err(ImageError::Corrupt("the file ends in its header".into())),
    }
}

fn corrupt(error: object::read::Error) -> ImageError {
    ImageError::Corrupt(error.to_string())
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotElf => f.write_str("is not an ELF file"),
            Self::NotX86 => f.write_str("is an ELF file, but not for x86"),
            Self::NotLinked => {
                f.write_str("is an ELF file, but not a linked program: link it first")
            }
            Self::Corrupt(what) => write!(f, "is a damaged ELF file: {what}"),
        }
    }
}

impl std::error::Error for ImageError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;

    fn error(file: &[u8]) -> ImageError {
        Image::parse(file).err().expect("must be refused")
    }

    #[test]
    fn other_files_are_named_for_what_they_are() {
        let elf = Sample::new().build();
        assert_eq!(error(b""), ImageError::NotElf);
        assert_eq!(error(b"#!/bin/sh\n"), ImageError::NotElf);
        assert!(matches!(error(&elf[..5]), ImageError::Corrupt(_)));

        let mut big_endian = elf.clone();
        big_endian[5] = 2;
        assert_eq!(error(&big_endian), ImageError::NotX86);

        let mut arm = elf.clone();
        arm[18..20].copy_from_slice(&183_u16.to_le_bytes());
        assert_eq!(error(&arm), ImageError::NotX86);

        let mut object_file = elf;
        object_file[16] = 1;
        assert_eq!(error(&object_file), ImageError::NotLinked);
    }

    #[test]
    fn the_kind_is_the_headers() {
        let mut elf = Sample::new().build();
        assert!(!Image::parse(&elf).unwrap().is_position_independent());
        elf[16] = 3;
        assert!(Image::parse(&elf).unwrap().is_position_independent());
    }

    #[test]
    fn the_linker_is_in_the_comment() {
        let mut sample = Sample::new();
        assert!(!Image::parse(&sample.build()).unwrap().is_linked_by_lld());
        sample.comment = b"rustc version 1.95.0\0Linker: LLD 22.1.2\0".to_vec();
        assert!(Image::parse(&sample.build()).unwrap().is_linked_by_lld());
    }

    #[test]
    fn code_is_read_only_inside_executable_sections() {
        let elf = Sample::new().build();
        let image = Image::parse(&elf).unwrap();
        let text = image.sections_named(".text").next().unwrap();
        let length = text.data.len();
        assert_eq!(image.code(text.address, length), Some(text.data));
        assert_eq!(image.code(text.address + 1, length), None);
        assert_eq!(image.code(text.address - 1, 1), None);
        assert_eq!(image.code(u64::MAX, usize::MAX), None);
        let records = image.sections_named("pvops_sites").next().unwrap();
        assert_eq!(image.code(records.address, 1), None);
    }
}
