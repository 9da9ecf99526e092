//! Calls of the host, heard.

use core::arch::naked_asm;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pvops_core::binding::Binding;
use pvops_core::{Bindings, Op, op};
use spin::Mutex;

use super::frames::{self, InFrame};
use super::structures::{MAX_WORDS, Structure};
use super::text::{self, note};

/// The op bound to what is bound already, with a line besides.
pub(super) fn over(bindings: &Bindings) -> Binding<op::system::hypercall> {
    let number = usize::from(op::system::hypercall::NUMBER.0);
    let target = bindings.as_slice()[number].target();
    INSTRUCTION.store(target, Ordering::Relaxed);
    // SAFETY: the thunk calls what was bound with the registers that it finds, and keeps those that come
    // back.
    unsafe { Binding::hypercall(thunk) }
}

/// Says that calls are Xen's, with arguments in other registers than KVM's, and structures.
pub(super) fn are_xens() {
    IS_XEN.store(true, Ordering::Relaxed);
}

static IS_XEN: AtomicBool = AtomicBool::new(false);

/// The function that has the instruction.
static INSTRUCTION: AtomicUsize = AtomicUsize::new(0);

/// What a call finds in the registers.
#[repr(C)]
struct Registers {
    rax: u64,
    rbx: u64,
    rcx: u64,
    rdx: u64,
    rsi: u64,
    rdi: u64,
    r8: u64,
    r9: u64,
    r10: u64,
    r11: u64,
}

impl Registers {
    /// The arguments by their registers' names: Xen's calls have five, KVM's four.
    fn arguments(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let (names, values): (&'static [_], _) = match IS_XEN.load(Ordering::Relaxed) {
            true => (
                &["rdi", "rsi", "rdx", "r10", "r8"],
                [self.rdi, self.rsi, self.rdx, self.r10, self.r8],
            ),
            false => (
                &["rbx", "rcx", "rdx", "rsi"],
                [self.rbx, self.rcx, self.rdx, self.rsi, 0],
            ),
        };
        names.iter().copied().zip(values)
    }

    /// What the call leads to. KVM's lead to shared frames only.
    fn structure(&self) -> Option<Structure> {
        match IS_XEN.load(Ordering::Relaxed) {
            true => Structure::of(self.rax, self.rdi),
            false => None,
        }
    }

    /// What is there now; zeros if it leads to nothing.
    fn read_structure(&self) -> [u64; MAX_WORDS] {
        let Some(structure) = self.structure() else {
            return [0; MAX_WORDS];
        };
        let address = self
            .arguments()
            .find(|(name, _)| *name == structure.register);
        // SAFETY: the caller of Xen has the structure there until the call returns.
        address.map_or([0; MAX_WORDS], |(_, address)| unsafe {
            structure.read(address)
        })
    }
}

/// A call, with its structure as it was before.
struct Question<'a>(&'a Registers, [u64; MAX_WORDS]);

impl fmt::Display for Question<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Question(registers, words) = self;
        write!(formatter, "hypercall {:#x}", registers.rax)?;
        let structure = registers.structure();
        for (name, value) in registers.arguments() {
            match structure.filter(|structure| structure.register == name) {
                None => write!(formatter, " {name}={}", InFrame(value))?,
                Some(structure) => {
                    write!(formatter, " {name}=&{}", InFrame(words[0]))?;
                    for &word in &words[1..structure.word_count] {
                        write!(formatter, ",{}", InFrame(word))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The structure of the call that is being made, before it. One CPU runs.
static BEFORE: Mutex<[u64; MAX_WORDS]> = Mutex::new([0; MAX_WORDS]);

extern "C" fn before(question: &Registers) {
    if !text::is_printed() {
        *BEFORE.lock() = question.read_structure();
        frames::look();
    }
}

/// Notes the call, and what the host has written.
extern "C" fn after(question: &Registers, result: u64) {
    if text::is_printed() {
        return;
    }
    let before = *BEFORE.lock();
    note(format_args!("{} = {result:#x}", Question(question, before)));
    if let Some(Structure { register, .. }) = question.structure() {
        let changes = before.iter().zip(question.read_structure()).enumerate();
        for (index, (_, word)) in changes.filter(|(_, (before, word))| *before != word) {
            let offset = index * size_of::<u64>();
            // The bytes as they are in memory.
            let bytes = word.swap_bytes();
            note(format_args!("memory {register}+{offset:#x} {bytes:016x}"));
        }
    }
    frames::note();
}

#[unsafe(naked)]
unsafe extern "C" fn thunk() {
    naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "push r11",
        "push r10",
        "push r9",
        "push r8",
        "push rdi",
        "push rsi",
        "push rdx",
        "push rcx",
        "push rbx",
        "push rax",
        "and rsp, -16",
        "lea rdi, [rbp - 80]",
        "call {before}",
        "mov rax, [rbp - 80]",
        "mov rcx, [rbp - 64]",
        "mov rdx, [rbp - 56]",
        "mov rsi, [rbp - 48]",
        "mov rdi, [rbp - 40]",
        "mov r8, [rbp - 32]",
        "mov r9, [rbp - 24]",
        "mov r10, [rbp - 16]",
        "mov r11, [rbp - 8]",
        "call [rip + {instruction}]",
        "push r11",
        "push r10",
        "push r9",
        "push r8",
        "push rdi",
        "push rsi",
        "push rdx",
        "push rcx",
        "push rbx",
        "push rax",
        "lea rdi, [rbp - 80]",
        "mov rsi, rax",
        "call {after}",
        "pop rax",
        "pop rbx",
        "pop rcx",
        "pop rdx",
        "pop rsi",
        "pop rdi",
        "pop r8",
        "pop r9",
        "pop r10",
        "pop r11",
        "mov rsp, rbp",
        "pop rbp",
        "ret",
        before = sym before,
        after = sym after,
        instruction = sym INSTRUCTION,
    )
}
