//! Multiboot2 information: what GRUB gives a kernel, on bare hardware above all.
//!
//! Section numbers are those of the Multiboot2 Specification 2.0, "Boot information" (3.6).
//! The information is one block of tags; those not named here are passed over.

use zerocopy::FromBytes;

use super::physical_memory::{read as read_struct, read_bytes};
use super::pvh::MAX_MEMORY_MAP_ENTRIES;
use super::{BootInfo, BootInfoError, CommandLine, PhysicalMemory, Protocol, RegionKind, rsdp};

/// Reads the information at `address`, if `magic` says that there is some.
pub(super) fn read<M: PhysicalMemory + ?Sized>(
    memory: &M,
    magic: u32,
    address: u64,
) -> Result<BootInfo<'_>, BootInfoError> {
    if magic != MAGIC {
        return Err(BootInfoError::BadMagic {
            found: magic,
            expected: MAGIC,
        });
    }
    if !address.is_multiple_of(TAG_ALIGNMENT_BYTES as u64) {
        return Err(BootInfoError::Misaligned { address });
    }
    let Header { total_size, .. } = read_struct(memory, address, WHAT)?;
    if !(size_of::<Header>() as u32..=MAX_TOTAL_SIZE_BYTES).contains(&total_size) {
        return Err(BootInfoError::BadTotalSize {
            size_bytes: total_size,
        });
    }
    let block = read_bytes(memory, address, total_size as usize, WHAT)?;

    let mut reader = Reader {
        info: BootInfo::new(Protocol::Multiboot2),
        address,
        old_rsdp: None,
        map_entries: 0,
    };
    let mut offset = size_of::<Header>();
    // Each turn moves on by at least a tag header within the block.
    loop {
        let tag = Tag::at(block, offset)?;
        if tag.kind == TAG_END {
            break;
        }
        reader.take(&tag)?;
        offset = (offset + tag.size_bytes).next_multiple_of(TAG_ALIGNMENT_BYTES);
    }
    let mut info = reader.info;
    info.rsdp = info.rsdp.or(reader.old_rsdp);
    info.reserve_legacy_area();
    Ok(info)
}

struct Reader<'m> {
    info: BootInfo<'m>,
    /// Of the whole information.
    address: u64,
    /// The version 1 RSDP, which the version 2 one replaces.
    old_rsdp: Option<u64>,
    /// Of all memory map tags together.
    map_entries: u64,
}

impl<'m> Reader<'m> {
    fn take(&mut self, tag: &Tag<'m>) -> Result<(), BootInfoError> {
        match tag.kind {
            TAG_COMMAND_LINE => self.info.command_line = CommandLine::new(tag.content),
            TAG_MODULE => {
                let (head, text) = tag.head::<ModuleHead>()?;
                let end = Some(u64::from(head.end));
                let line = CommandLine::new(text);
                self.info.modules.push(head.start.into(), end, line)?;
            }
            TAG_MEMORY_MAP => self.take_memory_map(tag)?,
            TAG_OLD_RSDP => self.old_rsdp = Some(self.rsdp(tag, rsdp::LENGTH_V1_BYTES)?),
            TAG_NEW_RSDP => self.info.rsdp = Some(self.rsdp(tag, rsdp::LENGTH_V2_BYTES)?),
            _ => {}
        }
        Ok(())
    }

    fn take_memory_map(&mut self, tag: &Tag<'m>) -> Result<(), BootInfoError> {
        let (head, entries) = tag.head::<MemoryMapHead>()?;
        let entry_size = head.entry_size as usize;
        // Later versions may make the entries longer (3.6.8).
        if entry_size < size_of::<MemoryMapEntry>() || !entries.len().is_multiple_of(entry_size) {
            return Err(tag.malformed());
        }
        self.map_entries += (entries.len() / entry_size) as u64;
        if self.map_entries > MAX_MEMORY_MAP_ENTRIES.into() {
            return Err(BootInfoError::TooManyRegions {
                count: self.map_entries,
            });
        }
        for bytes in entries.chunks_exact(entry_size) {
            let (entry, _) =
                MemoryMapEntry::read_from_prefix(bytes).map_err(|_| tag.malformed())?;
            let kind = RegionKind::reported(entry.kind);
            self.info
                .memory_map
                .insert(entry.address, entry.length_bytes, kind);
        }
        Ok(())
    }

