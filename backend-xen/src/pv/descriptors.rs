//! Descriptor tables. Xen takes only frames of descriptors that nobody can write, so it gets a copy.
//!
//! Task state segments are Xen's own; their descriptors are left out of the copy.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use pvops_core::cpu_set::MAX_CPUS;
use pvops_core::descriptor::DescriptorTablePointer;
use spin::Mutex;

use super::address::{self, FRAME_BYTES};
use super::frame_notes::{self, Note};
use super::translation::Pfn;
use super::{batch, entry, page_table_calls, this_cpu};
use crate::hypercall::{HypercallNumber, hypercall};

/// For the op `cpu.load_gdt`. A table of up to 512 entries, one frame of them; a longer one is a panic.
pub(super) unsafe extern "C" fn load_gdt(pointer: *const DescriptorTablePointer) {
    // SAFETY: the op's caller vouches for the pointer.
    let (base, limit) = unsafe {
        let pointer = pointer.read();
        (pointer.base, usize::from(pointer.limit))
    };
    let entries = (limit + 1) / size_of::<u64>();
    assert!(
        entries <= ENTRIES,
        "a descriptor table of {entries} entries"
    );
    let descriptor = |index| {
        if index < entries {
            // SAFETY: the table has that entry.
            acceptable(unsafe { (base as *const u64).add(index).read() })
        } else {
            0
        }
    };
    let Some(copy) = copy_of(base) else {
        panic!("no memory for a descriptor table");
    };
    let words = copy.page as *mut u64;
    // SAFETY: a new copy is ours alone until it is read-only; one that Xen has is changed by calls.
    unsafe {
        for index in 0..ENTRIES {
            if copy.is_new {
                words.add(index).write(descriptor(index));
            } else if words.add(index).read() != descriptor(index) {
                update(copy.frame, index, descriptor(index));
            }
        }
        if copy.is_new {
            make_read_only(copy.page);
        }
        let frames = [copy.frame.machine().map_or(0, |frame| frame.0)];
        let list = frames.as_ptr().expose_provenance() as u64;
        let cpu = match STARTING.load(Ordering::Acquire) {
            NOBODY => this_cpu::index(),
            cpu => cpu,
        };
        TABLES[cpu].store(base, Ordering::Relaxed);
        if let Err(error) = hypercall(HypercallNumber::SET_GDT, [list, entries as u64]) {
            panic!("the descriptor table: {error}");
        }
    }
}

/// A CPU is about to start: until it is brought up it does not know its number.
pub(super) fn expect(cpu: usize) {
    STARTING.store(cpu, Ordering::Release);
}

/// No CPU is about to start: it knows its number now, or will not come.
pub(super) fn expect_nobody() {
    STARTING.store(NOBODY, Ordering::Release);
}

/// For the op `cpu.write_gdt_entry`.
pub(super) unsafe extern "C" fn write_gdt_entry(table: *mut u64, index: usize, descriptor: u64) {
    // SAFETY: the op's caller vouches for the table.
    unsafe { table.add(index).write(descriptor) };
    let copy = COPIES
        .lock()
        .iter()
        .find(|copy| copy.base == table.addr())
        .and_then(|copy| address::frame_at(copy.page));
    if let Some((copy, _)) = copy {
        // SAFETY: the entry is in a table of this domain's.
        unsafe { update(copy, index, acceptable(descriptor)) };
    }
}

/// For the op `cpu.load_tls`.
pub(super) unsafe extern "C" fn load_tls(table: *mut u64, first: usize, entries: *const [u64; 3]) {
    // SAFETY: the op's caller vouches for the entries and their places.
    unsafe {
        for (index, descriptor) in entries.read().into_iter().enumerate() {
            write_gdt_entry(table, first + index, descriptor);
        }
    }
}

/// For the op `cpu.write_ldt_entry`.
pub(super) unsafe extern "C" fn write_ldt_entry(table: *mut u64, index: usize, descriptor: u64) {
    let at = table.wrapping_add(index);
    match address::frame_at(at.addr()) {
        Some((frame, offset)) if frame_notes::of(frame).is_in_use() => {
            // SAFETY: the op's caller vouches for the table.
            unsafe { update(frame, (offset / 8) as usize, acceptable(descriptor)) };
        }
        // SAFETY: as above.
        _ => unsafe { at.write(descriptor) },
    }
}

/// For the op `cpu.load_ldt`. Pages are read-only for as long as a CPU has a table loaded that is in them.
pub(super) unsafe extern "C" fn load_ldt(selector: u16) {
    let new = match selector & !0b111 {
        0 => LocalTable::NONE,
        _ => described(selector).unwrap_or(LocalTable::NONE),
    };
    let mut loaded = LOCAL_TABLES.lock();
    let Some(slot) = loaded.get_mut(this_cpu::index()) else {
        return;
    };
    let old = core::mem::replace(slot, new);
    // SAFETY: the op's caller vouches for the table, whose pages change by ops only from now on. Those of
    // the old one Xen has let go of.
    unsafe {
        new.pages().for_each(|page| make_read_only(page));
        batch::extended(page_table_calls::Extended::use_ldt(
            new.base,
            new.entries as u64,
        ));
        batch::flush_lazy();
        old.pages()
            .filter(|page| !loaded.iter().any(|table| table.has(*page)))
            .for_each(|page| make_writable(page));
    }
}

const ENTRIES: usize = FRAME_BYTES as usize / size_of::<u64>();

#[derive(Clone, Copy)]
struct Copy {
    /// The kernel's own table; 0 for none.
    base: usize,
    page: usize,
}

