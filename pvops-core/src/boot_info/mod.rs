//! What the boot loader told us, whichever loader it was.
//!
//! A kernel that boots by several protocols wants one answer to four questions: where is RAM, what
//! is on the command line, which modules were loaded, where are the ACPI tables. [`BootInfo`] is
//! that answer, made from PVH (versions 0 and 1), from Multiboot or from Multiboot2.
//!
//! The loader's structures are read once, through the kernel's own [`PhysicalMemory`], and copied
//! out; only the bytes of command lines stay where they are. All content is taken as hostile: a
//! pointer that leads nowhere, a count that cannot be true or a tag that does not fit is a
//! [`BootInfoError`], and every loop is bounded by a constant of ours or by the size of what was
//! read.
//!
//! A `BootInfo` holds about 4 KiB. It is for the boot CPU, before frames are handed out: the
//! command lines and modules lie in RAM that the memory map calls usable, so
//! [reserve](MemoryMap::reserve) what must survive.

pub mod command_line;
mod error;
mod memory_map;
mod module;
mod multiboot;
mod multiboot2;
mod physical_memory;
mod pvh;
mod region;
pub mod rsdp;

use core::fmt;
use core::ops::Range;

pub use self::command_line::CommandLine;
pub use self::error::BootInfoError;
pub use self::memory_map::MemoryMap;
pub use self::module::Module;
pub use self::physical_memory::PhysicalMemory;
pub use self::pvh::write_pvh;
pub use self::region::{Region, RegionKind};

use self::module::Modules;

/// The boot loader's information, in one form for all protocols.
#[derive(Clone, Debug)]
pub struct BootInfo<'m> {
    protocol: Protocol,
    command_line: CommandLine<'m>,
    modules: Modules<'m>,
    rsdp: Option<u64>,
    memory_map: MemoryMap,
}

impl<'m> BootInfo<'m> {
    /// Reads the PVH start information at physical address `start_info` (EBX at the PVH entry).
    ///
    /// Version 0 has no memory map: see [`memory_map_missing`](Self::memory_map_missing). Versions
    /// above 1 are read as version 1, which they extend.
    ///
    /// # Errors
    ///
    /// If the magic number is wrong, something pointed to cannot be read, a module or the number
    /// of memory map entries makes no sense.
    pub fn from_pvh<M: PhysicalMemory + ?Sized>(
        memory: &'m M,
        start_info: u64,
    ) -> Result<Self, BootInfoError> {
        pvh::read(memory, start_info)
    }

    /// Reads the information of Multiboot, version 1, at physical address `info` (EBX at the entry),
    /// where `magic` is what was in EAX. It says nothing of ACPI; a loader may leave out the rest, too.
    ///
    /// # Errors
    ///
    /// If `magic` is not Multiboot's, something pointed to cannot be read, a module or an entry of
    /// the memory map makes no sense, or the map has more entries than any machine's.
    pub fn from_multiboot<M: PhysicalMemory + ?Sized>(
        memory: &'m M,
        magic: u32,
        info: u64,
    ) -> Result<Self, BootInfoError> {
        multiboot::read(memory, magic, info)
    }

    /// Reads the Multiboot2 information at physical address `info` (EBX at the entry), where
    /// `magic` is what was in EAX.
    ///
    /// # Errors
    ///
    /// If `magic` is not Multiboot2's, the information cannot be read or is larger than 1 MiB, or
    /// a tag that is used here does not fit its own size.
    pub fn from_multiboot2<M: PhysicalMemory + ?Sized>(
        memory: &'m M,
        magic: u32,
        info: u64,
    ) -> Result<Self, BootInfoError> {
        multiboot2::read(memory, magic, info)
    }

    /// What a host has told by a protocol of its own, named `name`, which its backend reads. The memory
    /// map is for the backend to [fill in](Self::memory_map_mut).
    ///
    /// # Errors
    ///
    /// If the module makes no sense.
    pub fn from_backend(
        name: &'static str,
        command_line: CommandLine<'m>,
        module: Option<Range<u64>>,
    ) -> Result<Self, BootInfoError> {
        let mut info = BootInfo::new(Protocol::OfHost(name));
        info.command_line = command_line;
        if let Some(module) = module {
            let end = Some(module.end);
            info.modules
                .push(module.start, end, CommandLine::default())?;
        }
        Ok(info)
    }

    /// The protocol that this came by.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The kernel's command line; empty if the loader gave none.
    pub fn command_line(&self) -> CommandLine<'m> {
        self.command_line
    }

    /// The modules, in the loader's order. An initial RAM disk is module 0.
    pub fn modules(&self) -> &[Module<'m>] {
        self.modules.as_slice()
    }

    /// The number of modules that the loader gave and [`modules`](Self::modules) has no room for.
    pub fn modules_dropped(&self) -> u32 {
        self.modules.dropped()
    }

    /// The physical address of the ACPI RSDP, as the loader gave it and unchecked: see
    /// [`rsdp::is_valid`]. For Multiboot2 this is the copy in the loader's information.
    ///
    /// Some hosts give none though there is one, so ask `info.rsdp().or_else(|| rsdp::find(memory))`.
    pub fn rsdp(&self) -> Option<u64> {
        self.rsdp
    }

    /// The memory map, with the PC's [legacy area](LEGACY_AREA) reserved.
    pub fn memory_map(&self) -> &MemoryMap {
        &self.memory_map
    }

    /// The memory map, for the kernel to reserve what it uses, or for a backend to fill in where
    /// it is [missing](Self::memory_map_missing): with [`LEGACY_AREA`] reserved.
    pub fn memory_map_mut(&mut self) -> &mut MemoryMap {
        &mut self.memory_map
    }

    /// Whether there is no memory map, so that RAM has to be found in another way (a hypercall).
    /// So it is with PVH version 0, and allowed with the others.
    pub fn memory_map_missing(&self) -> bool {
        self.memory_map.is_empty()
    }

    fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            command_line: CommandLine::default(),
            modules: Modules::default(),
            rsdp: None,
            memory_map: MemoryMap::new(),
        }
    }

    /// Takes the legacy area out of the RAM of a complete map.
    fn reserve_legacy_area(&mut self) {
        if !self.memory_map.is_empty() {
            self.memory_map.reserve(LEGACY_AREA);
        }
    }
}

/// Video memory, option ROMs and firmware of a PC, which is never general RAM.
///
/// Most hosts leave it out of their maps or call it reserved; one small VMM (Alioth 0.12) has a
/// single RAM entry right across it.
pub const LEGACY_AREA: Range<u64> = 0xa_0000..0x10_0000;

/// A boot protocol. `Display` gives its name and version: `pvh v1`, `multiboot`, `multiboot2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// PVH direct boot, with the version of its start information.
    Pvh {
        /// As the loader wrote it: 0, 1, or a later one.
        version: u32,
    },
    /// Multiboot, version 1.
    Multiboot,
    /// Multiboot2.
    Multiboot2,
    /// One that a single host has, by its name.
    OfHost(&'static str),
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pvh { version } => write!(f, "pvh v{version}"),
            Self::Multiboot => f.write_str("multiboot"),
            Self::Multiboot2 => f.write_str("multiboot2"),
            Self::OfHost(name) => f.write_str(name),
        }
    }
}
