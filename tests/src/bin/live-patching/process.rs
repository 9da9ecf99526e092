//! A Linux process as a kernel that patches text while its threads run it.

use core::arch::asm;
use std::io::Error;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

use pvops_core::live;
use pvops_core::site::image_sites;
use pvops_tests::check::Outcome;
use pvops_tests::ensure;
use pvops_tests::process::{PAGE, Process, interrupted, span, take_signal};

/// This process, with a writable alias of its text.
// SAFETY: text is written at its alias, data where they are.
pub(crate) const PROCESS: Process = unsafe { Process::new(with_alias) };

fn with_alias(range: Range<usize>, write: &mut dyn FnMut(isize)) {
    let text = pages();
    write(match text.contains(&range.start) {
        true => ALIAS.load(Ordering::Relaxed),
        // The op table.
        false => 0,
    });
    serialize_self();
}

const READ_EXECUTE: i32 = libc::PROT_READ | libc::PROT_EXEC;
const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;

/// From the pages with call sites to where they can be written.
static ALIAS: AtomicIsize = AtomicIsize::new(0);

/// Replaces the pages with call sites by pages that have a writable alias, takes SIGTRAP, and
/// registers for `membarrier`.
pub(crate) fn start() -> Outcome {
    let text = pages();
    let length = text.len();
    // SAFETY: the new pages have the content of the old, and take their place in one system call.
    unsafe {
        let file = libc::memfd_create(c"text".as_ptr(), libc::MFD_CLOEXEC);
        ensure!(file >= 0, "memfd_create: {}", Error::last_os_error());
        let copied = libc::write(file, text.start as *const libc::c_void, length);
        ensure!(
            copied == length as isize,
            "write: {}",
            Error::last_os_error()
        );
        let shared = libc::MAP_SHARED;
        let alias = libc::mmap(ptr::null_mut(), length, READ_WRITE, shared, file, 0);
        ensure!(
            alias != libc::MAP_FAILED,
            "mmap: {}",
            Error::last_os_error()
        );
        let place = text.start as *mut libc::c_void;
        let placed = libc::mmap(
            place,
            length,
            READ_EXECUTE,
            shared | libc::MAP_FIXED,
            file,
            0,
        );
        ensure!(placed == place, "mmap: {}", Error::last_os_error());
        ALIAS.store(
            alias.addr().wrapping_sub(text.start) as isize,
            Ordering::Relaxed,
        );

        take_signal(libc::SIGTRAP, on_breakpoint);
    }
    let result = membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE);
    ensure!(result == 0, "membarrier: {}", Error::last_os_error());
    Ok(())
}

/// Makes all other threads that run execute a serialising instruction.
pub(crate) fn serialize_others() {
    let result = membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE);
    assert_eq!(result, 0, "membarrier: {}", Error::last_os_error());
}

/// Writes a byte of text, as nobody should.
pub(crate) fn tamper(address: usize, change: impl FnOnce(u8) -> u8) {
    let place = (address as *mut u8).wrapping_offset(ALIAS.load(Ordering::Relaxed));
    // SAFETY: the address is in the text, and nobody runs what is there.
    unsafe { place.write_volatile(change(place.read_volatile())) };
    serialize_self();
}

/// The pages that hold call sites.
pub(crate) fn pages() -> Range<usize> {
    let Range { start, end } = span(image_sites());
    start & !(PAGE - 1)..end.next_multiple_of(PAGE)
}

/// How many INT3 have been answered for.
pub(crate) fn breakpoints() -> usize {
    ANSWERED.load(Ordering::Relaxed)
}

/// How many INT3 were nobody's.
pub(crate) fn foreign() -> usize {
    FOREIGN.load(Ordering::Relaxed)
}

static ANSWERED: AtomicUsize = AtomicUsize::new(0);
static FOREIGN: AtomicUsize = AtomicUsize::new(0);

fn membarrier(command: i32) -> libc::c_long {
    // SAFETY: takes no pointers.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) }
}

extern "C" fn on_breakpoint(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes the interrupted context. It has put the signal's frame beyond the
    // red zone, so below the interrupted stack pointer there is room; call sites are in code that
    // keeps nothing there.
    unsafe {
        let [pointer, stack] = interrupted(context);
        let Some(resume) = live::breakpoint(*pointer as usize) else {
            FOREIGN.fetch_add(1, Ordering::Relaxed);
            return;
        };
        ANSWERED.fetch_add(1, Ordering::Relaxed);
        *pointer = resume.rip as isize;
        if let Some(address) = resume.push {
            *stack -= size_of::<usize>() as isize;
            (*stack as *mut usize).write(address);
        }
    }
}

/// IRET serialises, in ring 3 too, and unlike CPUID never exits.
#[cfg(target_arch = "x86_64")]
fn serialize_self() {
    // SAFETY: returns to the next line, with the stack as it was. The red zone is left alone.
    unsafe {
        asm!(
            "mov {stack}, rsp",
            "sub rsp, 128",
            "mov {scratch:e}, ss",
            "push {scratch}",
            "push {stack}",
            "pushfq",
            "mov {scratch:e}, cs",
            "push {scratch}",
            "lea {scratch}, [rip + 2f]",
            "push {scratch}",
            "iretq",
            "2:",
            stack = out(reg) _,
            scratch = out(reg) _,
        );
    }
}

/// IRET serialises, in ring 3 too, and unlike CPUID never exits.
#[cfg(target_arch = "x86")]
fn serialize_self() {
    // SAFETY: returns to the next line, with the stack as it was.
    unsafe {
        asm!(
            "pushfd",
            "mov {scratch}, cs",
            "push {scratch}",
            "lea {scratch}, [2f]",
            "push {scratch}",
            "iretd",
            "2:",
            scratch = out(reg) _,
        );
    }
}
