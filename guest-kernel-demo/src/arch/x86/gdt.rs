//! Segments and the task state segments of each CPU: one for the stack of entries from programs, one for
//! double faults, which take a task of their own, as the stack may be what has failed.

use core::arch::asm;
use core::cell::UnsafeCell;

use pvops_core::descriptor::DescriptorTablePointer;
use pvops_core::{cpu, mmu};

use crate::console::println;
use crate::exit;
use crate::per_cpu::{self, MAX_CPUS};

/// Selector of the kernel's code segment. The order of the first four is SYSENTER's and SYSEXIT's.
pub(crate) const KERNEL_CODE: u16 = 0x08;
/// Selector of the kernel's data segment, which is also that of its stacks.
pub(crate) const KERNEL_DATA: u16 = 0x10;
/// Selector of the programs' code segment.
pub(crate) const USER_CODE: u16 = 0x18 | 3;
/// Selector of the programs' data segment.
pub(crate) const USER_DATA: u16 = 0x20 | 3;
/// Selector of the task state segment.
pub(crate) const TASK: u16 = 0x28;
/// Selector of the segment of what is the CPU's own.
pub(super) const PER_CPU: u16 = 0x30;
/// Selector of the task for double faults.
pub(super) const DOUBLE_FAULT: u16 = 0x38;
/// Selector of a program's own segment. It has two more entries behind it.
pub(super) const PROGRAM: u16 = 0x40 | 3;

/// Null, and those above.
const ENTRIES: usize = 11;

/// Loads the segments and the task register of a CPU.
///
/// # Safety
///
/// Once on each CPU, with its own number, interrupts off.
pub(crate) unsafe fn load(cpu: usize) {
    // SAFETY: the tables and the stack are this CPU's, and stay where they are for good.
    unsafe {
        let cell = TABLES[cpu].0.get();
        let stack = (&raw const (*cell).double_fault_stack).addr() + size_of::<Stack>();
        (*cell).task = [0; TASK_WORDS];
        (*cell).task[SS0] = KERNEL_DATA.into();
        // Beyond the limit: no I/O map.
        (*cell).task[IO_MAP] = (size_of::<Task>() as u32) << 16;
        let double_fault = &mut (*cell).double_fault;
        *double_fault = (*cell).task;
        // The tables in use now have the kernel, and stay.
        double_fault[CR3] = mmu::read_cr3() as u32;
        double_fault[EIP] = double_fault_entry as *const () as u32;
        double_fault[FLAGS] = 1 << 1;
        // A return address, and the alignment that a call leaves.
        double_fault[ESP] = stack as u32 - 4;
        double_fault[CS] = KERNEL_CODE.into();
        for segment in [ES, SS, DS] {
            double_fault[segment] = KERNEL_DATA.into();
        }
        double_fault[FS] = PER_CPU.into();
        // All is written here, so that the tables take no room in the image.
        (*cell).descriptors = [
            0,
            0x00cf_9b00_0000_ffff,
            data(0, 0),
            0x00cf_fb00_0000_ffff,
            data(0, 3),
            task_descriptor(&raw const (*cell).task),
            0,
            task_descriptor(&raw const (*cell).double_fault),
            0,
            0,
            0,
        ];
        let pointer = pointer_of(cpu);
        cpu::load_gdt(&raw const pointer);
        asm!(
            "push {code}",
            "lea {next}, [2f]",
            "push {next}",
            "retf",
            "2:",
            "mov ds, {data:e}",
            "mov es, {data:e}",
            "mov ss, {data:e}",
            "mov fs, {zero:e}",
            "mov gs, {zero:e}",
            code = in(reg) u32::from(KERNEL_CODE),
            next = out(reg) _,
            data = in(reg) u32::from(KERNEL_DATA),
            zero = in(reg) 0,
        );
        cpu::load_task_register(TASK);
    }
}

/// Loads the task register of this CPU again, where a hypervisor has restored it.
///
/// On the task register of a CPU the hypervisor sets the busy bit, which it has on a real one. QEMU's TCG has
/// it clear, and ends by "invalid tss type" where an interrupt meets it in a program.
///
/// # Safety
///
/// After [`load`], with interrupts off.
pub(crate) unsafe fn reload_task_register() {
    let index = per_cpu::index();
    // SAFETY: the entry is in the CPU's table, for a segment of its own, which is not busy then.
    unsafe {
        let task = task_descriptor(&raw const (*TABLES[index].0.get()).task);
        cpu::write_gdt_entry(table(index), usize::from(TASK) / 8, task);
        cpu::load_task_register(TASK);
    }
}

