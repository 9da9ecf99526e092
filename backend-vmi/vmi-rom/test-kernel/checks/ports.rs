//! Port calls, on devices that every machine of the tests has: PCI's configuration ports, and the ports
//! of QEMU's firmware files, whose first item is "QEMU".

use core::arch::asm;

use crate::abi::call::Call;
use crate::console::{check, input, out};
use crate::rom::{Rom, note};

const PCI_ADDRESS: u32 = 0xCF8;
const PCI_DATA: u32 = 0xCFC;
const HOST_BRIDGE: u32 = 0x8000_0000;
const FW_CFG_SELECTOR: u32 = 0x510;
const FW_CFG_DATA: u32 = 0x511;

pub(super) fn run(rom: Rom) {
    rom.call(Call::OUTL, HOST_BRIDGE, PCI_ADDRESS, 0);
    check!(
        rom.call(Call::INL, 0, PCI_ADDRESS, 0) as u32 == HOST_BRIDGE,
        "OUTL and INL"
    );
    let bridge = rom.call(Call::INL, 0, PCI_DATA, 0) as u32;
    check!(bridge & 0xFFFF == 0x8086, "the host bridge is Intel's");
    check!(
        rom.call(Call::INW, 0, PCI_DATA, 0) as u32 & 0xFFFF == bridge & 0xFFFF,
        "INW"
    );
    let month = {
        out(0x70, 8);
        input(0x71)
    };
    rom.call(Call::OUTB, 8, 0x70, 0);
    check!(
        rom.call(Call::INB, 0, 0x71, 0) as u8 == month,
        "OUTB and INB"
    );

    let selected: &mut dyn FnMut() = &mut || _ = rom.call(Call::OUTW, 0, FW_CFG_SELECTOR, 0);
    selected();
    let mut bytes = [0_u8; 4];
    let end = string(rom, Call::INSB, FW_CFG_DATA, bytes.as_mut_ptr() as u32, 4);
    check!(
        bytes == *b"QEMU" && end == bytes.as_ptr() as u32 + 4,
        "OUTW and INSB"
    );
    let mut words = [0_u16; 2];
    string(rom, Call::INSW, PCI_DATA, words.as_mut_ptr() as u32, 2);
    check!(words.map(u32::from) == [bridge & 0xFFFF; 2], "INSW");
    let mut longs = [0_u32; 2];
    string(rom, Call::INSL, PCI_DATA, longs.as_mut_ptr() as u32, 2);
    check!(longs == [bridge; 2], "INSL");

    let addresses = [HOST_BRIDGE | 0x100, HOST_BRIDGE | 0x800];
    string(rom, Call::OUTSL, PCI_ADDRESS, addresses.as_ptr() as u32, 2);
    check!(
        rom.call(Call::INL, 0, PCI_ADDRESS, 0) as u32 == addresses[1],
        "OUTSL"
    );
    let registers = [2_u8, 8];
    let end = string(rom, Call::OUTSB, 0x70, registers.as_ptr() as u32, 2);
    check!(
        input(0x71) == month && end == registers.as_ptr() as u32 + 2,
        "OUTSB"
    );
    let items = [1_u16, 0];
    string(rom, Call::OUTSW, FW_CFG_SELECTOR, items.as_ptr() as u32, 2);
    let found = [(); 4].map(|()| input(FW_CFG_DATA as u16));
    check!(found == *b"QEMU", "OUTSW");
}

/// Calls with EDX, ECX and the address in both ESI and EDI. Gives the one of them that has changed.
fn string(rom: Rom, call: Call, port: u32, address: u32, count: u32) -> u32 {
    let entry = rom.relocation(call).address;
    note(call);
    let (end, left): (u32, u32);
    // SAFETY: the address has so much room; ESI is the compiler's own and kept here.
    unsafe {
        asm!(
            "push esi",
            "push edi",
            "mov esi, edi",
            "call eax",
            "sub esi, [esp]",
            "add edi, esi",
            "add esp, 4",
            "pop esi",
            inout("eax") entry => _,
            inout("edi") address => end,
            inout("ecx") count => left,
            inout("edx") port => _,
        );
    }
    if left == 0 { end } else { 0 }
}
