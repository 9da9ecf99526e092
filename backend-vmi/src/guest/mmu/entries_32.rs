//! Entries of page tables without PAE, of 32 bits. The value's upper half is 0.

use core::arch::naked_asm;
use core::sync::atomic::{AtomicU32, Ordering};

use pvops_core::binding::Binding;
use pvops_core::{bindings, preserve, preserve_thunk};

use crate::abi::call::Call;
use crate::abi::paging::level;
use crate::guest::binder::Binder;
use crate::guest::entries::{ENTRIES, call_if_there};
use crate::guest::lazy::LAZY_CPUS;

pub(super) fn bind(binder: &Binder<'_>, native: bindings::mmu) -> bindings::mmu {
    if !binder.has(Call::SET_PXE) {
        return native;
    }
    // SAFETY: the thunks take the operands from where the ops have them, and lose what the ops do.
    unsafe {
        bindings::mmu {
            set_pte: Binding::preserve(set_pte),
            // There is no table of the level between: the directory is the top.
            set_pmd: Binding::preserve(set_pmd),
            start_protection: preserve!(mmu::start_protection, start_protection),
            commit_protection: Binding::preserve(set_pte),
            ..native
        }
    }
}

/// Defines a thunk that stores an entry of a level. The op has the place in eax and the value in edx, the
/// ROM wants them the other way round.
macro_rules! set {
    ($name:ident, $lazily:ident, $level:expr) => {
        preserve_thunk!($lazily, mmu::$name, lazily::<{ $level }>);
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            naked_asm!(
                "cmp dword ptr [{lazy_cpus}], 0",
                "jne {lazily}",
                "xchg eax, edx",
                "mov ecx, {level}",
                "jmp dword ptr [{entries} + 4 * {call}]",
                lazy_cpus = sym LAZY_CPUS,
                lazily = sym $lazily,
                level = const $level,
                entries = sym ENTRIES,
                call = const Call::SET_PXE.0,
            )
        }
    };
}

set!(set_pte, set_pte_lazily, level::PT);
set!(set_pmd, set_pmd_lazily, level::PD);

unsafe extern "C" fn lazily<const LEVEL: u32>(entry: *mut u64, value: u64) {
    let flags = super::update_flags(LEVEL);
    let registers = [value as u32, entry as u32, flags.0];
    // SAFETY: the op's caller vouches for the entry.
    unsafe { call_if_there(Call::SET_PXE, registers, [0; 2]) };
}

/// As for wide entries.
unsafe extern "C" fn start_protection(entry: *mut u64) -> u64 {
    let entry: *mut u32 = entry.cast();
    // SAFETY: the op's caller vouches for the entry, of 4 bytes.
    let old = unsafe { AtomicU32::from_ptr(entry).swap(0, Ordering::Relaxed) };
    // SAFETY: the entry was just written.
    unsafe { call_if_there(Call::UPDATE_PXE, [entry as u32, level::PT, 0], [0; 2]) };
    old.into()
}
