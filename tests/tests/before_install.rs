//! What ops do before a backend is installed, in a process in which none is.

use pvops_backend_native as native;
use pvops_core::cpu_set::CpuSet;
use pvops_core::testing::Cpu;

#[test]
fn a_shootdown_flushes_the_only_cpu_that_runs() {
    let this = Cpu::new();
    // SAFETY: no other CPU is up.
    unsafe { native::flush_tlb_multi_but(&CpuSet::first(1), 0x1234, 0x2001, |_| false) };
    let flushed = ["mmu.flush_tlb_page(0x1000)", "mmu.flush_tlb_page(0x2000)"];
    assert_eq!(this.take_ops(), flushed);
}
