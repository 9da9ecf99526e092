//! What CPUs there are, and how to turn the machine off and reset it, as far as that can be read
//! without an interpreter of AML.
//!
//! ACPI 6.5: section 5.2 for the tables, 7.4.2 for `\_S5`.

use pvops_core::boot_info::PhysicalMemory;

/// The register and value that put the machine into state S5.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SoftOff {
    /// PM1a control block.
    pub(crate) port: u16,
    /// SLP_TYPa of the package `\_S5`.
    pub(crate) sleep_type: u8,
}

/// Looks for the way, starting at the root pointer.
pub(crate) fn soft_off(memory: &impl PhysicalMemory, rsdp: u64) -> Option<SoftOff> {
    const FADT_DSDT: usize = 40;
    const FADT_PM1A_CONTROL: usize = 64;
    let fadt = find(memory, rsdp, b"FACP")?;
    let port = u16::try_from(u32_at(fadt, FADT_PM1A_CONTROL)?)
        .ok()
        .filter(|&port| port != 0)?;
    let dsdt = table(memory, u64::from(u32_at(fadt, FADT_DSDT)?))?;
    Some(SoftOff {
        port,
        sleep_type: sleep_type(dsdt)?,
    })
}

/// Port and value of the reset register, if the machine has one that is a port. Section 4.8.3.6.
pub(crate) fn reset_control(memory: &impl PhysicalMemory, rsdp: u64) -> Option<(u16, u8)> {
    const FLAGS: usize = 112;
    const FLAGS_RESET: u32 = 1 << 10;
    const REGISTER_SPACE: usize = 116;
    const SPACE_IO: u8 = 1;
    const REGISTER_ADDRESS: usize = 120;
    const VALUE: usize = 128;
    let fadt = find(memory, rsdp, b"FACP")?;
    if u32_at(fadt, FLAGS)? & FLAGS_RESET == 0 || *fadt.get(REGISTER_SPACE)? != SPACE_IO {
        return None;
    }
    let port = u16::try_from(u64_at(fadt, REGISTER_ADDRESS)?).ok()?;
    Some((port, *fadt.get(VALUE)?)).filter(|&(port, _)| port != 0)
}

/// Port of the power-management timer. Section 5.2.9.
pub(crate) fn pm_timer(memory: &impl PhysicalMemory, rsdp: u64) -> Option<u16> {
    const FADT_PM_TIMER: usize = 76;
    let port = u32_at(find(memory, rsdp, b"FACP")?, FADT_PM_TIMER)?;
    u16::try_from(port).ok().filter(|&port| port != 0)
}

/// Physical address of the HPET's registers. IA-PC HPET specification 1.0a, section 3.2.4.
pub(crate) fn hpet(memory: &impl PhysicalMemory, rsdp: u64) -> Option<u64> {
    const ADDRESS: usize = 44;
    u64_at(find(memory, rsdp, b"HPET")?, ADDRESS).filter(|&address| address != 0)
}

/// Calls `found` with the local APIC id of each CPU that is there and may be used. Section 5.2.12.
pub(crate) fn cpus(memory: &impl PhysicalMemory, rsdp: u64, mut found: impl FnMut(u32)) {
    const ENTRIES: usize = 44;
    const LOCAL_APIC: u8 = 0;
    const LOCAL_X2APIC: u8 = 9;
    const ENABLED: u32 = 1 << 0;
    let Some(mut entries) = find(memory, rsdp, b"APIC").and_then(|madt| madt.get(ENTRIES..)) else {
        return;
    };
    while let [kind, length, ..] = *entries {
        let Some((entry, rest)) = entries.split_at_checked(usize::from(length)) else {
            return;
        };
        let cpu = match (kind, length) {
            (LOCAL_APIC, 8..) => u32_at(entry, 4).map(|flags| (u32::from(entry[3]), flags)),
            (LOCAL_X2APIC, 16..) => u32_at(entry, 4).zip(u32_at(entry, 8)),
            // An entry of no length would be looked at for ever.
            (_, 0..2) => return,
            _ => None,
        };
        if let Some((id, flags)) = cpu
            && flags & ENABLED != 0
        {
            found(id);
        }
        entries = rest;
    }
}

/// The table with that signature, among those that the root table lists.
fn find<'m>(memory: &'m impl PhysicalMemory, rsdp: u64, signature: &[u8; 4]) -> Option<&'m [u8]> {
    const RSDP_REVISION: usize = 15;
    const RSDP_RSDT: usize = 16;
    const RSDP_XSDT: usize = 24;
    let root = memory.bytes(rsdp, 20)?;
    let (list, width) = if root[RSDP_REVISION] >= 2 {
        let root = memory.bytes(rsdp, 36)?;
        (u64_at(root, RSDP_XSDT)?, 8)
    } else {
        (u64::from(u32_at(root, RSDP_RSDT)?), 4)
    };
    table(memory, list)?
        .get(HEADER..)?
        .chunks_exact(width)
        .filter_map(|entry| {
            let mut address = [0; 8];
            address[..width].copy_from_slice(entry);
            table(memory, u64::from_le_bytes(address))
        })
        .find(|table| table.starts_with(signature))
}

/// Bytes in the header that all tables begin with; their length is at 4.
const HEADER: usize = 36;
const LENGTH: usize = 4;
/// No table of a machine comes near this.
const MAX_LENGTH: u32 = 1 << 20;

fn table<M: PhysicalMemory>(memory: &M, address: u64) -> Option<&[u8]> {
    let length = u32_at(memory.bytes(address, HEADER)?, LENGTH)?;
    let length = (length as usize >= HEADER && length <= MAX_LENGTH).then_some(length)?;
    memory.bytes(address, length as usize)
}

/// `Name (_S5, Package {...})` in AML: the name, PackageOp, PkgLength, the number of elements, and
/// the first of them. Section 20.2.
fn sleep_type(dsdt: &[u8]) -> Option<u8> {
    const PACKAGE: u8 = 0x12;
    const BYTE_PREFIX: u8 = 0x0a;
    let name = dsdt.windows(4).position(|window| window == b"_S5_")?;
    let package = dsdt.get(name + 4..)?;
    if package.first() != Some(&PACKAGE) {
        return None;
    }
    // The upper two bits of PkgLength say how many bytes of it follow.
    let length_bytes = 1 + usize::from(package.get(1)? >> 6);
    match *package.get(1 + length_bytes + 1..)? {
        [BYTE_PREFIX, value, ..] => Some(value),
        // ZeroOp and OneOp.
        [value @ 0..=1, ..] => Some(value),
        _ => None,
    }
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(
        bytes.get(offset..offset + 4)?.try_into().ok()?,
    ))
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(
        bytes.get(offset..offset + 8)?.try_into().ok()?,
    ))
}