/// The descriptor table that this CPU has loaded.
pub(crate) fn pointer() -> DescriptorTablePointer {
    pointer_of(per_cpu::index())
}

/// Sets the stack that this CPU takes when it comes from a program.
///
/// # Safety
///
/// `stack` is the end of a stack that nobody uses meanwhile; interrupts off.
pub(crate) unsafe fn set_kernel_stack(stack: usize) {
    let cell = TABLES[per_cpu::index()].0.get();
    // SAFETY: the segment is this CPU's.
    unsafe { cpu::load_kernel_stack((&raw mut (*cell).task[ESP0]).cast(), stack) };
}

/// The descriptors of a CPU.
pub(super) fn table(cpu: usize) -> *mut u64 {
    // SAFETY: the tables are there; nothing is read.
    unsafe { (&raw mut (*TABLES[cpu].0.get()).descriptors).cast() }
}

/// A flat, writable data segment of a ring. Intel SDM volume 3, figure 3-8.
pub(super) fn data(base: usize, ring: u64) -> u64 {
    let base = base as u64;
    0x00cf_9300_0000_ffff | ring << 45 | (base & 0xff_ffff) << 16 | (base >> 24) << 56
}

/// The top of the few words that a system call by SYSENTER begins on; ESP0 is 4 behind it.
pub(super) fn entry_stack(cpu: usize) -> usize {
    // SAFETY: as for `table`.
    unsafe { (&raw const (*TABLES[cpu].0.get()).task).addr() }
}

/// Where ESP0 is in a task state segment.
pub(super) const ESP0_OFFSET: usize = ESP0 * 4;

fn pointer_of(cpu: usize) -> DescriptorTablePointer {
    DescriptorTablePointer {
        limit: size_of::<[u64; ENTRIES]>() as u16 - 1,
        base: table(cpu).addr(),
    }
}

fn task_descriptor(task: *const Task) -> u64 {
    let base = task.addr() as u64;
    let limit = size_of::<Task>() as u64 - 1;
    limit | (base & 0xff_ffff) << 16 | 0x89 << 40 | (base >> 24) << 56
}

/// Where a double fault leads: what has failed is in the CPU's other task.
extern "C" fn double_fault_entry() -> ! {
    // SAFETY: the CPU has written the segment when it left that task.
    let task = unsafe { (*TABLES[per_cpu::index()].0.get()).task };
    println!(
        "double fault at {:#x}, stack {:#x}, cr2 {:#x}",
        task[EIP],
        task[ESP],
        mmu::read_cr2(),
    );
    exit::fail()
}

#[repr(C, align(16))]
struct Stack([u8; 8192]);

/// Intel SDM volume 3, figure 9-2, in words of four bytes.
type Task = [u32; TASK_WORDS];

const TASK_WORDS: usize = 26;
const ESP0: usize = 1;
const SS0: usize = 2;
const CR3: usize = 7;
const EIP: usize = 8;
const FLAGS: usize = 9;
const ESP: usize = 14;
const ES: usize = 18;
const CS: usize = 19;
const SS: usize = 20;
const DS: usize = 21;
const FS: usize = 22;
const IO_MAP: usize = 25;

#[repr(C, align(16))]
struct Tables {
    double_fault_stack: Stack,
    /// SYSENTER's stack, for the one frame that a trap before its first instruction takes.
    entry_stack: [u32; 64],
    task: Task,
    double_fault: Task,
    descriptors: [u64; ENTRIES],
}

struct TablesCell(UnsafeCell<Tables>);

// SAFETY: written once, by `load` on the CPU it belongs to; afterwards only that CPU looks at it.
unsafe impl Sync for TablesCell {}

static TABLES: [TablesCell; MAX_CPUS] = [const { TablesCell::new() }; MAX_CPUS];

impl TablesCell {
    const fn new() -> Self {
        TablesCell(UnsafeCell::new(Tables {
            double_fault_stack: Stack([0; 8192]),
            entry_stack: [0; 64],
            task: [0; TASK_WORDS],
            double_fault: [0; TASK_WORDS],
            descriptors: [0; ENTRIES],
        }))
    }
}
