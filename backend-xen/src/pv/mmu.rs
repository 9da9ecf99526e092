//! The ops of page tables and the TLB in a PV guest.

use core::arch::naked_asm;
use core::mem::offset_of;
use core::sync::atomic::Ordering;

use pvops_core::binding::Binding;
use pvops_core::cpu_set::CpuSet;
use pvops_core::{PerCpuSegment, bindings, call, op, preserve};

use super::page_table_calls::Extended;
use super::{batch, entry, events, tables, this_cpu};
use crate::shared_info::VcpuInfo;

pub(super) const BINDINGS: bindings::mmu = bindings::mmu {
    read_cr2: preserve!(mmu::read_cr2, read_cr2),
    write_cr2: preserve!(mmu::write_cr2, write_cr2),
    read_cr3: preserve!(mmu::read_cr3, tables::read_cr3),
    write_cr3: preserve!(mmu::write_cr3, tables::write_cr3),
    flush_tlb: preserve!(mmu::flush_tlb, flush_tlb),
    // There are no global pages.
    flush_tlb_all: preserve!(mmu::flush_tlb_all, flush_tlb),
    flush_tlb_page: preserve!(mmu::flush_tlb_page, flush_tlb_page),
    flush_tlb_multi: call!(mmu::flush_tlb_multi, flush_tlb_multi),
    set_pte: preserve!(mmu::set_pte, tables::set_entry),
    set_pmd: preserve!(mmu::set_pmd, tables::set_entry),
    set_pud: preserve!(mmu::set_pud, tables::set_entry),
    set_p4d: preserve!(mmu::set_p4d, tables::set_root_entry),
    set_p5d: preserve!(mmu::set_p5d, tables::set_entry),
    start_protection: preserve!(mmu::start_protection, tables::start_protection),
    commit_protection: preserve!(mmu::commit_protection, tables::commit_protection),
    alloc_table: preserve!(mmu::alloc_table, tables::alloc_table),
    release_table: preserve!(mmu::release_table, tables::release_table),
    activate_tables: preserve!(mmu::activate_tables, tables::activate),
    exit_tables: preserve!(mmu::exit_tables, tables::exit),
    enter_lazy: preserve!(mmu::enter_lazy, batch::enter_lazy),
    leave_lazy: preserve!(mmu::leave_lazy, batch::leave_lazy),
    flush_lazy: preserve!(mmu::flush_lazy, batch::flush_lazy),
    pause_lazy: preserve!(mmu::pause_lazy, batch::pause_lazy),
    resume_lazy: preserve!(mmu::resume_lazy, batch::resume_lazy),
    make_entry: preserve!(mmu::make_entry, entry::make),
    entry_value: preserve!(mmu::entry_value, entry::value),
};

/// The same with `vcpu_info` in each CPU's own block, by this segment.
pub(super) fn by(segment: PerCpuSegment) -> bindings::mmu {
    let read_cr2 = match segment {
        PerCpuSegment::Fs => read_cr2_by_fs,
        PerCpuSegment::Gs => read_cr2_by_gs,
    };
    bindings::mmu {
        // SAFETY: it changes rax only.
        read_cr2: unsafe { Binding::<op::mmu::read_cr2>::preserve(read_cr2) },
        ..BINDINGS
    }
}

macro_rules! read_cr2_by {
    ($name:ident, $segment:literal) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            naked_asm!(
                "mov eax, dword ptr [rip + {offset}]",
                concat!("mov rax, qword ptr ", $segment, ":[rax + {fault_address}]"),
                "ret",
                offset = sym this_cpu::AREA_OFFSET,
                fault_address = const offset_of!(VcpuInfo, fault_address),
            )
        }
    };
}

read_cr2_by!(read_cr2_by_gs, "gs");
read_cr2_by!(read_cr2_by_fs, "fs");

unsafe extern "C" fn read_cr2() -> usize {
    this_cpu::info().fault_address.load(Ordering::Relaxed) as usize
}

unsafe extern "C" fn write_cr2(value: usize) {
    this_cpu::info()
        .fault_address
        .store(value as u64, Ordering::Relaxed);
}

unsafe extern "C" fn flush_tlb() {
    // SAFETY: what is in the tables stays as it is.
    unsafe { batch::extended(Extended::flush_tlb()) };
}

unsafe extern "C" fn flush_tlb_page(address: usize) {
    // SAFETY: as for `flush_tlb`.
    unsafe { batch::extended(Extended::flush_page(address)) };
}

/// Xen knows which virtual CPUs run, and interrupts only those.
unsafe extern "C" fn flush_tlb_multi(cpus: *const CpuSet, start: usize, end: usize) {
    // SAFETY: the op's caller gives a set.
    let wanted = unsafe { cpus.read() };
    let mut bits = [0_u64; pvops_core::cpu_set::MAX_CPUS / 64];
    for cpu in events::online().filter(|&cpu| wanted.contains(cpu)) {
        bits[cpu / 64] |= 1 << (cpu % 64);
    }
    if bits.iter().all(|&word| word == 0) {
        return;
    }
    let first = start & !(PAGE - 1);
    let operation = if end.saturating_sub(first) <= PAGE {
        Extended::flush_page_of(first, bits.as_ptr())
    } else {
        Extended::flush_tlb_of(bits.as_ptr())
    };
    // SAFETY: as for `flush_tlb`; the bits stay until the batch is made.
    unsafe {
        batch::extended(operation);
        batch::flush_lazy();
    }
}

const PAGE: usize = 4096;
