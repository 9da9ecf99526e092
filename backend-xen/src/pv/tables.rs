//! Page tables: which Xen has in use, and how they are changed.
//!
//! A table that Xen does not know of is memory like any other and changed by plain stores. An address
//! space is built so, and when it is complete it is *pinned*: all its tables become read-only, Xen looks
//! through them once, and from then on every change is a call. In 64-bit guests programs run in ring 3
//! as the kernel does, so each address space has a second first table with the lower half only, on which
//! they run.

use core::sync::atomic::{AtomicU64, Ordering};

use pvops_core::Kernel;
use pvops_core::cpu_set::MAX_CPUS;
use spin::Mutex;

use super::address::{self, FRAME_BYTES};
use super::entry::{
    self, ENTRIES, LARGE, PRESENT, READ_ONLY, USER, WRITABLE, XEN_ENTRIES, own_frame,
};
use super::frame_notes::{self, Note};
use super::page_table_calls::{Extended, Update, update_mapping};
use super::translation::{Mfn, Pfn};
use super::upcall_mask::masked;
use super::{batch, this_cpu};

/// For the ops that store entries but those of the first table.
pub(super) unsafe extern "C" fn set_entry(entry: *mut u64, value: u64) {
    // SAFETY: as the op's caller vouches.
    unsafe { store(entry, value, 0) };
}

/// For the op `mmu.set_p4d`. Xen's own entries stay.
pub(super) unsafe extern "C" fn set_root_entry(entry: *mut u64, value: u64) {
    let index = entry.addr() % FRAME_BYTES as usize / size_of::<u64>();
    if XEN_ENTRIES.contains(&index) {
        return;
    }
    // SAFETY: as the op's caller vouches.
    unsafe {
        store(entry, value, 0);
        if index < XEN_ENTRIES.start
            && let Some((root, offset)) = address::frame_at(entry.addr())
            && let Some(user) = frame_notes::of(root).user_root()
        {
            store((address::of(user) as u64 + offset) as *mut u64, value, 0);
        }
    }
}

/// For the op `mmu.start_protection`. What is in the entry stays until the commit, by which Xen keeps the
/// bits that hardware sets meanwhile. What is put off is not there yet, as anywhere in lazy mode: to make
/// it here would leave nothing of a batch where pages are protected one after the other.
pub(super) unsafe extern "C" fn start_protection(entry: *mut u64) -> u64 {
    // SAFETY: as the op's caller vouches.
    unsafe { entry.read_volatile() }
}

/// For the op `mmu.commit_protection`. Accessed and dirty bits that are in the entry stay.
pub(super) unsafe extern "C" fn commit_protection(entry: *mut u64, value: u64) {
    // SAFETY: as the op's caller vouches.
    unsafe { store(entry, value, Update::PRESERVE_ACCESSED_DIRTY) };
}

/// For the op `mmu.alloc_table`.
pub(super) unsafe extern "C" fn alloc_table(frame: u64, level: u32) {
    frame_notes::set(Pfn(frame), Note::table(level));
}

/// For the op `mmu.release_table`.
pub(super) unsafe extern "C" fn release_table(frame: u64, _level: u32) {
    let frame = Pfn(frame);
    let note = frame_notes::of(frame);
    frame_notes::set(frame, Note::MEMORY);
    if note.is_in_use() {
        // SAFETY: as the op's caller says, no table leads to it any more.
        unsafe { show(frame, entry::DATA) };
        // The kernel may write to it now.
        flush_batch();
    }
}

/// For the op `mmu.activate_tables`.
pub(super) unsafe extern "C" fn activate(root: u64) {
    // SAFETY: the tables are the kernel's, and nobody changes them meanwhile.
    in_one_call(|| unsafe { use_root(Pfn(root)) });
}

/// Makes tables what Xen can take, and pins them; and a first table for programs.
///
/// # Safety
///
/// The tables are complete, and change by ops only from now on. This CPU is in lazy mode.
unsafe fn use_root(root: Pfn) {
    // SAFETY: as the caller vouches.
    unsafe {
        // What is activated before the kernel gives memory is its own, on which no program runs.
        let user = pvops_core::kernel().map(|kernel| {
            let Some(user) = new_user_root(kernel) else {
                panic!("no memory for the first table of programs, of the tables at {root:?}");
            };
            // Before the tables, which may map it.
            frame_notes::set(user, Note::table(4).in_use());
            user
        });
        use_subtree(root, 4);
        pin(root);
        if let Some(user) = user {
            let entries = address::of(user) as *mut u64;
            let from = address::of(root) as *const u64;
            for index in 0..ENTRIES {
                let lower = index < XEN_ENTRIES.start;
                let value = if lower { from.add(index).read() } else { 0 };
                entries.add(index).write(value);
            }
            show(user, READ_ONLY);
            pin(user);
            frame_notes::set(root, frame_notes::of(root).with_user_root(Some(user)));
        }
    }
}

