//! Files that QEMU's user gives to the firmware (QEMU, docs/specs/fw_cfg.rst).

use super::port;

const SELECTOR: u16 = 0x510;
const DATA: u16 = 0x511;
const SIGNATURE: u16 = 0;
const DIRECTORY: u16 = 0x19;
const NAME_BYTES: usize = 56;
/// More files than any QEMU has.
const MAX_FILES: u32 = 256;

/// The first bytes of the file called `name`; what it does not fill is 0. `None` where there is no such
/// file, or no QEMU.
pub(super) fn read<const N: usize>(name: &[u8]) -> Option<[u8; N]> {
    select(SIGNATURE);
    if bytes() != *b"QEMU" {
        return None;
    }
    select(DIRECTORY);
    let count = u32::from_be_bytes(bytes()).min(MAX_FILES);
    for _ in 0..count {
        let size = u32::from_be_bytes(bytes());
        let selector = u16::from_be_bytes(bytes());
        let _reserved: [u8; 2] = bytes();
        let found: [u8; NAME_BYTES] = bytes();
        if found.starts_with(name) && found.get(name.len()) == Some(&0) {
            select(selector);
            let mut content = [0; N];
            for byte in content.iter_mut().take(size as usize) {
                *byte = next();
            }
            return Some(content);
        }
    }
    None
}

fn select(item: u16) {
    // SAFETY: where there is no such device, nobody listens to these ports.
    unsafe { port::write_word(SELECTOR, item) };
}

fn next() -> u8 {
    // SAFETY: as in `select`; reading moves on in the item that was selected.
    unsafe { port::read(DATA) }
}

fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    bytes.iter_mut().for_each(|byte| *byte = next());
    bytes
}
