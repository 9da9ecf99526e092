//! Handing the machine to another kernel, without the firmware in between: what kexec does.
//!
//! The other kernel is the first boot module, an ELF file with a PVH entry. The host must write to
//! nothing of ours any more when it runs, since it takes our memory for its own: so every CPU is taken
//! down, the boot CPU last. The pages that were shared with the host are filled with a pattern, kept
//! from the other kernel's use, and listed for it: its self-test sees whether they are unchanged.

mod image;
mod trampoline;

use core::ops::Range;
use core::ptr::NonNull;
use core::slice;

use pvops_core::boot_info::{CommandLine, MemoryMap, write_pvh};
use pvops_core::{irq, take_down_cpu};
use spin::Mutex;

use self::image::Image;
use self::trampoline::Trampoline;
use crate::boot::Machine;
use crate::console::report;
use crate::layout::PAGE;
use crate::text::{Text, ensure, text};
use crate::{cpus, frames};

/// Of this every byte of a page is made that was shared with the host. Neither a flag that the host
/// would set nor what it clears one to.
pub(crate) const PATTERN: u8 = 0xa5;

/// The page that lists such pages by their physical addresses; 0 ends it.
pub(crate) type List = [u64; LIST_LENGTH];
pub(crate) const LIST_LENGTH: usize = PAGE / size_of::<u64>();

/// Notes that a frame is shared with the host; `None` if there are too many.
pub(crate) fn note_shared(physical: u64) -> Option<()> {
    let mut shared = SHARED.lock();
    *shared.iter_mut().find(|slot| **slot == 0)? = physical;
    Some(())
}

/// Another kernel that is ready to take over.
pub(crate) struct Successor {
    trampoline: Trampoline,
}

impl Successor {
    /// Readies the kernel in the first module. With `next-pv=` on our command line it gets that as
    /// its `pv=`.
    ///
    /// # Errors
    ///
    /// If there is no module, it is no kernel that can be started, or memory does not suffice.
    pub(crate) fn new(machine: &Machine) -> Result<Self, Text> {
        let Some(module) = &machine.module else {
            return Err(text!("there is no module in memory to hand over to"));
        };
        // SAFETY: the module is mapped and nobody writes there.
        let file = unsafe { bytes(module)? };
        let image = Image::read(file, module.start)?;
        let mut memory_map = machine.memory_map.clone();
        image.check(&memory_map, module)?;

        let (list_physical, list) = frame_outside(&image)?;
        for (index, page) in shared_pages().enumerate() {
            // SAFETY: the frame is ours, and longer than the list.
            unsafe { list.cast::<u64>().add(index).write(page) };
            let page = page..page + PAGE as u64;
            ensure!(
                !image.covers(&page),
                "the module goes to where a shared page is"
            );
            memory_map.reserve(page);
        }
        memory_map.reserve(list_physical..list_physical + PAGE as u64);

        let start_info = start_info(machine, &image, &memory_map, list_physical)?;
        let (frame, memory) = frame_outside(&image)?;
        let trampoline = Trampoline::new(image, start_info, frame, memory)?;
        Ok(Successor { trampoline })
    }

    /// Stops all of this kernel and starts the other.
    ///
    /// # Safety
    ///
    /// On the boot CPU, when the other CPUs wait for work and nothing is left to do.
    pub(crate) unsafe fn start(self) -> ! {
        report!("\"event\":\"hand_over\"");
        if let Err(cpu) = cpus::stop_others() {
            panic!("CPU {cpu} does not stop");
        }
        irq::disable();
        // SAFETY: interrupts are off, and no CPU is left to send any.
        unsafe { take_down_cpu() };
        // No op is used from here on: it might look into a page that was shared.
        for page in shared_pages().filter_map(frames::at) {
            // SAFETY: the frame is ours, and all who have used it have stopped.
            unsafe { page.write_bytes(PATTERN, PAGE) };
        }
        // SAFETY: this CPU alone runs, and nothing is left to do.
        unsafe { self.trampoline.jump() }
    }
}

/// What the list has room for: some frames for each CPU, and on Xen for each address space.
const MAX_SHARED: usize = LIST_LENGTH - 1;

/// Physical addresses of the frames that the host may write; 0 is none.
static SHARED: Mutex<[u64; MAX_SHARED]> = Mutex::new([0; MAX_SHARED]);

fn shared_pages() -> impl Iterator<Item = u64> {
    let pages = *SHARED.lock();
    pages.into_iter().filter(|&page| page != 0)
}

/// # Safety
///
/// The memory is mapped, and nobody writes there.
unsafe fn bytes(range: &Range<u64>) -> Result<&'static [u8], Text> {
    let start = frames::at(range.start).ok_or(text!("it lies nowhere"))?;
    let length = (range.end - range.start) as usize;
    // SAFETY: as the caller vouches.
    Ok(unsafe { slice::from_raw_parts(start.as_ptr(), length) })
}

/// A frame that stays as it is while the image is put into its place.
fn frame_outside(image: &Image) -> Result<(u64, NonNull<u8>), Text> {
    loop {
        // Those that are passed over are lost; this kernel needs no more.
        let (physical, memory) = frames::allocate().ok_or(text!("no memory"))?;
        if !image.covers(&(physical..physical + PAGE as u64)) {
            return Ok((physical, memory));
        }
    }
}

/// Makes the boot information and returns its physical address.
fn start_info(
    machine: &Machine,
    image: &Image,
    memory_map: &MemoryMap,
    list: u64,
) -> Result<u64, Text> {
    let (physical, memory) = frame_outside(image)?;
    let mut line = [0; 1024];
    let length = command_line(machine.command_line, list, &mut line)
        .ok_or(text!("the command line is too long"))?;
    // SAFETY: the frame is ours.
    let memory = unsafe { slice::from_raw_parts_mut(memory.as_ptr(), PAGE) };
    write_pvh(memory, physical, memory_map, &line[..length], machine.rsdp)
        .ok_or(text!("the boot information is larger than a page"))?;
    Ok(physical)
}

/// The command line without what makes a kernel hand over, and with where the list is. Returns its
/// length.
fn command_line(ours: CommandLine<'_>, list: u64, line: &mut [u8]) -> Option<usize> {
    let mut length = 0;
    let mut add = |bytes: &[u8]| {
        line.get_mut(length..length + bytes.len())?
            .copy_from_slice(bytes);
        length += bytes.len();
        Some(())
    };
    for word in ours.words() {
        if word != b"hand-over" && !word.starts_with(b"next-pv=") {
            add(word)?;
            add(b" ")?;
        }
    }
    if let Some(name) = ours.value("next-pv") {
        add(b"pv=")?;
        add(name.as_bytes())?;
        add(b" ")?;
    }
    add(text!("handed-over={list:#x}").as_bytes())?;
    Some(length)
}
