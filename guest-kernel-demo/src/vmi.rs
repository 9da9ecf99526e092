//! The VMI ROM, if the machine has one.

pub(crate) mod measure;

use core::ptr::NonNull;
use core::{fmt, slice};

use pvops_backend_vmi::rom::{Rom, scan};
use pvops_backend_vmi::route::Route;
use pvops_backend_vmi::routes::Routes;
use pvops_backend_vmi::{BACKEND, LowMemory, Start, routes, use_rom};
use pvops_core::backend::Backend;
use pvops_core::boot_info::PhysicalMemory;
use pvops_core::site::image_sites;

use crate::console::{println, report};
use crate::layout::{DIRECT_MAP, MAPPED, PAGE, WRITABLE_ALIAS};
use crate::paging;
use crate::tables::{Flags, MapError};

/// Looks for ROMs and says what it finds. Gives the first good one, if this kernel can do without the
/// addresses that it wants.
pub(crate) fn find(memory: &impl PhysicalMemory) -> Option<Rom> {
    let mut first = None;
    for found in scan(memory) {
        match found {
            Ok(rom) => {
                println!("{rom}");
                first.get_or_insert(rom);
            }
            Err(bad) => println!("{bad}"),
        }
    }
    let rom = first?;
    let reserved = rom.reserved_addresses();
    if reserved.start < WRITABLE_ALIAS.end as u64 {
        println!(
            "it is not used: this kernel needs addresses from {:#x} on",
            reserved.start
        );
        return None;
    }
    Some(rom)
}

/// Maps a ROM, and all that is below 1 MiB, and has the backend use it.
///
/// # Errors
///
/// If memory does not suffice.
///
/// # Safety
///
/// Once, on the boot CPU, after [`paging::start`].
pub(crate) unsafe fn prepare(rom: Rom) -> Result<(), MapError> {
    const FIRST_MEGABYTE: usize = 1 << 20;
    let start = rom.address() as usize;
    let code = start..start + rom.length_bytes();
    for page in (0..FIRST_MEGABYTE).step_by(PAGE) {
        let is_code = page < code.end && page + PAGE > code.start;
        let flags = if is_code {
            Flags::EXECUTABLE
        } else {
            Flags::DATA
        };
        paging::map(DIRECT_MAP + page, page as u64, flags)?;
    }
    let Some(mapped_at) = NonNull::new((DIRECT_MAP + start) as *mut u8) else {
        return Err(MapError);
    };
    let low_memory = LowMemory {
        start: DIRECT_MAP as u32,
        pages: (MAPPED / PAGE as u64) as u32,
    };
    // SAFETY: it is mapped, below the kernel's entries of all first tables; nothing of the kernel is where
    // it wants addresses.
    unsafe {
        use_rom(Start {
            rom,
            mapped_at,
            low_memory,
        });
    }
    Ok(())
}

/// Tells what is at each call site, and what the ROM has said of each call.
pub(crate) fn list_sites() {
    for site in image_sites() {
        // SAFETY: the site is in the image's text.
        let bytes = unsafe { slice::from_raw_parts(site.address() as *const u8, site.length()) };
        report!(
            "\"event\":\"site\",\"address\":{},\"bytes\":\"{}\"",
            site.address(),
            Hexadecimal(bytes),
        );
    }
    for (call, route) in routes().into_iter().flat_map(Routes::iter) {
        let (kind, address) = match route {
            Ok(Route::Native) => ("native", 0),
            Ok(Route::Nothing) => ("nop", 0),
            Ok(Route::Call(entry)) => ("call", entry.address()),
            Ok(Route::Jump(entry)) => ("jump", entry.address()),
            Err(_) => ("native, as the answer can't be used", 0),
        };
        let name = call.name().unwrap_or("?");
        report!(
            "\"event\":\"relocation\",\"call\":\"{name}\",\"kind\":\"{kind}\",\"address\":{address}"
        );
    }
}

/// Two digits for each byte.
struct Hexadecimal<'a>(&'a [u8]);

impl fmt::Display for Hexadecimal<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// Says what the ROM in use has, and which of its answers can't be used.
pub(crate) fn say(backend: &Backend) {
    if backend.name == BACKEND.name
        && let Some(routes) = routes()
    {
        println!("{routes}");
        for (call, misfit) in routes.misfits() {
            println!("VMI_{}: {misfit}", call.name().unwrap_or("?"));
        }
    }
}
