//! Exceptions: Xen takes them, and calls the handlers that the kernel's interrupt descriptor table
//! leads to.
//!
//! Xen pushes rcx and r11 on top of the frame that hardware would have pushed, so each vector has a
//! stub that takes them off again. Xen's public/arch-x86/xen.h, `trap_info`, and
//! public/callback.h.

use core::arch::global_asm;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicUsize, Ordering};

use pvops_core::SyscallEntry;
use pvops_core::descriptor::{DescriptorTablePointer, GateDescriptor};

use super::{KERNEL_CODE, events};
use crate::error::XenError;
use crate::hypercall::{self, HypercallNumber, hypercall};

/// For the op `cpu.load_idt`.
pub(super) unsafe extern "C" fn load_idt(pointer: *const DescriptorTablePointer) {
    // SAFETY: the op's caller vouches for the pointer and the table.
    let (table, entries) = unsafe {
        let pointer = pointer.read();
        let entries = (usize::from(pointer.limit) + 1) / size_of::<GateDescriptor>();
        (pointer.base as *mut GateDescriptor, entries.min(VECTORS))
    };
    LOADED.store(table, Ordering::Relaxed);
    for vector in 0..entries {
        // SAFETY: the table has that entry.
        note_gate(vector, unsafe { table.add(vector).read() });
    }
    let mut list = [const { TrapInformation::NONE }; FIRST_INTERRUPT + 1];
    let mut count = 0;
    // A plain loop: a filter in step with the list is a chain of loops once unrolled, and LLVM takes minutes.
    for vector in 0..FIRST_INTERRUPT {
        if handler(vector as u8) != 0 {
            list[count] = TrapInformation::of(vector);
            count += 1;
        }
    }
    tell(&list);
    for vector in (FIRST_INTERRUPT..entries).filter(|&vector| is_for_programs(vector)) {
        tell(&[TrapInformation::of(vector), TrapInformation::NONE]);
    }
}

/// For the op `cpu.write_idt_entry`. A new handler holds on all CPUs at once. That there is one, and the gate's
/// privilege and kind, Xen takes from each CPU for itself: the others tell it by `load_idt`, as the op says.
pub(super) unsafe extern "C" fn write_idt_entry(
    table: *mut GateDescriptor,
    index: usize,
    gate: *const GateDescriptor,
) {
    // SAFETY: the op's caller vouches for both.
    let gate = unsafe {
        table.add(index).write(gate.read());
        gate.read()
    };
    if table == LOADED.load(Ordering::Relaxed) && index < VECTORS {
        note_gate(index, gate);
        if index < FIRST_INTERRUPT || is_for_programs(index) {
            tell(&[TrapInformation::of(index), TrapInformation::NONE]);
        }
    }
}

/// For the op `cpu.setup_syscall`.
pub(super) unsafe extern "C" fn setup_syscall(entry: *const SyscallEntry) {
    // SAFETY: the op's caller vouches for the pointer.
    let entry = unsafe { entry.read() };
    SYSCALL_HANDLER.store(entry.framed, Ordering::Relaxed);
    USER_STACK_SEGMENT.store(usize::from(entry.user_base) + 8, Ordering::Relaxed);
    USER_CODE_SEGMENT.store(usize::from(entry.user_base) + 16, Ordering::Relaxed);
    if let Err(error) = register(Callback::SYSCALL, address(&raw const xen_syscall)) {
        panic!("the entry of system calls: {error}");
    }
}

/// Has Xen call the stubs of events, of failed returns, and of non-maskable interrupts. On each CPU.
pub(super) fn start() -> Result<(), XenError> {
    register(Callback::EVENT, address(&raw const xen_event))?;
    register(Callback::FAILSAFE, address(&raw const xen_failsafe))?;
    register(
        Callback::NON_MASKABLE,
        stub(usize::from(NON_MASKABLE_VECTOR)),
    )
}

/// Addresses of the three callbacks that a CPU begins with: events, failed returns, system calls.
pub(super) fn callbacks() -> [u64; 3] {
    [
        address(&raw const xen_event) as u64,
        address(&raw const xen_failsafe) as u64,
        address(&raw const xen_syscall) as u64,
    ]
}

