//! Page tables by the crate's mapper. It stores entries itself, which every host but a PV guest's allows; what
//! is left to the CPU, CR3 and the TLB, is in `privileged`.

use x86_64::structures::paging::{
    FrameAllocator, Mapper, OffsetPageTable, Page, PageTable, PageTableFlags, PhysFrame, Size4KiB,
};
use x86_64::{PhysAddr, VirtAddr};

use crate::privileged;

/// Maps a page to one frame and then to another, and writes to it: the second write is not to reach the first
/// frame.
pub(crate) fn check() {
    let root = privileged::page_table().start_address().as_u64() as *mut PageTable;
    // SAFETY: the tables of `entry` map all memory where it is, and nobody else has them.
    let mut mapper = unsafe { OffsetPageTable::new(&mut *root, VirtAddr::zero()) };
    let page = Page::containing_address(VirtAddr::new(0x1_0000_0000));
    let flags = PageTableFlags::PRESENT | PageTableFlags::WRITABLE;
    let frames = [take(), take()];
    for (number, &frame) in frames.iter().enumerate() {
        if number > 0 {
            let (_, changed) = mapper.unmap(page).expect("mapped");
            privileged::flush(changed);
        }
        // SAFETY: nobody uses page or frame.
        let changed = unsafe { mapper.map_to(page, frame, flags, &mut Frames) };
        privileged::flush(changed.expect("not mapped"));
        // SAFETY: the page is mapped now.
        unsafe {
            page.start_address()
                .as_mut_ptr::<usize>()
                .write_volatile(number + 1)
        };
    }
    // SAFETY: the frames are mapped where they are.
    let content = frames
        .map(|frame| unsafe { (frame.start_address().as_u64() as *const usize).read_volatile() });
    assert_eq!(content, [1, 2], "a translation is still the old one");
    crate::println(format_args!("a page was mapped to two frames"));
}

struct Frames;

// SAFETY: each frame is given once.
unsafe impl FrameAllocator<Size4KiB> for Frames {
    fn allocate_frame(&mut self) -> Option<PhysFrame> {
        Some(take())
    }
}

/// A zeroed frame of the image.
pub(crate) fn take() -> PhysFrame {
    use core::sync::atomic::{AtomicUsize, Ordering};

    const COUNT: usize = 16;
    #[repr(C, align(4096))]
    struct Memory([[u8; 4096]; COUNT]);
    static mut MEMORY: Memory = Memory([[0; 4096]; COUNT]);
    static NEXT: AtomicUsize = AtomicUsize::new(0);

    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(number < COUNT, "no frame is left");
    let frame = (&raw const MEMORY).addr() + number * 4096;
    PhysFrame::containing_address(PhysAddr::new(frame as u64))
}
