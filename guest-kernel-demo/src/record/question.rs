//! A call as its host finds it.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use super::frames::InFrame;
use super::structures::{MAX_WORDS, Structure};

/// Says that calls are Xen's, with arguments in other registers than KVM's, and structures.
pub(super) fn are_xens() {
    IS_XEN.store(true, Ordering::Relaxed);
}

static IS_XEN: AtomicBool = AtomicBool::new(false);

/// What a call finds in the registers.
#[repr(C)]
pub(super) struct Registers {
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
    pub(super) fn structure(&self) -> Option<Structure> {
        match IS_XEN.load(Ordering::Relaxed) {
            true => Structure::of(self.rax, self.rdi),
            false => None,
        }
    }

    /// What is there now; zeros if it leads to nothing.
    pub(super) fn read_structure(&self) -> [u64; MAX_WORDS] {
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
pub(super) struct Question<'a>(pub(super) &'a Registers, pub(super) [u64; MAX_WORDS]);

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
