//! Exceptions and interrupts: who handles what.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use pvops_backend_kvm::async_page_fault;
use pvops_backend_xen::event_channel;
use pvops_core::{apic, extable, live, mmu, smp};

use crate::console::println;
use crate::frame::Frame;
use crate::per_cpu::{self, MAX_CPUS};
use crate::{bench, cpus, demand, exit, interrupts, scheduler};

/// Vectors that there are.
pub(crate) const VECTORS: usize = 256;
/// Vector of this CPU's event timer.
pub(crate) const TIMER_VECTOR: u8 = 0x40;
/// Vector of an interrupt that the CPU sends itself.
pub(crate) const SELF_VECTOR: u8 = 0x41;
/// Vector that wakes a CPU for work.
pub(crate) const WORK_VECTOR: u8 = 0x42;
/// Vector that the library sends from CPU to CPU.
pub(crate) const LIBRARY_VECTOR: u8 = 0x43;
/// Vector by which KVM says that a page is there.
pub(crate) const PAGE_READY_VECTOR: u8 = 0x44;
/// Vector by which Xen says that there are events.
pub(crate) const EVENT_VECTOR: u8 = 0x45;
/// Vector of interrupts whose end is measured.
pub(crate) const END_VECTOR: u8 = 0x46;
/// Vector that stops a CPU where it is; above that of events.
pub(crate) const STOP_VECTOR: u8 = 0x47;
/// Vector of spurious interrupts; the low four bits are ones on old CPUs.
pub(crate) const SPURIOUS_VECTOR: u8 = 0xff;

/// Vector of non-maskable interrupts.
pub(crate) const NON_MASKABLE: usize = 2;
const BREAKPOINT: usize = 3;
const INVALID_OPCODE: usize = 6;
const GENERAL_PROTECTION: usize = 13;
const PAGE_FAULT: usize = 14;
const FIRST_INTERRUPT: usize = 32;

/// How often a vector has come to this CPU.
pub(crate) fn count(vector: u8) -> u64 {
    count_on(per_cpu::index(), vector)
}

/// How often a vector has come to a CPU.
pub(crate) fn count_on(cpu: usize, vector: u8) -> u64 {
    COUNTS[cpu][usize::from(vector)].load(Ordering::Relaxed)
}

/// Address and error code of the last page fault that the exception table took care of.
pub(crate) fn last_page_fault() -> (usize, usize) {
    (
        FAULT_ADDRESS.load(Ordering::Relaxed),
        FAULT_ERROR.load(Ordering::Relaxed),
    )
}

/// How often a program has waited for the host to fetch a page.
pub(crate) fn fetched_pages() -> u64 {
    FETCHED_PAGES.load(Ordering::Relaxed)
}

/// All interrupts and exceptions come here, interrupts off.
pub(crate) extern "C" fn trap(frame: &mut Frame) {
    COUNTS[per_cpu::index()][frame.vector & 0xff].fetch_add(1, Ordering::Relaxed);
    if frame.vector == NON_MASKABLE {
        // Only the self-test sends one. It can come anywhere, so that there is not much to be done.
        return;
    }
    if frame.vector >= FIRST_INTERRUPT {
        interrupt(frame.vector as u8);
    } else if frame.is_user() {
        user_exception(frame);
    } else {
        exception(frame);
    }
    if frame.is_user() {
        scheduler::preempt();
    }
}

fn interrupt(vector: u8) {
    match vector {
        SPURIOUS_VECTOR => return,
        EVENT_VECTOR => return event_channel::handle_upcall(),
        END_VECTOR => return bench::end_of_interrupt(),
        LIBRARY_VECTOR => smp::handle_ipi(),
        TIMER_VECTOR => {
            interrupts::event_came();
            scheduler::time_is_over();
        }
        PAGE_READY_VECTOR => page_is_ready(),
        STOP_VECTOR => {
            apic::eoi();
            cpus::go_off(0);
        }
        _ => {}
    }
    apic::eoi();
}

/// A program goes on if it only wants memory that it may have.
fn user_exception(frame: &Frame) {
    let repaired = frame.vector == PAGE_FAULT && user_page_fault(mmu::read_cr2(), frame.error);
    if !repaired {
        scheduler::exit(scheduler::KILLED | frame.vector as u64);
    }
}

/// The host's faults are none of the program's: others run until the page is there.
fn user_page_fault(cr2: usize, error: usize) -> bool {
    let Some(token) = async_page_fault::take_fault(cr2) else {
        return scheduler::page_fault(cr2, error);
    };
    let waited = scheduler::wait_for_page(token);
    FETCHED_PAGES.fetch_add(u64::from(waited), Ordering::Relaxed);
    true
}

fn page_is_ready() {
    if async_page_fault::handle_ready().is_some() {
        scheduler::wake_page_waiters();
    }
}

fn exception(frame: &mut Frame) {
    match frame.vector {
        BREAKPOINT => breakpoint(frame),
        PAGE_FAULT => page_fault(frame),
        GENERAL_PROTECTION | INVALID_OPCODE => resume(frame),
        _ => fatal(frame),
    }
}

/// An INT3 that live patching has put into a call site; of others it is enough that they are counted.
fn breakpoint(frame: &mut Frame) {
    // SAFETY: the kernel's own code raised the exception.
    let Some(resume) = (unsafe { live::breakpoint(frame.instruction_pointer()) }) else {
        return;
    };
    frame.set_instruction_pointer(resume.rip);
    if let Some(address) = resume.push {
        // SAFETY: this is a breakpoint, in the kernel.
        unsafe { frame.push(address) };
    }
}

fn page_fault(frame: &mut Frame) {
    let address = mmu::read_cr2();
    if demand::page_in(address) {
        return;
    }
    FAULT_ADDRESS.store(address, Ordering::Relaxed);
    FAULT_ERROR.store(frame.error, Ordering::Relaxed);
    resume(frame);
}

/// Goes on where the exception table says.
fn resume(frame: &mut Frame) {
    match extable::fixup(frame.instruction_pointer()) {
        Some(address) => frame.set_instruction_pointer(address),
        None => fatal(frame),
    }
}

fn fatal(frame: &Frame) -> ! {
    println!(
        "exception {} at {:#x}, error {:#x}, cr2 {:#x}, stack {:#x}, flags {:#x}",
        frame.vector,
        frame.instruction_pointer(),
        frame.error,
        mmu::read_cr2(),
        frame.stack_pointer(),
        frame.flags(),
    );
    exit::fail();
}

static COUNTS: [[AtomicU64; VECTORS]; MAX_CPUS] =
    [const { [const { AtomicU64::new(0) }; VECTORS] }; MAX_CPUS];
static FETCHED_PAGES: AtomicU64 = AtomicU64::new(0);
static FAULT_ADDRESS: AtomicUsize = AtomicUsize::new(0);
static FAULT_ERROR: AtomicUsize = AtomicUsize::new(0);