/// The handler of a vector; 0 if there is none.
pub(super) fn handler(vector: u8) -> usize {
    HANDLERS[usize::from(vector)].load(Ordering::Relaxed)
}

const VECTORS: usize = 256;
/// Vectors from here on come by event channels, or by INT where a program may do that.
const FIRST_INTERRUPT: usize = 32;
const NON_MASKABLE_VECTOR: u8 = 2;

/// The table that the kernel has loaded, of all CPUs.
static LOADED: AtomicPtr<GateDescriptor> = AtomicPtr::new(ptr::null_mut());
/// Where the stubs go on.
static HANDLERS: [AtomicUsize; VECTORS] = [const { AtomicUsize::new(0) }; VECTORS];
/// What Xen is told of each gate.
static FLAGS: [AtomicU8; VECTORS] = [const { AtomicU8::new(0) }; VECTORS];
static SYSCALL_HANDLER: AtomicUsize = AtomicUsize::new(0);
static USER_STACK_SEGMENT: AtomicUsize = AtomicUsize::new(0);
static USER_CODE_SEGMENT: AtomicUsize = AtomicUsize::new(0);

/// Intel SDM volume 3, figure 7-8.
fn note_gate(vector: usize, gate: GateDescriptor) {
    const PRESENT: u64 = 1 << 47;
    const INTERRUPT_GATE: u64 = 0xe;
    /// Events are masked at the entry.
    const MASK_EVENTS: u8 = 1 << 2;
    if gate.low & PRESENT == 0 {
        return;
    }
    let handler = gate.low & 0xffff | (gate.low >> 48) << 16 | gate.high << 32;
    HANDLERS[vector].store(handler as usize, Ordering::Relaxed);
    let privilege = (gate.low >> 45 & 3) as u8;
    let mask = match gate.low >> 40 & 0xf {
        INTERRUPT_GATE => MASK_EVENTS,
        _ => 0,
    };
    FLAGS[vector].store(privilege | mask, Ordering::Relaxed);
}

/// Whether programs may execute INT with the vector.
fn is_for_programs(vector: usize) -> bool {
    FLAGS[vector].load(Ordering::Relaxed) & 3 == 3
}

/// Tells Xen of the vectors in a list that ends with none. HYPERVISOR_set_trap_table.
fn tell(list: &[TrapInformation]) {
    let list = list.as_ptr().expose_provenance() as u64;
    // SAFETY: the list ends, and the stubs lead to the kernel's handlers.
    if let Err(error) = unsafe { hypercall(HypercallNumber::SET_TRAP_TABLE, [list]) } {
        panic!("the interrupt descriptor table: {error}");
    }
}

/// `struct trap_info`.
#[repr(C)]
struct TrapInformation {
    vector: u8,
    flags: u8,
    code_segment: u16,
    address: u64,
}

impl TrapInformation {
    /// The end of a list.
    const NONE: Self = TrapInformation {
        vector: 0,
        flags: 0,
        code_segment: 0,
        address: 0,
    };

    fn of(vector: usize) -> Self {
        TrapInformation {
            vector: vector as u8,
            flags: FLAGS[vector].load(Ordering::Relaxed),
            code_segment: KERNEL_CODE,
            address: stub(vector) as u64,
        }
    }
}

/// CALLBACKTYPE_ and the name.
struct Callback;

impl Callback {
    const EVENT: u16 = 0;
    const FAILSAFE: u16 = 1;
    const SYSCALL: u16 = 2;
    const NON_MASKABLE: u16 = 4;
}

/// `struct callback_register`.
#[repr(C)]
struct CallbackRegister {
    kind: u16,
    flags: u16,
    address: u64,
}

fn register(kind: u16, address: usize) -> Result<(), XenError> {
    const REGISTER: u32 = 0;
    /// CALLBACKF_mask_events.
    const MASK_EVENTS: u16 = 1;
    let mut callback = CallbackRegister {
        kind,
        flags: MASK_EVENTS,
        address: address as u64,
    };
    // SAFETY: the structure is the command's, and the stub good for that callback.
    unsafe { hypercall::command(HypercallNumber::CALLBACK_OP, REGISTER, &mut callback)? };
    Ok(())
}