/// Runs `body` in lazy mode, and on one CPU: whoever is preempted in lazy mode leaves that CPU in it.
fn in_one_call(body: impl FnOnce()) {
    masked(|| {
        // SAFETY: what is put off is made before this ends, on this CPU.
        unsafe { batch::enter_lazy() };
        body();
        // SAFETY: it has been entered.
        unsafe { batch::leave_lazy() };
    });
}

/// For the op `mmu.exit_tables`.
pub(super) unsafe extern "C" fn exit(root: u64) {
    let root = Pfn(root);
    let note = frame_notes::of(root);
    frame_notes::set(root, note.with_user_root(None));
    // SAFETY: as the op's caller says, no CPU uses the tables any more.
    unsafe {
        for first in [Some(root), note.user_root()].into_iter().flatten() {
            if let Some(machine) = first.machine() {
                batch::extended(Extended::unpin(machine));
            }
        }
        if let Some(user) = note.user_root() {
            frame_notes::set(user, Note::MEMORY);
            show(user, entry::DATA);
            batch::flush_lazy();
            // Its first word leads to the next. Masked, as in `new_user_root`: whoever interrupted this with
            // the lock held would wait for it without end.
            masked(|| {
                (address::of(user) as *mut u64).write(FREE_USER_ROOTS.lock().replace(user));
            });
        }
    }
}

/// For the op `mmu.write_cr3`.
pub(super) unsafe extern "C" fn write_cr3(value: usize) {
    let root = Pfn(value as u64 / FRAME_BYTES);
    let Some(machine) = root.machine() else {
        panic!("page tables at {value:#x}, where there is no memory");
    };
    let user = frame_notes::of(root).user_root().and_then(Pfn::machine);
    in_one_call(|| {
        // SAFETY: as the op's caller vouches.
        unsafe {
            batch::extended(Extended::use_root(machine));
            batch::extended(Extended::use_user_root(user.unwrap_or(Mfn(0))));
            let first = Pfn(INITIAL_ROOT.swap(0, Ordering::Relaxed));
            if first.0 != 0
                && let Some(machine) = first.machine()
            {
                // Nobody comes back to the tables that the kernel began on.
                batch::extended(Extended::unpin(machine));
            }
        }
        if let Some(slot) = ROOTS.get(this_cpu::index()) {
            slot.store(value as u64, Ordering::Relaxed);
        }
    });
}

/// For the op `mmu.read_cr3`.
pub(super) unsafe extern "C" fn read_cr3() -> usize {
    let read = || Some(ROOTS.get(this_cpu::index())?.load(Ordering::Relaxed) as usize);
    masked(read).unwrap_or(0)
}

/// The kernel begins on these tables, which are in the direct map now, and leaves them for good when it first
/// writes CR3.
pub(super) fn set_initial(root: Pfn) {
    note_in_use(root, 4);
    INITIAL_ROOT.store(root.0, Ordering::Relaxed);
    ROOTS[0].store(root.0 * FRAME_BYTES, Ordering::Relaxed);
}

/// The machine's frames of the tables that this CPU uses, for the kernel and for programs.
pub(super) fn roots_of(cr3: u64) -> (Option<Mfn>, Option<Mfn>) {
    let root = Pfn(cr3 / FRAME_BYTES);
    let user = frame_notes::of(root).user_root();
    (root.machine(), user.and_then(Pfn::machine))
}

/// A CPU begins on these tables.
pub(super) fn note_cr3_of(cpu: usize, cr3: u64) {
    if let Some(slot) = ROOTS.get(cpu) {
        slot.store(cr3, Ordering::Relaxed);
    }
}

/// Notes tables that Xen has in use.
fn note_in_use(table: Pfn, level: u32) {
    frame_notes::set(table, Note::table(level).in_use());
    for below in tables_below(table, level) {
        note_in_use(below, level - 1);
    }
}

/// CR3 of each CPU, as the kernel has it.
static ROOTS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
/// The frame of the table that Xen has the kernel begin on; 0 once it is left.
static INITIAL_ROOT: AtomicU64 = AtomicU64::new(0);

/// First tables for programs, which nobody uses.
static FREE_USER_ROOTS: Mutex<UserRoots> = Mutex::new(UserRoots { first: 0 });

struct UserRoots {
    first: u64,
}

impl UserRoots {
    fn replace(&mut self, first: Pfn) -> u64 {
        core::mem::replace(&mut self.first, first.0)
    }
}

