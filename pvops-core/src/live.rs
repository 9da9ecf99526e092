//! Live patching: call sites change while other CPUs run them.
//!
//! [Early patching](crate::patch) has the machine to itself. A few ops get another binding later,
//! when a clock turns out to be unreliable or the first CPU comes that needs a lock to wait.
//! [`repatch`] changes their sites with everybody running: no CPU is stopped, and no CPU executes
//! anything but the old content of a site or the new.
//!
//! # Protocol
//!
//! Of each batch of up to [`BATCH_SITES`] sites of one image, and after *all* sites have been found good:
//!
//! 1. the first byte of each site becomes INT3; all CPUs serialise;
//! 2. the bytes behind it become the new ones; all CPUs serialise;
//! 3. the first byte becomes the new one; all CPUs serialise.
//!
//! One byte is written at a time where CPUs fetch: a CPU sees the old first byte with the old rest,
//! or INT3. After step 1 it sees INT3 and so does not decode what step 2 writes; after step 2 it has
//! forgotten what it may have prefetched of the rest. Serialising is what makes that so (Intel SDM
//! volume 3, sections 10.1.3 and 10.3, on cross-modifying code).
//!
//! A CPU that executes the INT3 raises #BP, and the kernel's handler asks [`breakpoint`]. It answers
//! with a *call of the function of the new binding*, which does the same as the new content,
//! whatever that is: every binding has one, for sites that are not patched. Nobody waits. Waiting in
//! the handler for the last step would hang the machine: the site may be one that runs with
//! interrupts off, and the CPU that patches waits for that CPU to take an interrupt.
//!
//! # Where a CPU can come back to
//!
//! A CPU that is past the first byte does not meet the INT3. Between two instructions of a site it
//! can be interrupted for any time, and a function called from a site returns behind its call, when
//! it likes, even after several transactions. So the first instruction of a site must end where that
//! of the old content ended, and behind it nothing may change; it is NOPs. For a site of six bytes
//! that is always so, for every form fills it with one instruction. In detail:
//!
//! - a call returns at offset 6, the end of most sites. In a longer site NOPs follow, which are the
//!   same for another call;
//! - a template of several instructions may have a CPU between any two of them; such sites are
//!   refused, also as the new content, for nobody could ever change them back;
//! - a template of one instruction, with the prefixes in front, fills a longer site too, and then a
//!   call can't take its place, nor it a call's;
//! - behind a trap nobody goes on;
//! - a call that the #BP handler makes in the site's stead returns to the site's end, which is
//!   nobody's middle.
//!
//! A CPU that takes a fault or an exit at the first instruction comes back to its first byte, and so
//! to the new content.
//!
//! # What callers see
//!
//! Between the call of [`repatch`] and its return, each use of the ops does the old thing or the new
//! thing; one CPU can do the new at one site and then the old at another. Sets of more than a batch
//! are done batch by batch, which only makes that time longer. When it returns, no CPU *begins* the
//! old thing; one that has called an old function may still be in it, for as long as a thread can be
//! kept from running. So two ops, or an op and its pair, may change only if any mixture of their old
//! and new functions works.
//!
//! # Which sites not
//!
//! An INT3 needs a stack and a handler. Ops used between the #BP vector and the call of
//! [`breakpoint`], in the handlers of NMI and machine checks if they can come there, or where the
//! stack is not the kernel's (the entry from user mode) must keep their binding. Nor is this for
//! kernels that use shadow stacks, where the handler would have to push there too.

mod change;
mod error;
mod in_flight;
mod plan;

use core::sync::atomic::{AtomicBool, Ordering};

pub use change::Change;
pub use error::LiveError;
pub use in_flight::{BATCH_SITES, Resume, breakpoint};

use crate::arch::encode::{INT3, MAX_SITE};
use crate::install;
use crate::kernel::Kernel;
use crate::patch::PatchError;
use crate::site::SiteRecord;
use crate::table::OpTable;
use plan::{Batch, Planned};

