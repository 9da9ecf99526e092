//! The first 16 MiB, where they are and again at 3 GiB; programs may use them too.

use core::arch::asm;

use crate::segments::Shared;

/// From physical to virtual addresses, of the second mapping.
pub(crate) const DISTANCE: u32 = 0xC000_0000;
/// How much is mapped.
pub(crate) const BYTES: u32 = 16 << 20;

/// Present, writable, for programs.
const FLAGS: u32 = 7;
const LARGE: u32 = 0x80;
const CR4_PAE: u32 = 1 << 5;
const CR0_PAGING: u32 = 1 << 31 | 1 << 16;

pub(crate) static DIRECTORY: Shared<[u32; 1024]> = Shared::new([0; 1024]);
/// 4 MiB each.
pub(crate) static TABLES: Shared<[[u32; 1024]; 4]> = Shared::new([[0; 1024]; 4]);
/// With PAE: of the first gigabyte and of the last.
static LONG_DIRECTORIES: Shared<[[u64; 512]; 2]> = Shared::new([[0; 512]; 2]);
static POINTERS: Shared<[u64; 4]> = Shared::new([0; 4]);

pub(crate) fn start(pae: bool) {
    let (cr3, cr4) = if pae { (long(), CR4_PAE) } else { (short(), 0) };
    // SAFETY: the code that goes on is mapped where it is.
    unsafe {
        asm!(
            "mov cr4, {cr4}",
            "mov cr3, {cr3}",
            "mov {cr0}, cr0",
            "or {cr0}, {paging}",
            "mov cr0, {cr0}",
            cr4 = in(reg) cr4,
            cr3 = in(reg) cr3,
            cr0 = out(reg) _,
            paging = const CR0_PAGING as i32,
        );
    }
}

/// With 4 KiB pages, so that nothing needs CR4.PSE.
fn short() -> u32 {
    // SAFETY: nobody uses the tables yet.
    let (tables, directory) = unsafe { (&mut *TABLES.get(), &mut *DIRECTORY.get()) };
    for (page, entry) in tables.iter_mut().flatten().enumerate() {
        *entry = (page as u32) << 12 | FLAGS;
    }
    for table in 0..4 {
        let entry = (TABLES.address() + (table as u32) * 4096) | FLAGS;
        directory[table] = entry;
        directory[(DISTANCE >> 22) as usize + table] = entry;
    }
    // As in Linux's first tables: an entry where the ROM is to be, of before the kernel knew of it.
    directory[1023] = TABLES.address() | FLAGS;
    DIRECTORY.address()
}

fn long() -> u32 {
    // SAFETY: nobody uses the tables yet.
    let (directories, pointers) = unsafe { (&mut *LONG_DIRECTORIES.get(), &mut *POINTERS.get()) };
    for directory in &mut *directories {
        for (page, entry) in directory
            .iter_mut()
            .take((BYTES >> 21) as usize)
            .enumerate()
        {
            *entry = (page as u64) << 21 | u64::from(FLAGS | LARGE);
        }
    }
    // As above.
    directories[1][511] = u64::from(TABLES.address() | FLAGS);
    pointers[0] = u64::from(LONG_DIRECTORIES.address() | 1);
    pointers[3] = u64::from((LONG_DIRECTORIES.address() + 4096) | 1);
    POINTERS.address()
}