/// The copies that Xen has.
static COPIES: Mutex<[Copy; MAX_CPUS]> = Mutex::new([Copy { base: 0, page: 0 }; MAX_CPUS]);

/// A frame for the boot CPU, before the kernel can give one.
#[repr(C, align(4096))]
struct BootCopy([u64; ENTRIES]);

static BOOT_COPY: BootCopy = BootCopy([0; ENTRIES]);

/// What Xen gets in place of a table.
struct CopyOf {
    frame: Pfn,
    /// Where it is seen.
    page: usize,
    is_new: bool,
}

fn copy_of(base: usize) -> Option<CopyOf> {
    let mut copies = COPIES.lock();
    let slot = copies
        .iter_mut()
        .find(|copy| copy.base == base || copy.base == 0)?;
    let is_new = slot.base == 0;
    if is_new {
        let page = match pvops_core::kernel() {
            Some(kernel) => kernel.shared_frame().map(NonNull::addr)?.get(),
            None => (&raw const BOOT_COPY).addr(),
        };
        *slot = Copy { base, page };
    }
    Some(CopyOf {
        frame: address::frame_at(slot.page)?.0,
        page: slot.page,
        is_new,
    })
}

/// # Safety
///
/// Nobody writes to the page's frame but by calls.
unsafe fn make_read_only(page: usize) {
    // SAFETY: as the caller vouches.
    unsafe { set(page, Note::descriptors(), entry::READ_ONLY) };
}

/// # Safety
///
/// Xen does not have it as a table.
unsafe fn make_writable(page: usize) {
    // SAFETY: as the caller vouches.
    unsafe { set(page, Note::MEMORY, entry::DATA) };
}

/// Maps a page's frame where the page is, and where it is in the direct map.
///
/// # Safety
///
/// The mapping must be right for everybody.
unsafe fn set(page: usize, note: Note, flags: u64) {
    let Some((frame, _)) = address::frame_at(page) else {
        return;
    };
    frame_notes::set(frame, note);
    let Some(machine) = frame.machine() else {
        return;
    };
    let entry = entry::machine(machine, flags);
    let direct = address::of(frame);
    // SAFETY: as the caller vouches.
    unsafe {
        if page != direct {
            // Xen refuses where the kernel has no table for its image in the direct map.
            let _ = page_table_calls::update_mapping(direct, entry);
        }
        if let Err(error) = page_table_calls::update_mapping(page, entry) {
            panic!("the mapping of a descriptor table: {error}");
        }
    }
}

/// HYPERVISOR_update_descriptor.
///
/// # Safety
///
/// Whoever has a selector for it must be served by the new one.
unsafe fn update(frame: Pfn, index: usize, descriptor: u64) {
    let Some(machine) = frame.machine() else {
        return;
    };
    let at = machine.0 * FRAME_BYTES + (index * size_of::<u64>()) as u64;
    // Not by way of a batch: a CPU that is starting has none, and does not know its number.
    // SAFETY: as the caller vouches.
    let made = unsafe { hypercall(HypercallNumber::UPDATE_DESCRIPTOR, [at, descriptor]) };
    if let Err(error) = made {
        panic!("descriptor {index}, {descriptor:#x}: {error}");
    }
}

/// Of system descriptors Xen takes call gates only; a local table is told of by a call.
fn acceptable(descriptor: u64) -> u64 {
    const PRESENT: u64 = 1 << 47;
    const CODE_OR_DATA: u64 = 1 << 44;
    if descriptor & PRESENT != 0 && descriptor & CODE_OR_DATA == 0 {
        0
    } else {
        descriptor
    }
}

/// A local descriptor table.
#[derive(Clone, Copy)]
struct LocalTable {
    base: usize,
    entries: usize,
}

impl LocalTable {
    const NONE: LocalTable = LocalTable {
        base: 0,
        entries: 0,
    };

    fn pages(self) -> impl Iterator<Item = usize> {
        let end = self.base + self.entries * size_of::<u64>();
        (self.base..end).step_by(FRAME_BYTES as usize)
    }

    fn has(self, page: usize) -> bool {
        let frame = address::frame_at(page);
        self.pages().any(|own| address::frame_at(own) == frame)
    }
}

/// What each CPU has loaded. Interrupts are off around a change.
static LOCAL_TABLES: Mutex<[LocalTable; MAX_CPUS]> = Mutex::new([LocalTable::NONE; MAX_CPUS]);

/// The table that a selector names in this CPU's own global table.
fn described(selector: u16) -> Option<LocalTable> {
    let table = TABLES.get(this_cpu::index())?.load(Ordering::Relaxed) as *const u64;
    if table.is_null() {
        return None;
    }
    let index = usize::from(selector >> 3);
    // SAFETY: the op's caller says that the selector names a descriptor, which has 16 bytes.
    let (low, high) = unsafe { (table.add(index).read(), table.add(index + 1).read()) };
    let base = low >> 16 & 0xff_ffff | (low >> 56) << 24 | high << 32;
    let limit = low & 0xffff | (low >> 48 & 0xf) << 16;
    Some(LocalTable {
        base: base as usize,
        entries: (limit as usize + 1) / size_of::<u64>(),
    })
}

const NOBODY: usize = usize::MAX;
/// The CPU that is starting: one at a time, as the op `smp.start_cpu` says.
static STARTING: AtomicUsize = AtomicUsize::new(NOBODY);
/// The kernel's own table of each CPU.
static TABLES: [AtomicUsize; MAX_CPUS] = [const { AtomicUsize::new(0) }; MAX_CPUS];
