//! Segments and the task state segment of each CPU.

use core::arch::asm;
use core::cell::UnsafeCell;

use pvops_core::cpu;
use pvops_core::descriptor::DescriptorTablePointer;

use crate::per_cpu::MAX_CPUS;

/// Selector of the kernel's code segment.
pub(crate) const KERNEL_CODE: u16 = 0x08;
const KERNEL_DATA: u16 = 0x10;
const TASK: u16 = 0x18;

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
        // Null, 64-bit code, data. All is written here, so that the tables take no room in the image.
        (*cell).descriptors[1] = 0x00af_9b00_0000_ffff;
        (*cell).descriptors[2] = 0x00cf_9300_0000_ffff;
        (*cell).descriptors[3] =
            limit | (task & 0xff_ffff) << 16 | 0x89 << 40 | (task >> 24 & 0xff) << 56;
        (*cell).descriptors[4] = task >> 32;
        let pointer = DescriptorTablePointer {
            limit: size_of::<[u64; 5]>() as u16 - 1,
            base: (&raw const (*cell).descriptors).addr(),
        };
        cpu::load_gdt(&raw const pointer);
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
            code = const KERNEL_CODE,
            next = out(reg) _,
            data = in(reg) u32::from(KERNEL_DATA),
            zero = in(reg) 0,
        );
        cpu::load_task_register(u32::from(TASK));
    }
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

#[repr(C, align(16))]
struct Tables {
    double_fault_stack: Stack,
    task: TaskState,
    descriptors: [u64; 5],
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
            descriptors: [0, 0, 0, 0, 0],
        }))
    }
}
