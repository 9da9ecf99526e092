//! Page tables and the TLB.

use crate::abi::call::Call;
use crate::abi::paging::{flush, level, linear_mapping, page};
use crate::console::check;
use crate::paging::{BYTES, DISTANCE, TABLES};
use crate::rom::Rom;
use crate::segments::Shared;

const CR4_PAE: u32 = 1 << 5;

static PAGES: Shared<[[u32; 1024]; 2]> = Shared::new([[1; 1024], [2; 1024]]);
static ENTRY: Shared<[u64; 1]> = Shared::new([0]);

pub(super) fn run(rom: Rom) {
    let pages = BYTES >> 12;
    let linear = [linear_mapping::LOW_MEMORY, DISTANCE, pages];
    rom.call_with_stack(Call::SET_LINEAR_MAPPING, linear, [0; 2]);
    // Other slots are none of the ROM's business.
    rom.call_with_stack(Call::SET_LINEAR_MAPPING, [3, 0, 1], [0x1000; 2]);
    rom.call_with_stack(
        Call::ALLOCATE_PAGE,
        [0x100, level::PT | page::ZEROED, 0],
        [0; 2],
    );
    rom.call(Call::RELEASE_PAGE, 0x100, level::PT, 0);

    rom.call_with_stack(
        Call::SET_PXE_LONG,
        [0x9ABC_DEF1, 0x1234_5678, ENTRY.address()],
        [level::PT, 0],
    );
    // SAFETY: it is the kernel's own.
    let entry = unsafe { ENTRY.get().read_volatile() };
    check!(
        entry == [0x1234_5678_9ABC_DEF1],
        "SetPxELong writes an entry"
    );
    rom.call(Call::UPDATE_PXE_LONG, ENTRY.address(), level::PT, 0);
    rom.call(Call::UPDATE_PXE, ENTRY.address(), level::PT, 0);

    if rom.call(Call::GET_CR4, 0, 0, 0) as u32 & CR4_PAE == 0 {
        mappings(rom);
    }
    rom.call(Call::FLUSH_TLB, flush::TLB, 0, 0);
    rom.call(Call::FLUSH_TLB, flush::TLB | flush::GLOBAL, 0, 0);
}

/// The first page of two leads to the second, and back.
fn mappings(rom: Rom) {
    let [first, second] = [PAGES.address(), PAGES.address() + 4096];
    let entry = TABLES.address() + (first >> 12) * 4;
    let word = || {
        // SAFETY: both pages begin with a word.
        unsafe { (first as *const u32).read_volatile() }
    };
    check!(word() == 1, "the page is its own");
    rom.call(Call::SET_PXE, second | 7, entry, level::PT);
    rom.call(Call::INVAL_PAGE, first, 0, 0);
    check!(word() == 2, "SetPxE and InvalPage lead elsewhere");
    rom.call(Call::SET_PXE, first | 7, entry, level::PT);
    rom.call(Call::FLUSH_TLB, flush::TLB, 0, 0);
    check!(word() == 1, "SetPxE and FlushTLB lead back");
}
