//! The beginning of a PV guest, on the tables that Xen has made.

use core::ffi::CStr;
use core::fmt;
use core::sync::atomic::AtomicU64;

use pvops_core::boot_info::{BootInfo, BootInfoError, CommandLine, RegionKind};
use pvops_core::use_before_install;

use super::address::{self, AddressLayout, FRAME_BYTES};
use super::direct_map::{self, Window};
use super::start_info::StartInfo;
use super::translation::{self, Mfn, Pfn};
use super::{console, entry, frame_notes, given, page_table_calls, tables};
use crate::error::XenError;
use crate::hypercall::{self, HypercallNumber};
use crate::shared_info::{self, SharedInfo};

/// Makes the ops work in a kernel that Xen has entered as a PV guest, and maps its memory; gives what
/// Xen has told it. To be called before any op. Of memory beyond `max_frames` nothing is mapped.
///
/// The kernel has the frames from 0 on; the machine's numbers stay behind the ops. What Xen has put into
/// them is reserved in the memory map; the kernel reserves its image. It goes on as on hardware: makes
/// tables of its own if it likes, installs the backend.
///
/// # Errors
///
/// If Xen's information is none, memory does not suffice, or Xen refuses something.
///
/// # Safety
///
/// Call it once, first of all, on the boot CPU, with rsi of the entry. The layout is the kernel's, and
/// nothing is mapped in the direct map yet.
pub unsafe fn start(
    start_info: *const u8,
    layout: AddressLayout,
    max_frames: u64,
) -> Result<BootInfo<'static>, StartError> {
    // SAFETY: a PV guest can call Xen by SYSCALL, and all of these are good in ring 3.
    unsafe { use_before_install(&super::BINDINGS) };
    hypercall::allow();
    // SAFETY: as the caller vouches, Xen's information is there; it is of integers.
    let info: &'static StartInfo = unsafe { &*start_info.cast() };
    if !info.is_valid(layout.image as u64) {
        return Err(StartError::NoStartInfo);
    }
    let frames = info.frames.min(max_frames);
    let frame = |address: u64| Pfn((address.wrapping_sub(layout.image as u64)) / FRAME_BYTES);
    // SAFETY: Xen has made the list, of as many entries.
    unsafe { translation::set_list(info.p2m as *mut u64, info.frames) };
    address::set(layout);
    // SAFETY: the domain's own pages.
    unsafe {
        share(Mfn(info.shared_info / FRAME_BYTES))?;
        permit_ports()?;
        console::start(info, address::in_image);
    }
    given::note(info);
    let tables = frame(info.tables)..Pfn(frame(info.tables).0 + info.table_frames);
    // Behind the tables is the boot stack.
    let free = Pfn(tables.end.0 + 1);
    let window = (&raw const WINDOW).addr();
    let window_frame = frame(window as u64).machine().ok_or(XenError::INVALID)?;
    // SAFETY: nobody else runs. The window is a page of ours. What is behind the boot stack is free.
    let made = unsafe {
        let window = Window::new(window as *mut u64, window_frame);
        direct_map::make(
            layout.direct_map,
            frames,
            tables.start,
            tables.clone(),
            free,
            window,
        )?
    };
    let notes = made.end;
    let end = Pfn(notes.0 + frame_notes::bytes(frames).div_ceil(FRAME_BYTES));
    if end.0 >= frames {
        return Err(StartError::Xen(XenError::OUT_OF_MEMORY));
    }
    // SAFETY: the frames are free, and mapped now.
    unsafe {
        let at = address::of(notes) as *mut u8;
        at.write_bytes(0, ((end.0 - notes.0) * FRAME_BYTES) as usize);
        frame_notes::start(at.cast(), frames);
        // The list's own mapping will be gone with the tables that the kernel begins on.
        let list = if info.p2m_frames != 0 {
            Pfn(info.first_p2m_frame)
        } else {
            frame(info.p2m)
        };
        translation::set_list(address::of(list) as *mut u64, info.frames);
    }
    // SAFETY: all memory is there now, for good.
    unsafe { console::start(info, address::of) };
    direct_map::note(tables.clone());
    direct_map::note(free..made.end);
    tables::set_initial(tables.start);
    boot_info(info, frames, &frame, end)
}