    /// The physical address of the RSDP copy in `tag`.
    fn rsdp(&self, tag: &Tag<'m>, least_bytes: usize) -> Result<u64, BootInfoError> {
        if tag.content.len() < least_bytes {
            return Err(tag.malformed());
        }
        // No overflow: the block was readable up to its end.
        Ok(self.address + (tag.offset + size_of::<TagHeader>()) as u64)
    }
}

struct Tag<'m> {
    kind: u32,
    /// From the start of the block.
    offset: usize,
    /// With the header, without padding.
    size_bytes: usize,
    /// Without the header.
    content: &'m [u8],
}

impl<'m> Tag<'m> {
    fn at(block: &'m [u8], offset: usize) -> Result<Self, BootInfoError> {
        let rest = block.get(offset..).ok_or(BootInfoError::MissingEndTag)?;
        let (header, _) =
            TagHeader::read_from_prefix(rest).map_err(|_| BootInfoError::MissingEndTag)?;
        let kind = header.kind;
        let size_bytes = header.size as usize;
        let content = rest
            .get(size_of::<TagHeader>()..size_bytes)
            .ok_or(BootInfoError::BadTag { kind, offset })?;
        Ok(Self {
            kind,
            offset,
            size_bytes,
            content,
        })
    }

    /// Splits the content into a structure and what follows it.
    fn head<T: FromBytes>(&self) -> Result<(T, &'m [u8]), BootInfoError> {
        T::read_from_prefix(self.content).map_err(|_| self.malformed())
    }

    fn malformed(&self) -> BootInfoError {
        BootInfoError::BadTag {
            kind: self.kind,
            offset: self.offset,
        }
    }
}

const WHAT: &str = "Multiboot2 information";

/// What is in EAX at the entry (3.3 "I386 machine state").
const MAGIC: u32 = 0x36d7_6289;

/// Larger information is taken for a damaged size. The specification has no limit.
const MAX_TOTAL_SIZE_BYTES: u32 = 1 << 20;

/// 3.6.2 "Basic tags structure".
const TAG_ALIGNMENT_BYTES: usize = 8;

const TAG_END: u32 = 0;
/// 3.6.5 "Boot command line".
const TAG_COMMAND_LINE: u32 = 1;
/// 3.6.6 "Modules".
const TAG_MODULE: u32 = 3;
/// 3.6.8 "Memory map".
const TAG_MEMORY_MAP: u32 = 6;
/// 3.6.16 "ACPI old RSDP".
const TAG_OLD_RSDP: u32 = 14;
/// 3.6.17 "ACPI new RSDP".
const TAG_NEW_RSDP: u32 = 15;

#[derive(FromBytes)]
#[repr(C)]
struct Header {
    total_size: u32,
    _reserved: u32,
}

#[derive(FromBytes)]
#[repr(C)]
struct TagHeader {
    kind: u32,
    size: u32,
}

#[derive(FromBytes)]
#[repr(C)]
struct ModuleHead {
    start: u32,
    end: u32,
}

#[derive(FromBytes)]
#[repr(C)]
struct MemoryMapHead {
    entry_size: u32,
    _entry_version: u32,
}

#[derive(FromBytes)]
#[repr(C)]
struct MemoryMapEntry {
    address: u64,
    length_bytes: u64,
    kind: u32,
    _reserved: u32,
}

const _: () = assert!(size_of::<Header>() == 8);
const _: () = assert!(size_of::<TagHeader>() == 8);
const _: () = assert!(size_of::<ModuleHead>() == 8);
const _: () = assert!(size_of::<MemoryMapHead>() == 8);
const _: () = assert!(size_of::<MemoryMapEntry>() == 24);
