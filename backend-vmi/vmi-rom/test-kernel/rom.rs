//! Finding the ROM and calling it.

use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::abi::call::{self, Call};
use crate::abi::extension::{self, Extension};
use crate::abi::header::{
    ALIGNMENT, API_MAJOR, GET_RELOCATION_OFFSET, Header, INIT_OFFSET, LENGTH_UNIT, SEARCHED,
    SIGNATURE, VMI_SIGNATURE,
};
use crate::abi::relocation::{Kind, Relocation};
use crate::paging::DISTANCE;

/// The ROM, where the kernel maps it.
#[derive(Clone, Copy)]
pub(crate) struct Rom {
    pub(crate) base: u32,
}

static FOUND: AtomicU32 = AtomicU32::new(0);
/// How often this kernel has called each.
static CALLED: [AtomicU32; call::COUNT as usize] =
    [const { AtomicU32::new(0) }; call::COUNT as usize];

impl Rom {
    /// Looks for it as Linux does; the sum is the checks' business.
    pub(crate) fn find() -> Option<Self> {
        let places = SEARCHED.step_by(ALIGNMENT as usize);
        let rom = places
            .map(|physical| Self {
                base: physical + DISTANCE,
            })
            .find(|rom| {
                let header = rom.header();
                header.signature == SIGNATURE
                    && header.vmi_signature == VMI_SIGNATURE
                    && header.api_major == API_MAJOR
            })?;
        FOUND.store(rom.base, Ordering::SeqCst);
        Some(rom)
    }

    /// What [`find`](Self::find) has found.
    pub(crate) fn get() -> Self {
        Self {
            base: FOUND.load(Ordering::SeqCst),
        }
    }

    pub(crate) fn header(self) -> Header {
        // SAFETY: the first megabyte is mapped.
        unsafe { (self.base as *const Header).read_unaligned() }
    }

    pub(crate) fn bytes(self) -> &'static [u8] {
        let length = usize::from(self.header().length) * LENGTH_UNIT;
        // SAFETY: as above, and after POST nobody writes it.
        unsafe { core::slice::from_raw_parts(self.base as *const u8, length) }
    }

    pub(crate) fn init(self) -> u32 {
        // SAFETY: it is the ROM's entry.
        unsafe { call(self.base + INIT_OFFSET as u32, [0; 3], [0; 2]) as u32 }
    }

    pub(crate) fn relocation(self, call_number: Call) -> Relocation {
        let entry = self.base + GET_RELOCATION_OFFSET as u32;
        // SAFETY: it is the ROM's entry.
        Relocation::from_registers(unsafe { call(entry, [call_number.0, 0, 0], [0; 2]) })
    }

    /// Calls with EAX, EDX and ECX.
    pub(crate) fn call(self, number: Call, eax: u32, edx: u32, ecx: u32) -> u64 {
        self.call_with_stack(number, [eax, edx, ecx], [0; 2])
    }

    pub(crate) fn call_with_stack(self, number: Call, registers: [u32; 3], stack: [u32; 2]) -> u64 {
        let relocation = self.relocation(number);
        match relocation.kind {
            Kind::CALL_REL => {
                note(number);
                // SAFETY: the checks pass what the call wants.
                unsafe { call(relocation.address, registers, stack) }
            }
            _ => 0,
        }
    }

    pub(crate) fn read_count(self, number: u32) -> u64 {
        // SAFETY: the checks have seen the extension.
        let extension = unsafe {
            ((self.base + extension::OFFSET as u32) as *const Extension).read_unaligned()
        };
        // SAFETY: it is the ROM's entry.
        unsafe { call(self.base + extension.read_count, [number, 0, 0], [0; 2]) }
    }
}

/// Remembers a call that is made in another way.
pub(crate) fn note(number: Call) {
    CALLED[number.0 as usize].fetch_add(1, Ordering::SeqCst);
}

pub(crate) fn called(number: u32) -> u32 {
    CALLED[number as usize].load(Ordering::SeqCst)
}

unsafe fn call(address: u32, [eax, edx, ecx]: [u32; 3], [first, second]: [u32; 2]) -> u64 {
    let (low, high): (u32, u32);
    let stack = [first, second];
    // SAFETY: EBX, ESI, EDI and EBP are kept; the checks would not get far otherwise.
    unsafe {
        asm!(
            "push dword ptr [{stack} + 4]",
            "push dword ptr [{stack}]",
            "call {address}",
            "add esp, 8",
            stack = in(reg) &raw const stack,
            address = in(reg) address,
            inlateout("eax") eax => low,
            inlateout("edx") edx => high,
            inlateout("ecx") ecx => _,
        );
    }
    u64::from(high) << 32 | u64::from(low)
}