/// Gives ops other bindings, while other CPUs run their sites, and says how many sites changed.
///
/// `sites` must hold *all* patched sites of the ops in `changes`: those of the image
/// ([`image_sites`](crate::site::image_sites)) and of every module, each in a slice of its own; sites of
/// other ops are left alone. The table's slots and [`installed`](crate::installed) change last.
///
/// `serialize` makes every other CPU that can run the sites execute a serialising instruction and
/// returns when all have. It is called three times for each batch. An interrupt suffices, for the
/// IRET that ends it serialises, and costs no exit beyond its delivery; where none is sure to happen
/// MOV to CR2 or SERIALIZE do. CPUID serialises too, but exits on every hypervisor. In a Linux
/// process it is `membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE)`. The CPU that calls is
/// served by [`Kernel::with_writable_text`].
///
/// Call it in a thread, not in an interrupt handler, and so that other CPUs can take the interrupts
/// of `serialize`: interrupts on, no lock held that they spin for.
///
/// # Errors
///
/// The first site or op that is not as it must be; then nothing was written. The one exception is
/// [`PatchError::NotWritten`]: the kernel's window does not lead to the text.
///
/// # Safety
///
/// - The records must lead to sites that this CPU may read and that stay, and hold all patched sites
///   of these ops. No other code is patched or loaded meanwhile.
/// - The kernel's #BP handler must ask [`breakpoint`], on every CPU.
/// - `serialize` must do what it says; the caller must stay on its CPU, or `serialize` include it.
/// - Any mixture of old and new functions of these ops must work, and the old functions must stay.
pub unsafe fn repatch(
    kernel: &dyn Kernel,
    serialize: &mut dyn FnMut(),
    sites: &[&[SiteRecord]],
    changes: &[Change],
) -> Result<usize, LiveError> {
    let _only = Transaction::begin()?;
    // SAFETY: the caller vouches for the records.
    unsafe { plan::validate(sites, changes)? };
    let mut written = 0;
    // What lies between the text of an image and that of a module is no text.
    for sites in sites {
        let mut batch = Batch::new();
        for planned in plan::planned(sites, changes) {
            // SAFETY: the site was found good.
            if unsafe { planned.is_done() } {
                continue;
            }
            written += 1;
            if batch.push(planned) {
                // SAFETY: the caller keeps the conditions, and the sites were found good.
                unsafe { write(kernel, serialize, &batch)? };
                batch = Batch::new();
            }
        }
        // SAFETY: as above.
        unsafe { write(kernel, serialize, &batch)? };
    }
    for change in changes {
        // SAFETY: the binding is one of the op's.
        unsafe { point_slot(kernel, change) };
        install::rebind(change);
    }
    Ok(written)
}

/// Writes a byte at an offset in a site.
type PutByte<'a> = &'a mut dyn FnMut(usize, u8);

/// Takes one batch of sites through the protocol.
///
/// # Safety
///
/// As for [`repatch`], with sites that were found good.
unsafe fn write(
    kernel: &dyn Kernel,
    serialize: &mut dyn FnMut(),
    batch: &Batch<'_>,
) -> Result<(), LiveError> {
    let Some(range) = batch.range() else {
        return Ok(());
    };
    let step = |select: &dyn Fn(&Planned<'_>, PutByte<'_>)| {
        let mut write = |alias: isize| {
            for planned in batch.iter() {
                // SAFETY: the caller vouches for the sites, the kernel for the alias.
                select(planned, &mut |offset, byte| unsafe {
                    planned.write(alias, offset, byte);
                });
            }
        };
        // SAFETY: what others run meanwhile is what the module's documentation says they may.
        unsafe { kernel.with_writable_text(range.clone(), &mut write) };
    };
    in_flight::publish(batch);
    step(&|_, write| write(0, INT3));
    serialize();
    // SAFETY: the sites can be read.
    let deaf = batch
        .iter()
        .find(|planned| unsafe { planned.read(0) } != INT3);
    if let Some(deaf) = deaf {
        // Nothing but first bytes can have changed; they go back.
        step(&|planned, write| write(0, planned.old_first));
        serialize();
        in_flight::retire();
        return Err(deaf.not_written().into());
    }
    step(&|planned, write| {
        let mut buffer = [0; MAX_SITE];
        let new = planned.content(&mut buffer);
        for (offset, &byte) in new.iter().enumerate().skip(1) {
            // Where a CPU may be, in what does not change, nothing is written.
            // SAFETY: the site can be read.
            if unsafe { planned.read(offset) } != byte {
                write(offset, byte);
            }
        }
    });
    serialize();
    step(&|planned, write| {
        let mut buffer = [0; MAX_SITE];
        write(0, planned.content(&mut buffer)[0]);
    });
    serialize();
    in_flight::retire();
    // SAFETY: as above.
    match batch.iter().find(|planned| !unsafe { planned.is_done() }) {
        Some(planned) => Err(planned.not_written().into()),
        None => Ok(()),
    }
}

/// Points the table's slot to the function of the new binding.
///
/// # Safety
///
/// As for [`repatch`].
unsafe fn point_slot(kernel: &dyn Kernel, change: &Change) {
    let table = OpTable::get();
    let slot = table.slot(change.op());
    let mut write = |alias| {
        // SAFETY: the function is the op's, by the type that the change was made from, and the
        // kernel has just said that the slot can be written at this distance.
        unsafe { table.set(change.op(), change.binding().target(), alias) };
    };
    // SAFETY: nobody executes the table.
    unsafe { kernel.with_writable_text(slot..slot + size_of::<usize>(), &mut write) };
}

static BUSY: AtomicBool = AtomicBool::new(false);

/// The right to change text; there is one.
struct Transaction;

impl Transaction {
    /// Does not wait for another transaction, which may want an answer of this CPU.
    fn begin() -> Result<Self, LiveError> {
        match BUSY.swap(true, Ordering::Acquire) {
            false => Ok(Transaction),
            true => Err(LiveError::Busy),
        }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        BUSY.store(false, Ordering::Release);
    }
}

impl From<PatchError> for LiveError {
    fn from(error: PatchError) -> Self {
        LiveError::Patch(error)
    }
}
