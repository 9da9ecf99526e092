//! Starting the ROM.

use core::arch::asm;
use core::ops::Range;
use core::ptr::NonNull;

use pvops_core::backend::BindError;
use spin::Once;

use super::entries;
use crate::abi::call::Call;
use crate::abi::header::{GET_RELOCATION_OFFSET, INIT_OFFSET};
use crate::rom::Rom;
use crate::route::Reach;
use crate::routes::Routes;

/// What the kernel has made ready for a ROM.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// The ROM.
    pub rom: Rom,
    /// Where its first byte is mapped.
    pub mapped_at: NonNull<u8>,
    /// Where the kernel has mapped its memory.
    pub low_memory: LowMemory,
}

/// Physical memory from frame 0 on, as the kernel has mapped it in one piece. All page tables are in it.
#[derive(Clone, Copy, Debug)]
pub struct LowMemory {
    /// Virtual address of frame 0.
    pub start: u32,
    /// How many pages of 4 KiB.
    pub pages: u32,
}

/// Has the [backend](super::BACKEND) use a ROM when it is installed: that starts the ROM, and if the ROM
/// then refuses, the machine is as it was and another backend can be installed. The first choice
/// stays. On the boot CPU, before [`install`](pvops_core::install()).
///
/// # Safety
///
/// The whole ROM must be mapped, executable, in all address spaces, by a kernel whose segments are
/// flat and whose stacks are in them. The [addresses that the ROM
/// reserves](Rom::reserved_addresses) must be the ROM's from now on, and the memory as said. What the
/// ROM does is trusted: it is a part of the host.
pub unsafe fn use_rom(start: Start) {
    CHOSEN.call_once(|| Chosen {
        rom: start.rom,
        mapped_at: start.mapped_at.as_ptr() as u32,
        low_memory: start.low_memory,
    });
}

struct Chosen {
    rom: Rom,
    mapped_at: u32,
    low_memory: LowMemory,
}

static CHOSEN: Once<Chosen> = Once::new();
static STARTED: Once<Started> = Once::new();

struct Started {
    routes: Routes,
    kernel_rpl: u16,
}

/// Calls `VMI_Init`, and asks for the relocation of every call.
///
/// # Errors
///
/// If no ROM was chosen, or it refuses: then nothing has changed. If one was started before, or if this one
/// lacks what there is no other way for.
pub(super) fn start() -> Result<&'static Routes, BindError> {
    let chosen = CHOSEN
        .get()
        .ok_or(BindError("there is no VMI ROM to use"))?;
    if STARTED.is_completed() {
        return Err(BindError("the VMI ROM has been started before"));
    }
    let code = |offset: usize| chosen.mapped_at.wrapping_add(offset as u32);
    // SAFETY: the kernel has mapped the ROM, and made ready what it wants.
    let status = unsafe { entries::enter(code(INIT_OFFSET), [0; 3], [0; 2]) } as u32;
    if status != 0 {
        return Err(BindError(
            "VMI_Init failed, and has left the machine as it was",
        ));
    }
    let start = u64::from(chosen.mapped_at);
    let reach = Reach {
        rom: start..start + chosen.rom.length_bytes() as u64,
        reserved: chosen.rom.reserved_addresses(),
    };
    let routes = Routes::ask(&reach, |call| {
        // SAFETY: as above; the ROM has been started.
        unsafe { entries::enter(code(GET_RELOCATION_OFFSET), [call.0, 0, 0], [0; 2]) }
    });
    entries::fill(&routes);
    let started = STARTED.call_once(|| Started {
        routes,
        kernel_rpl: code_segment() & 3,
    });
    match started.routes.get(Call::IRET) {
        Ok(_) => Ok(&started.routes),
        Err(_) => Err(BindError("the VMI ROM gives no IRET")),
    }
}

/// What the ROM, if it was started, has said of each call. Any context.
pub fn routes() -> Option<&'static Routes> {
    STARTED.get().map(|started| &started.routes)
}

/// The ring that the kernel runs in since the ROM was started: 0, or 1 or 2 if the host has ring 0 for
/// itself. Code that asks whether a frame is a program's compares its selector with ring 3. Any context.
pub fn kernel_rpl() -> u16 {
    STARTED.get().map_or(0, |started| started.kernel_rpl)
}

/// Where the kernel has mapped its memory.
pub(super) fn low_memory() -> Option<LowMemory> {
    CHOSEN.get().map(|chosen| chosen.low_memory)
}

/// Virtual addresses of the ROM, if it was started; without the last one, if that is the last of all.
pub(super) fn mapped_rom() -> Option<Range<u32>> {
    let chosen = CHOSEN.get().filter(|_| STARTED.is_completed())?;
    let length = chosen.rom.length_bytes() as u32;
    Some(chosen.mapped_at..chosen.mapped_at.saturating_add(length))
}

fn code_segment() -> u16 {
    let selector: u32;
    // SAFETY: reads a register.
    unsafe { asm!("mov {:e}, cs", out(reg) selector, options(nomem, nostack, preserves_flags)) };
    selector as u16
}