fn address(symbol: *const u8) -> usize {
    symbol.addr()
}

/// The entry of a vector.
fn stub(vector: usize) -> usize {
    address(&raw const xen_trap_stubs) + vector * STUB_BYTES
}

const STUB_BYTES: usize = 16;

unsafe extern "C" {
    safe static xen_trap_stubs: u8;
    safe static xen_event: u8;
    safe static xen_failsafe: u8;
    safe static xen_syscall: u8;
}

global_asm!(
    ".pushsection .text.xen_traps, \"ax\", @progbits",
    ".balign 16",
    ".global xen_trap_stubs",
    ".type xen_trap_stubs, @function",
    "xen_trap_stubs:",
    ".set xen_vector, 0",
    ".rept 256",
    ".balign 16",
    "pop rcx",
    "pop r11",
    "jmp [rip + {handlers} + xen_vector * 8]",
    ".set xen_vector, xen_vector + 1",
    ".endr",
    ".size xen_trap_stubs, . - xen_trap_stubs",

    // An event is one of the kernel's vectors: go to its handler as if the interrupt had come by it.
    ".global xen_event",
    ".type xen_event, @function",
    "xen_event:",
    "pop rcx",
    "pop r11",
    // Room for the handler's address; with the nine registers that makes ten words on top of the
    // five of the frame, below which the stack is aligned.
    "push rax",
    "push rax",
    "push rcx",
    "push rdx",
    "push rsi",
    "push rdi",
    "push r8",
    "push r9",
    "push r10",
    "push r11",
    "sub rsp, 8",
    "cld",
    "call {next}",
    "add rsp, 8",
    "mov [rsp + 72], rax",
    "test rax, rax",
    "pop r11",
    "pop r10",
    "pop r9",
    "pop r8",
    "pop rdi",
    "pop rsi",
    "pop rdx",
    "pop rcx",
    "pop rax",
    "jz 2f",
    "ret",
    // Nothing has come after all.
    "2: add rsp, 8",
    // Back, as `exits` does.
    "xen_back:",
    "push 0",
    "push rcx",
    "push r11",
    "push rax",
    "mov eax, 23",
    "syscall",
    ".size xen_event, . - xen_event",

    // Xen could not load a segment register, whose segment is gone, when it switched to this CPU: it has
    // made the selector 0. Hardware would not have looked until the register is loaded again, so go on.
    // Where all four are as they were, the return failed: what hardware would make a #GP.
    ".global xen_failsafe",
    ".type xen_failsafe, @function",
    "xen_failsafe:",
    "mov ecx, ds",
    "cmp cx, [rsp + 16]",
    "jne 3f",
    "mov ecx, es",
    "cmp cx, [rsp + 24]",
    "jne 3f",
    "mov ecx, fs",
    "cmp cx, [rsp + 32]",
    "jne 3f",
    "mov ecx, gs",
    "cmp cx, [rsp + 40]",
    "3: pop rcx",
    "pop r11",
    "lea rsp, [rsp + 32]",
    "jne xen_back",
    "push 0",
    "jmp [rip + {handlers} + 13 * 8]",
    ".size xen_failsafe, . - xen_failsafe",

    // The frame has selectors that are Xen's.
    ".global xen_syscall",
    ".type xen_syscall, @function",
    "xen_syscall:",
    "mov rcx, [rip + {user_code}]",
    "mov r11, [rip + {user_stack}]",
    "mov [rsp + 24], rcx",
    "mov [rsp + 48], r11",
    "pop rcx",
    "pop r11",
    "jmp [rip + {syscall}]",
    ".size xen_syscall, . - xen_syscall",
    ".popsection",
    handlers = sym HANDLERS,
    next = sym events::next_handler,
    user_code = sym USER_CODE_SEGMENT,
    user_stack = sym USER_STACK_SEGMENT,
    syscall = sym SYSCALL_HANDLER,
);
