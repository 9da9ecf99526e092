//! The beginning of a PV guest, on the tables that Xen has made.

use core::ffi::CStr;
use core::fmt;
use core::ops::Range;
use core::sync::atomic::AtomicU64;

use pvops_core::boot_info::{BootInfo, BootInfoError, CommandLine, RegionKind};
use pvops_core::use_before_install;

use super::address::{self, AddressLayout, FRAME_BYTES};
use super::direct_map::{self, Window};
use super::ports::{self, PortAccess};
use super::start_info::StartInfo;
use super::translation::{self, Mfn, Pfn};
use super::{
    console, entry, frame_notes, given, hidden_frames, page_table_calls, suspension, tables,
};
use crate::error::XenError;
use crate::hypercall;
use crate::shared_info::{self, SharedInfo};

/// Makes the ops work in a kernel that Xen has entered as a PV guest, and maps its memory; gives what
/// Xen has told it. To be called before any op. Of memory beyond `max_frames`, or 512 GiB, nothing is mapped.
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
    if !layout.is_valid() {
        return Err(StartError::BadLayout);
    }
    let frames = info.frames.min(max_frames).min(AddressLayout::MAX_FRAMES);
    let frame = |address: u64| Pfn((address.wrapping_sub(layout.image as u64)) / FRAME_BYTES);
    // SAFETY: Xen has made the list, of as many entries.
    unsafe { translation::set_list(info.p2m as *mut u64, info.frames) };
    address::set(layout);
    // SAFETY: the domain's own pages.
    unsafe {
        share(Mfn(info.shared_info / FRAME_BYTES))?;
        ports::set_port_access(PortAccess::Kernel)?;
        console::start(info, address::in_image);
    }
    given::note(info);
    suspension::note_start_info(frame(start_info.addr() as u64));
    let tables = frame(info.tables)..Pfn(frame(info.tables).0 + info.table_frames);
    let module = module(info, &frame);
    let note_frames = frame_notes::bytes(frames).div_ceil(FRAME_BYTES);
    // Behind the tables is the boot stack.
    let free = Pfn(first_free(
        tables.end.0 + 1,
        direct_map::table_frames(frames) + note_frames,
        &[
            module.clone().map_or(0..0, |bytes| {
                bytes.start / FRAME_BYTES..bytes.end.div_ceil(FRAME_BYTES)
            }),
            info.p2m_range(),
        ],
    ));
    let notes = Pfn(free.0.saturating_add(direct_map::table_frames(frames)));
    let end = Pfn(notes.0.saturating_add(note_frames));
    if end.0 >= frames {
        return Err(StartError::Xen(XenError::OUT_OF_MEMORY));
    }
    let window = (&raw const WINDOW).addr();
    let window_frame = frame(window as u64).machine().ok_or(XenError::INVALID)?;
    // SAFETY: nobody else runs. The window is a page of ours. Those frames are free.
    unsafe {
        let window = Window::new(window as *mut u64, window_frame);
        direct_map::make(
            layout.direct_map,
            frames,
            tables.start,
            tables.clone(),
            free,
            window,
        )?;
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
    tables::set_initial(tables.start);
    boot_info(info, frames, module, &frame, tables.end, free..end)
}

/// Why a kernel can't be started as a PV guest.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum StartError {
    /// Xen's information is not there, or makes no sense.
    NoStartInfo,
    /// The direct map is not to be where Xen lets one be.
    BadLayout,
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
            StartError::BadLayout => formatter.write_str(
                "the direct map must begin at a multiple of 512 GiB, from 0xffff880000000000 on, and not where \
                 the image is",
            ),
            StartError::Xen(error) => error.fmt(formatter),
            StartError::BootInfo(error) => error.fmt(formatter),
        }
    }
}

impl core::error::Error for StartError {}

/// The first of `count` frames from `first` on none of which is in a range.
fn first_free(mut first: u64, count: u64, taken: &[Range<u64>]) -> u64 {
    // It only goes up, so each range is in the way once.
    for _ in taken {
        for range in taken {
            if range.start < first.saturating_add(count) && first < range.end {
                first = range.end;
            }
        }
    }
    first
}

