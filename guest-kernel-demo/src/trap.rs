//! Exceptions and interrupts: the stubs, the table, and who handles what.

use core::arch::global_asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use pvops_core::descriptor::DescriptorTablePointer;
use pvops_core::{apic, cpu, extable, live, mmu, smp};

use crate::console::println;
use crate::gdt::{DOUBLE_FAULT_STACK, KERNEL_CODE};
use crate::per_cpu::{self, MAX_CPUS};
use crate::{demand, exit};

/// Vector of this CPU's event timer.
pub(crate) const TIMER_VECTOR: u8 = 0x40;
/// Vector of an interrupt that the CPU sends itself.
pub(crate) const SELF_VECTOR: u8 = 0x41;
/// Vector that wakes a CPU for work.
pub(crate) const WORK_VECTOR: u8 = 0x42;
/// Vector that the library sends from CPU to CPU.
pub(crate) const LIBRARY_VECTOR: u8 = 0x43;
/// Vector of spurious interrupts; the low four bits are ones on old CPUs.
pub(crate) const SPURIOUS_VECTOR: u8 = 0xff;

const BREAKPOINT: u64 = 3;
const GENERAL_PROTECTION: u64 = 13;
const PAGE_FAULT: u64 = 14;
const DOUBLE_FAULT: usize = 8;
const FIRST_INTERRUPT: u64 = 32;

/// How often a vector has come to this CPU.
pub(crate) fn count(vector: u8) -> u64 {
    count_on(per_cpu::index(), vector)
}

/// How often a vector has come to a CPU.
pub(crate) fn count_on(cpu: usize, vector: u8) -> u64 {
    COUNTS[cpu][usize::from(vector)].load(Ordering::Relaxed)
}

/// Address and error code of the last page fault that the exception table took care of.
pub(crate) fn last_page_fault() -> (usize, u64) {
    (
        FAULT_ADDRESS.load(Ordering::Relaxed),
        FAULT_ERROR.load(Ordering::Relaxed),
    )
}

/// Makes the interrupt descriptor table, which all CPUs share.
///
/// # Safety
///
/// Once, on the boot CPU, before anybody [loads](load) it.
pub(crate) unsafe fn prepare() {
    // SAFETY: nobody else runs, and the table stays where it is for good.
    unsafe {
        for vector in 0..VECTORS {
            let stub = match vector as u64 {
                BREAKPOINT => (&raw const breakpoint_stub).addr(),
                _ => trap_stubs.as_ptr().addr() + vector * STUB_BYTES,
            };
            let stack = if vector == DOUBLE_FAULT {
                DOUBLE_FAULT_STACK
            } else {
                0
            };
            let gate = Gate::new(stub, stack);
            cpu::write_idt_entry(GATES.0.get().cast(), vector, (&raw const gate).cast());
        }
    }
}

/// Loads the interrupt descriptor table.
///
/// # Safety
///
/// Once on each CPU, interrupts off, after [`gdt::load`](crate::gdt::load) and
/// [`per_cpu::load`].
pub(crate) unsafe fn load() {
    // SAFETY: the table was made, and stays where it is for good.
    unsafe {
        let limit = size_of::<[Gate; VECTORS]>() as u16 - 1;
        cpu::load_idt(&DescriptorTablePointer {
            limit,
            base: GATES.0.get().addr(),
        });
    }
}

/// What the stubs leave on the stack.
#[repr(C)]
struct Frame {
    registers: [u64; 15],
    vector: u64,
    error: u64,
    rip: u64,
    cs: u64,
    flags: u64,
    rsp: u64,
    ss: u64,
}

extern "C" fn trap(frame: &mut Frame) {
    COUNTS[per_cpu::index()][frame.vector as usize & 0xff].fetch_add(1, Ordering::Relaxed);
    match frame.vector {
        BREAKPOINT => breakpoint(frame),
        PAGE_FAULT => page_fault(frame),
        GENERAL_PROTECTION => resume(frame),
        FIRST_INTERRUPT.. => {
            if frame.vector == u64::from(LIBRARY_VECTOR) {
                smp::handle_ipi();
            }
            if frame.vector != u64::from(SPURIOUS_VECTOR) {
                apic::eoi();
            }
        }
        _ => fatal(frame),
    }
}