/// A frame for the first table of programs: one that was given back, or a new one.
fn new_user_root(kernel: &dyn Kernel) -> Option<Pfn> {
    masked(|| {
        let mut free = FREE_USER_ROOTS.lock();
        if free.first != 0 {
            let root = Pfn(free.first);
            // SAFETY: the frame is in the list, so it is ours, and begins with the next.
            free.first = unsafe { (address::of(root) as *const u64).read() };
            return Some(root);
        }
        let page = kernel.shared_frame()?.addr().get();
        let (root, _) = address::frame_at(page)?;
        let direct = address::of(root);
        if page != direct {
            // Of the image. It is used in the direct map, where the kernel may not have its image.
            let machine = root.machine()?;
            // SAFETY: the frame is ours.
            unsafe {
                update_mapping(page, entry::machine(machine, READ_ONLY)).ok()?;
                update_mapping(direct, entry::machine(machine, entry::DATA)).ok()?;
            }
        }
        Some(root)
    })
}

/// Stores an entry, by a call if its table is in use.
///
/// # Safety
///
/// As for the ops that store entries.
unsafe fn store(at: *mut u64, value: u64, command: u64) {
    let Some((table, offset)) = address::frame_at(at.addr()) else {
        panic!("a page-table entry at {at:p}, which is not in the direct map");
    };
    let note = frame_notes::of(table);
    if !note.is_in_use() {
        // SAFETY: as the caller vouches.
        unsafe { at.write_volatile(value) };
        return;
    }
    let mut value = value;
    if let Some(below) = own_frame(value).filter(|_| value & LARGE == 0) {
        let note = frame_notes::of(below);
        if let Some(level) = note.unused_level() {
            // SAFETY: the tables are the kernel's, and complete.
            unsafe { use_subtree(below, level) };
        } else if note.is_in_use() && frame_notes::of(table).is_of_pages() {
            value &= !WRITABLE;
        }
    }
    if let Some(machine) = table.machine() {
        // SAFETY: as the caller vouches.
        unsafe {
            batch::update(Update {
                entry: (machine.0 * FRAME_BYTES + offset) | command,
                value,
            });
        }
    }
}

fn flush_batch() {
    // SAFETY: what was put off has been vouched for.
    unsafe { batch::flush_lazy() };
}

/// Makes a table that Xen does not know of, and those below, what Xen can take.
///
/// # Safety
///
/// The tables are complete, and change by ops only from now on.
unsafe fn use_subtree(table: Pfn, level: u32) {
    // SAFETY: the tables are the kernel's, and not in use.
    unsafe {
        note_subtree(table, level);
        protect_subtree(table, level);
    }
}

/// Notes the tables as in use.
unsafe fn note_subtree(table: Pfn, level: u32) {
    frame_notes::set(table, frame_notes::of(table).about_to_be_used());
    for below in tables_below(table, level) {
        if frame_notes::of(below).unused_level().is_some() {
            // SAFETY: as the caller vouches.
            unsafe { note_subtree(below, level - 1) };
        }
    }
}

/// Takes write access to all tables out of these, and away from the kernel.
unsafe fn protect_subtree(table: Pfn, level: u32) {
    // SAFETY: as the caller vouches.
    unsafe {
        if level == 1 {
            let entries = address::of(table) as *mut u64;
            for index in 0..ENTRIES {
                let value = entries.add(index).read();
                // No program has tables mapped.
                if value & (PRESENT | WRITABLE | USER) == PRESENT | WRITABLE
                    && own_frame(value).is_some_and(|frame| frame_notes::of(frame).is_in_use())
                {
                    entries.add(index).write(value & !WRITABLE);
                }
            }
        }
        for below in tables_below(table, level) {
            if frame_notes::of(below).is_about_to_be_used() {
                protect_subtree(below, level - 1);
            }
        }
        frame_notes::set(table, frame_notes::of(table).in_use());
        show(table, READ_ONLY);
    }
}

/// The tables that a table leads to.
fn tables_below(table: Pfn, level: u32) -> impl Iterator<Item = Pfn> {
    let entries = address::of(table) as *const u64;
    let skipped = if level == 4 { XEN_ENTRIES } else { 0..0 };
    (0..if level > 1 { ENTRIES } else { 0 })
        .filter(move |index| !skipped.contains(index))
        // SAFETY: the table is in the direct map.
        .map(move |index| unsafe { entries.add(index).read() })
        .filter(|value| value & LARGE == 0)
        .filter_map(own_frame)
}

/// Maps a frame in the direct map.
///
/// # Safety
///
/// What uses the mapping must bear it.
unsafe fn show(frame: Pfn, flags: u64) {
    if let Some(machine) = frame.machine() {
        let entry = entry::machine(machine, flags);
        // SAFETY: as the caller vouches.
        unsafe {
            if INITIAL_ROOT.load(Ordering::Relaxed) != 0 {
                // The tables that the kernel begins on have some frames twice; Xen refuses where not.
                let _ = update_mapping(address::in_image(frame), entry);
            }
            batch::update_mapping(address::of(frame), entry);
        }
    }
}

/// # Safety
///
/// The table and all below are read-only.
unsafe fn pin(root: Pfn) {
    if let Some(machine) = root.machine() {
        // SAFETY: as the caller vouches.
        unsafe { batch::extended(Extended::pin_root(machine)) };
    }
}