/// Why a kernel can't be started as a PV guest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StartError {
    /// Xen's information is not there, or makes no sense.
    NoStartInfo,
    /// Xen has refused something.
    Xen(XenError),
    /// What Xen says of the module makes no sense.
    BootInfo(BootInfoError),
}

impl From<XenError> for StartError {
    fn from(error: XenError) -> Self {
        StartError::Xen(error)
    }
}

impl From<BootInfoError> for StartError {
    fn from(error: BootInfoError) -> Self {
        StartError::BootInfo(error)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::NoStartInfo => {
                formatter.write_str("Xen's start information is not there, or makes no sense")
            }
            StartError::Xen(error) => error.fmt(formatter),
            StartError::BootInfo(error) => error.fmt(formatter),
        }
    }
}

impl core::error::Error for StartError {}

fn boot_info(
    info: &'static StartInfo,
    frames: u64,
    frame: &dyn Fn(u64) -> Pfn,
    end: Pfn,
) -> Result<BootInfo<'static>, StartError> {
    let text = CStr::from_bytes_until_nul(&info.command_line).unwrap_or_default();
    let module = (info.module_bytes != 0).then(|| {
        let by_frame = info.flags & StartInfo::MODULE_BY_FRAME != 0;
        let start = if by_frame {
            info.module.saturating_mul(FRAME_BYTES)
        } else {
            frame(info.module).0 * FRAME_BYTES
        };
        start..start.saturating_add(info.module_bytes)
    });
    let command_line = CommandLine::new(text.to_bytes());
    let mut boot = BootInfo::from_backend("xen pv", command_line, module.clone())?;
    let map = boot.memory_map_mut();
    map.insert(0, frames * FRAME_BYTES, RegionKind::USABLE);
    let mut keep = |first: Pfn, end: Pfn| {
        let bytes = end.0.saturating_sub(first.0).saturating_mul(FRAME_BYTES);
        let start = first.0.saturating_mul(FRAME_BYTES);
        map.insert(start, bytes, RegionKind::KEPT_BY_BACKEND);
    };
    if info.p2m_frames != 0 {
        let first = info.first_p2m_frame;
        keep(Pfn(first), Pfn(first.saturating_add(info.p2m_frames)));
    }
    // All that Xen has put behind the image, up to our own tables.
    let first = [info.p2m, info.tables]
        .into_iter()
        .chain([(&raw const *info).addr() as u64])
        .map(frame)
        .filter(|first| first.0 < frames)
        .min()
        .unwrap_or(end);
    keep(first, end);
    Ok(boot)
}

/// Maps the page that Xen shares with the domain in place of one of the image's.
///
/// # Safety
///
/// Once, on the tables that the kernel begins on.
unsafe fn share(page: Mfn) -> Result<(), XenError> {
    let at = (&raw const SHARED).addr();
    let (own, _) = address::frame_at(at).ok_or(XenError::INVALID)?;
    // SAFETY: nobody uses the frame that was there. Tables that the kernel makes have Xen's page there
    // too, since its list says so.
    unsafe {
        own.set_machine(page);
        page_table_calls::update_mapping(at, entry::machine(page, entry::DATA))?;
        let page: &'static SharedInfo = &*(&raw const SHARED).cast();
        shared_info::adopt(page);
        shared_info::set_vcpu_info(0, &page.vcpu_info[0]);
    }
    Ok(())
}

/// PHYSDEVOP_set_iopl: instructions for ports are done by Xen, to ports that the domain may use, and do
/// nothing to others.
unsafe fn permit_ports() -> Result<(), XenError> {
    const SET_IOPL: u32 = 6;
    // SAFETY: the structure is the command's.
    unsafe { hypercall::command(HypercallNumber::PHYSDEV_OP, SET_IOPL, &mut 1_u32)? };
    Ok(())
}

#[repr(C, align(4096))]
struct Page([AtomicU64; 512]);

/// Where Xen's page is, and a page to look at others through.
static SHARED: Page = Page([const { AtomicU64::new(0) }; 512]);
static WINDOW: Page = Page([const { AtomicU64::new(0) }; 512]);