/// An INT3 that live patching has put into a call site; of others it is enough that they are counted.
fn breakpoint(frame: &mut Frame) {
    let user = frame.cs & 3 != 0;
    // SAFETY: the kernel's own code raised the exception.
    let Some(resume) = (!user)
        .then(|| unsafe { live::breakpoint(frame.rip as usize) })
        .flatten()
    else {
        return;
    };
    frame.rip = resume.rip as u64;
    if let Some(address) = resume.push {
        frame.rsp -= size_of::<usize>() as u64;
        // SAFETY: `breakpoint_stub` has moved the frame away from there.
        unsafe { (frame.rsp as *mut usize).write(address) };
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
    match extable::fixup(frame.rip as usize) {
        Some(address) => frame.rip = address as u64,
        None => fatal(frame),
    }
}

fn fatal(frame: &Frame) -> ! {
    println!(
        "exception {} at {:#x}, error {:#x}, cr2 {:#x}, rsp {:#x}, flags {:#x}",
        frame.vector,
        frame.rip,
        frame.error,
        mmu::read_cr2(),
        frame.rsp,
        frame.flags,
    );
    exit::fail();
}

const VECTORS: usize = 256;
const STUB_BYTES: usize = 16;

static COUNTS: [[AtomicU64; VECTORS]; MAX_CPUS] =
    [const { [const { AtomicU64::new(0) }; VECTORS] }; MAX_CPUS];
static FAULT_ADDRESS: AtomicUsize = AtomicUsize::new(0);
static FAULT_ERROR: AtomicU64 = AtomicU64::new(0);

/// Intel SDM volume 3, figure 7-8: a 64-bit interrupt gate.
#[derive(Clone, Copy)]
#[repr(C)]
struct Gate {
    offset_low: u16,
    selector: u16,
    stack: u8,
    kind: u8,
    offset_middle: u16,
    offset_high: u32,
    reserved: u32,
}

impl Gate {
    const fn new(handler: usize, stack: u8) -> Self {
        Gate {
            offset_low: handler as u16,
            selector: KERNEL_CODE,
            stack,
            // Present, interrupt gate.
            kind: 0x8e,
            offset_middle: (handler >> 16) as u16,
            offset_high: (handler >> 32) as u32,
            reserved: 0,
        }
    }
}

#[repr(align(16))]
struct Gates(UnsafeCell<[Gate; VECTORS]>);

// SAFETY: written once, by `prepare`; afterwards only CPUs look at it.
unsafe impl Sync for Gates {}

static GATES: Gates = Gates(UnsafeCell::new([Gate::new(0, 0); VECTORS]));

unsafe extern "C" {
    safe static trap_stubs: [u8; VECTORS * STUB_BYTES];
    safe static breakpoint_stub: u8;
}

global_asm!(
    ".pushsection .text.trap, \"ax\", @progbits",
    ".balign 16",
    ".global trap_stubs",
    ".type trap_stubs, @function",
    "trap_stubs:",
    ".set trap_vector, 0",
    ".rept 256",
    ".balign 16",
    // These push an error code themselves: Intel SDM volume 3, table 7-1.
    ".if (trap_vector != 8) && ((trap_vector < 10) || (trap_vector > 14)) && (trap_vector != 17) \
      && (trap_vector != 21)",
    "pushq $0",
    ".endif",
    "pushq $trap_vector",
    "jmp trap_common",
    ".set trap_vector, trap_vector + 1",
    ".endr",
    ".size trap_stubs, . - trap_stubs",
    // Copies the CPU's frame down by 48 bytes, so that there is room to push an address onto the
    // interrupted stack; a multiple of 16, as the CPU has aligned the stack.
    ".global breakpoint_stub",
    ".type breakpoint_stub, @function",
    "breakpoint_stub:",
    "pushq $0",
    ".rept 5",
    "pushq 40(%rsp)",
    ".endr",
    "pushq $0",
    "pushq $3",
    "jmp trap_common",
    ".size breakpoint_stub, . - breakpoint_stub",
    ".type trap_common, @function",
    "trap_common:",
    "cld",
    "pushq %rax",
    "pushq %rbx",
    "pushq %rcx",
    "pushq %rdx",
    "pushq %rsi",
    "pushq %rdi",
    "pushq %rbp",
    "pushq %r8",
    "pushq %r9",
    "pushq %r10",
    "pushq %r11",
    "pushq %r12",
    "pushq %r13",
    "pushq %r14",
    "pushq %r15",
    "movq %rsp, %rdi",
    // The CPU aligned the stack before it pushed five words; with ours that makes 22.
    "call {trap}",
    "popq %r15",
    "popq %r14",
    "popq %r13",
    "popq %r12",
    "popq %r11",
    "popq %r10",
    "popq %r9",
    "popq %r8",
    "popq %rbp",
    "popq %rdi",
    "popq %rsi",
    "popq %rdx",
    "popq %rcx",
    "popq %rbx",
    "popq %rax",
    "addq $16, %rsp",
    "iretq",
    ".size trap_common, . - trap_common",
    ".popsection",
    trap = sym trap,
    options(att_syntax),
);