/// The module's bytes.
fn module(info: &StartInfo, frame: &dyn Fn(u64) -> Pfn) -> Option<Range<u64>> {
    (info.module_bytes != 0).then(|| {
        let by_frame = info.flags & StartInfo::MODULE_BY_FRAME != 0;
        let start = if by_frame {
            info.module.saturating_mul(FRAME_BYTES)
        } else {
            frame(info.module).0 * FRAME_BYTES
        };
        start..start.saturating_add(info.module_bytes)
    })
}

/// What Xen has told, to a kernel that has all frames but those that Xen has put behind its image, up to
/// the boot stack in `stack`, and our own.
fn boot_info(
    info: &'static StartInfo,
    frames: u64,
    module: Option<Range<u64>>,
    frame: &dyn Fn(u64) -> Pfn,
    stack: Pfn,
    own: Range<Pfn>,
) -> Result<BootInfo<'static>, StartError> {
    let text = CStr::from_bytes_until_nul(&info.command_line).unwrap_or_default();
    let command_line = CommandLine::new(text.to_bytes());
    let mut boot = BootInfo::from_backend("xen pv", command_line, module)?;
    let map = boot.memory_map_mut();
    map.insert(0, frames * FRAME_BYTES, RegionKind::USABLE);
    let mut keep = |range: Range<u64>| {
        let bytes = range.end.saturating_sub(range.start) * FRAME_BYTES;
        map.insert(
            range.start * FRAME_BYTES,
            bytes,
            RegionKind::KEPT_BY_BACKEND,
        );
    };
    keep(info.p2m_range());
    keep(own.start.0..own.end.0);
    let first = [info.p2m, info.tables]
        .into_iter()
        .chain([(&raw const *info).addr() as u64])
        .map(frame)
        .filter(|first| first.0 < frames)
        .min()
        .unwrap_or(stack);
    keep(first.0..stack.0 + 1);
    Ok(boot)
}

/// Maps the page that Xen shares with the domain in place of one of the image's.
///
/// # Safety
///
/// On the tables that the kernel begins on; and again when the domain has moved.
pub(super) unsafe fn share(page: Mfn) -> Result<(), XenError> {
    let at = (&raw const SHARED).addr();
    let (own, _) = address::frame_at(at).ok_or(XenError::INVALID)?;
    hidden_frames::note(own, at, page)?;
    // Tables that the kernel makes have it in the direct map, too.
    hidden_frames::note(own, address::of(own), page)?;
    // SAFETY: nobody uses the frame that was there. Tables that the kernel makes have Xen's page there
    // too, since its list says so.
    unsafe {
        own.set_machine(page);
        page_table_calls::update_mapping(at, entry::machine(page, entry::DATA))?;
        let page: &'static SharedInfo = &*(&raw const SHARED).cast();
        shared_info::adopt(page);
        if shared_info::of(0).is_none() {
            shared_info::set_vcpu_info(0, &page.vcpu_info[0]);
        }
    }
    Ok(())
}

#[repr(C, align(4096))]
struct Page([AtomicU64; 512]);

/// Where Xen's page is, and a page to look at others through.
static SHARED: Page = Page([const { AtomicU64::new(0) }; 512]);
static WINDOW: Page = Page([const { AtomicU64::new(0) }; 512]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_where_nothing_is() {
        assert_eq!(first_free(10, 5, &[0..0, 0..0]), 10);
        assert_eq!(first_free(10, 5, &[0..10, 15..20]), 10);
        assert_eq!(first_free(10, 5, &[0..11, 16..20]), 11);
        assert_eq!(first_free(10, 5, &[14..15, 0..0]), 15);
        assert_eq!(first_free(10, 5, &[18..30, 10..14]), 30);
        assert_eq!(first_free(10, 5, &[10..14, 18..30]), 30);
    }

    #[test]
    fn a_module_without_an_end_leaves_nothing() {
        assert_eq!(first_free(10, 5, &[0..0, 0..u64::MAX]), u64::MAX);
        assert_eq!(first_free(u64::MAX, 5, &[0..0, 0..u64::MAX]), u64::MAX);
    }
}
