//! Page tables and the TLB.

use super::{simulated, thunk};
use crate::bindings;
use crate::call;
use crate::cpu_set::CpuSet;
use crate::testing::page_tables::Entry;
use crate::testing::registers::CR4_PAE;
use crate::testing::state::State;

pub(super) const BINDINGS: bindings::mmu = simulated!(mmu {
    thunk read_cr2() -> usize = |state| state.registers.cr2;
    thunk write_cr2(value: usize) = |state| state.registers.cr2 = value;
    thunk read_cr3() -> usize = |state| state.registers.cr3;
    thunk write_cr3(value: usize) = |state| state.registers.cr3 = value;
    thunk flush_tlb() = |_| ();
    thunk flush_tlb_all() = |_| ();
    thunk flush_tlb_page(address: usize) = |_| ();
    call flush_tlb_multi(cpus: *const CpuSet, start: usize, end: usize) = |_| ();
    thunk set_pte(entry: *mut u64, value: u64) = |state| store(state, entry, value);
    thunk set_pmd(entry: *mut u64, value: u64) = |state| store(state, entry, value);
    thunk set_pud(entry: *mut u64, value: u64) = |state| store(state, entry, value);
    thunk set_p4d(entry: *mut u64, value: u64) = |state| store(state, entry, value);
    thunk set_p5d(entry: *mut u64, value: u64) = |state| store(state, entry, value);
    thunk start_protection(entry: *mut u64) -> u64 = |state| {
        let entry = place(state, entry);
        // SAFETY: the op's caller vouches for the entry.
        unsafe { state.page_tables.take(entry) }
    };
    thunk commit_protection(entry: *mut u64, value: u64) = |state| store(state, entry, value);
    thunk alloc_table(frame: u64, level: u32) = |_| ();
    thunk release_table(frame: u64, level: u32) = |_| ();
    thunk activate_tables(root: u64) = |_| ();
    thunk exit_tables(root: u64) = |_| ();
    thunk enter_lazy() = |state| state.page_tables.depth.enter();
    thunk leave_lazy() = |state| {
        if state.page_tables.depth.leave() {
            state.page_tables.make();
        }
    };
    thunk flush_lazy() = |state| state.page_tables.make();
    thunk pause_lazy() = |state| {
        if state.page_tables.depth.pause() {
            state.page_tables.make();
        }
    };
    thunk resume_lazy() = |state| state.page_tables.depth.resume();
    thunk make_entry(entry: u64) -> u64 = |_| entry;
    thunk entry_value(entry: u64) -> u64 = |_| entry;
} else {});

fn store(state: &mut State, entry: *mut u64, value: u64) {
    let entry = place(state, entry);
    // SAFETY: the op's caller vouches for the entry, in lazy mode until that ends.
    unsafe { state.page_tables.store(entry, value) };
}

fn place(state: &State, place: *mut u64) -> Entry {
    Entry {
        place,
        is_wide: cfg!(target_pointer_width = "64") || state.registers.cr4 & CR4_PAE != 0,
    }
}
