//! Entries of page tables with PAE, of 64 bits.

use core::arch::naked_asm;
use core::sync::atomic::{AtomicU64, Ordering};

use pvops_core::binding::Binding;
use pvops_core::{bindings, preserve, preserve_thunk};

use crate::abi::call::Call;
use crate::abi::paging::level;
use crate::guest::binder::Binder;
use crate::guest::entries::{ENTRIES, call_if_there};
use crate::guest::lazy::LAZY_CPUS;

pub(super) fn bind(binder: &Binder<'_>, native: bindings::mmu) -> bindings::mmu {
    if !binder.has(Call::SET_PXE_LONG) {
        return native;
    }
    // SAFETY: the thunks take the operands from where the ops have them, and lose what the ops do.
    unsafe {
        bindings::mmu {
            set_pte: Binding::preserve(set_pte),
            set_pmd: Binding::preserve(set_pmd),
            set_pud: Binding::preserve(set_pud),
            start_protection: preserve!(mmu::start_protection, start_protection),
            commit_protection: Binding::preserve(set_pte),
            ..native
        }
    }
}

/// Defines a thunk that stores an entry of a level. The op has the place in eax and the value in ecx:edx;
/// the ROM wants the value in edx:eax, the place in ecx and the flags on the stack.
macro_rules! set {
    ($name:ident, $lazily:ident, $level:expr) => {
        preserve_thunk!($lazily, mmu::$name, lazily::<{ $level }>);
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            naked_asm!(
                "cmp dword ptr [{lazy_cpus}], 0",
                "jne {lazily}",
                "push {level}",
                "xchg eax, ecx",
                "xchg eax, edx",
                "call dword ptr [{entries} + 4 * {call}]",
                "add esp, 4",
                "ret",
                lazy_cpus = sym LAZY_CPUS,
                lazily = sym $lazily,
                level = const $level,
                entries = sym ENTRIES,
                call = const Call::SET_PXE_LONG.0,
            )
        }
    };
}

set!(set_pte, set_pte_lazily, level::PT);
set!(set_pmd, set_pmd_lazily, level::PD);
set!(set_pud, set_pud_lazily, level::PDP);

unsafe extern "C" fn lazily<const LEVEL: u32>(entry: *mut u64, value: u64) {
    let flags = super::update_flags(LEVEL);
    let registers = [value as u32, (value >> 32) as u32, entry as u32];
    // SAFETY: the op's caller vouches for the entry.
    unsafe { call_if_there(Call::SET_PXE_LONG, registers, [flags.0, 0]) };
}

/// The hardware may set bits until the entry is cleared, so that is one access; then the ROM is told.
unsafe extern "C" fn start_protection(entry: *mut u64) -> u64 {
    // SAFETY: the op's caller vouches for the entry, which is aligned as the hardware wants it.
    let old = unsafe { AtomicU64::from_ptr(entry).swap(0, Ordering::Relaxed) };
    // SAFETY: the entry was just written.
    unsafe { call_if_there(Call::UPDATE_PXE_LONG, [entry as u32, level::PT, 0], [0; 2]) };
    old
}
