//! Segments and the task state segment of each CPU.

use core::arch::asm;
use core::cell::UnsafeCell;

use pvops_core::cpu;
use pvops_core::descriptor::DescriptorTablePointer;

use crate::per_cpu::{self, MAX_CPUS};

/// Selector of the kernel's code segment.
pub(crate) const KERNEL_CODE: u16 = 0x08;
/// Selector of the kernel's data segment, which is also that of its stacks.
pub(crate) const KERNEL_DATA: u16 = 0x10;
/// Selector of the programs' data segment.
pub(crate) const USER_DATA: u16 = 0x18 | 3;
/// Selector of the programs' code segment.
pub(crate) const USER_CODE: u16 = 0x20 | 3;
/// Selector of the task state segment.
pub(crate) const TASK: u16 = 0x28;

/// Which of the task state segment's interrupt stacks a double fault takes.
pub(crate) const DOUBLE_FAULT_STACK: u8 = 1;

/// Loads the segments and the task register of a CPU. Afterwards the base of GS is 0.
///
/// # Safety
///
/// Once on each CPU, with its own number, interrupts off.
pub(crate) unsafe fn load(cpu: usize) {
    // SAFETY: the tables and the stack are this CPU's, and stay where they are for good.
    unsafe {
        let cell = TABLES[cpu].0.get();
        let stack = (&raw const (*cell).double_fault_stack).addr() + size_of::<Stack>();
        (&raw mut (*cell).task.interrupt_stacks[usize::from(DOUBLE_FAULT_STACK) - 1])
            .write_unaligned(stack as u64);
        // Beyond the limit: no I/O map.
        (&raw mut (*cell).task.io_map_base).write_unaligned(size_of::<TaskState>() as u16);
        let task = (&raw const (*cell).task).addr() as u64;
        // A 64-bit TSS descriptor takes two entries. Intel SDM volume 3, figure 9-4.
        let limit = size_of::<TaskState>() as u64 - 1;
        // All is written here, so that the tables take no room in the image. The order is SYSRET's.
        (*cell).descriptors = [
            0,
            0x00af_9b00_0000_ffff,
            0x00cf_9300_0000_ffff,
            0x00cf_f300_0000_ffff,
            0x00af_fb00_0000_ffff,
            limit | (task & 0xff_ffff) << 16 | 0x89 << 40 | (task >> 24 & 0xff) << 56,
            task >> 32,
        ];
        let pointer = DescriptorTablePointer {
            limit: size_of::<[u64; ENTRIES]>() as u16 - 1,
            base: (&raw const (*cell).descriptors).addr(),
        };
        cpu::load_gdt(&raw const pointer);
        // The kernel need not be in ring 0, and the selectors' low two bits are the ring.
        let ring: u32;
        asm!("mov {:e}, cs", out(reg) ring, options(nomem, nostack, preserves_flags));
        let ring = ring & 3;
        asm!(
            "push {code}",
            "lea {next}, [rip + 2f]",
            "push {next}",
            "retfq",
            "2:",
            "mov ds, {data:e}",
            "mov es, {data:e}",
            "mov ss, {data:e}",
            "mov fs, {zero:e}",
            "mov gs, {zero:e}",
            code = in(reg) u64::from(u32::from(KERNEL_CODE) | ring),
            next = out(reg) _,
            data = in(reg) u32::from(KERNEL_DATA) | ring,
            zero = in(reg) 0,
        );
        cpu::load_task_register(TASK);
    }
}

/// The descriptor table that this CPU has loaded.
pub(crate) fn pointer() -> DescriptorTablePointer {
    let cell = TABLES[per_cpu::index()].0.get();
    DescriptorTablePointer {
        limit: size_of::<[u64; ENTRIES]>() as u16 - 1,
        // SAFETY: the tables are there; nothing is read.
        base: unsafe { (&raw const (*cell).descriptors).addr() },
    }
}

/// Sets the stack that this CPU takes when it comes from a program.
///
/// # Safety
///
/// `stack` is the end of a stack that nobody uses meanwhile; interrupts off.
pub(crate) unsafe fn set_kernel_stack(stack: usize) {
    let cell = TABLES[per_cpu::index()].0.get();
    // SAFETY: the segment is this CPU's.
    unsafe { cpu::load_kernel_stack((&raw mut (*cell).task.privilege_stacks).cast(), stack) };
}

#[repr(C, align(16))]
struct Stack([u8; 8192]);

/// Intel SDM volume 3, figure 9-11.
#[repr(C, packed(4))]
struct TaskState {
    reserved_0: u32,
    privilege_stacks: [u64; 3],
    reserved_1: u64,
    interrupt_stacks: [u64; 7],
    reserved_2: u64,
    reserved_3: u16,
    io_map_base: u16,
}

const _: () = assert!(size_of::<TaskState>() == 104);

/// Null, four segments, and two for the task state segment.
const ENTRIES: usize = 7;

#[repr(C, align(16))]
struct Tables {
    double_fault_stack: Stack,
    task: TaskState,
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
            task: TaskState {
                reserved_0: 0,
                privilege_stacks: [0; 3],
                reserved_1: 0,
                interrupt_stacks: [0; 7],
                reserved_2: 0,
                reserved_3: 0,
                io_map_base: 0,
            },
            descriptors: [0; ENTRIES],
        }))
    }
}
