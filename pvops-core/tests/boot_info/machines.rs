//! The memory maps of real VMMs, as their guests were given them with 4 GiB of RAM (more for Alioth).

use pvops_core::boot_info::BootInfo;

use super::support::*;

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

#[test]
fn firecracker() {
    let memory = pvh_with_map(&[
        (0, 0x9fc00, RAM),
        (0x9fc00, 0x40400, RESERVED),
        (0xeec0_0000, 256 * MIB, RESERVED),
        (MIB, 3 * GIB - MIB, RAM),
        (4 * GIB, GIB, RAM),
    ]);
    let info = BootInfo::from_pvh(&memory, START_INFO).unwrap();
    assert_eq!(
        regions(info.memory_map()),
        [
            (0, 0x9fc00, RAM),
            // To e0000 by the host; the rest is the legacy area.
            (0x9fc00, MIB, RESERVED),
            (MIB, 3 * GIB, RAM),
            (0xeec0_0000, 0xfec0_0000, RESERVED),
            (4 * GIB, 5 * GIB, RAM),
        ]
    );
    assert_eq!(
        usable(info.memory_map()),
        [(0, 0x9f000), (MIB, 3 * GIB), (4 * GIB, 5 * GIB)]
    );
}

#[test]
fn cloud_hypervisor() {
    let memory = pvh_with_map(&[
        (0, 0xa0000, RAM),
        (MIB, 3 * GIB - MIB, RAM),
        (4 * GIB, GIB, RAM),
        (0xe800_0000, 256 * MIB, RESERVED),
    ]);
    let info = BootInfo::from_pvh(&memory, START_INFO).unwrap();
    assert_eq!(
        regions(info.memory_map()),
        [
            (0, 0xa0000, RAM),
            (0xa0000, MIB, RESERVED),
            (MIB, 3 * GIB, RAM),
            (0xe800_0000, 0xf800_0000, RESERVED),
            (4 * GIB, 5 * GIB, RAM),
        ]
    );
}

/// The host's RAM runs right across the legacy area.
#[test]
fn alioth() {
    let memory = pvh_with_map(&[
        (0, 0x500, RESERVED),
        (0x500, 0x7fb00, RAM),
        (0x80000, 0x20000, ACPI),
        (0xa0000, 2 * GIB - 0xa0000, RAM),
        (0xe000_0000, 256 * MIB, RESERVED),
        (4 * GIB, 2 * GIB, RAM),
    ]);
    let info = BootInfo::from_pvh(&memory, START_INFO).unwrap();
    assert_eq!(
        regions(info.memory_map()),
        [
            (0, 0x500, RESERVED),
            (0x500, 0x80000, RAM),
            (0x80000, 0xa0000, ACPI),
            (0xa0000, MIB, RESERVED),
            (MIB, 2 * GIB, RAM),
            (0xe000_0000, 0xf000_0000, RESERVED),
            (4 * GIB, 6 * GIB, RAM),
        ]
    );
    assert_eq!(
        usable(info.memory_map()),
        [(0x1000, 0x80000), (MIB, 2 * GIB), (4 * GIB, 6 * GIB)]
    );
}

/// Firecracker's command line with one drive: its own words come after the user's.
#[test]
fn appended_command_line() {
    let line = b"selftest pv=native pci=off virtio_mmio.device=4K@0xc0001000:5\0";
    let start = StartInfo {
        command_line: COMMAND_LINE,
        ..StartInfo::VERSION_1
    };
    let memory = Memory::default()
        .with(START_INFO, start.bytes())
        .with(COMMAND_LINE, *line);
    let line = BootInfo::from_pvh(&memory, START_INFO)
        .unwrap()
        .command_line();
    assert!(line.flag("selftest"));
    assert_eq!(line.value("pv"), Some("native"));
    assert_eq!(line.value("virtio_mmio.device"), Some("4K@0xc0001000:5"));
}
