//! Page tables and descriptor tables, which are memory of the test.

use pvops_core::testing::Cpu;
use pvops_core::{cpu, mmu};

#[test]
fn entries_are_stored_and_in_lazy_mode_later() {
    let this = Cpu::new();
    let mut table = [0_u64; 4];
    let entry = (&raw mut table).cast::<u64>();
    // SAFETY: the table is ours, and outlives lazy mode.
    unsafe {
        mmu::set_pte(entry, mmu::make_entry(0x8000_0000_0000_1003));
        assert_eq!(entry.read_volatile(), 0x8000_0000_0000_1003);
        let outer = mmu::lazy();
        mmu::set_pmd(entry.add(1), 5);
        drop(mmu::lazy());
        assert_eq!(entry.add(1).read_volatile(), 0);
        outer.flush();
        assert_eq!(entry.add(1).read_volatile(), 5);
        let eager = mmu::eager();
        mmu::set_pud(entry.add(2), 6);
        assert_eq!(entry.add(2).read_volatile(), 6);
        drop(eager);
        mmu::set_p4d(entry.add(3), 7);
        assert_eq!(entry.add(3).read_volatile(), 0);
        drop(outer);
        assert_eq!(entry.add(3).read_volatile(), 7);
        assert_eq!(mmu::start_protection(entry), 0x8000_0000_0000_1003);
        assert_eq!(entry.read_volatile(), 0);
        mmu::commit_protection(entry, 0x1001);
        assert_eq!(entry.read_volatile(), 0x1001);
    }
    assert!(this.take_ops().len() > 10);
}

#[cfg(target_arch = "x86")]
#[test]
fn without_pae_an_entry_has_four_bytes() {
    let _this = Cpu::new();
    let mut table = [u32::MAX; 2];
    let entry = (&raw mut table).cast::<u64>();
    // SAFETY: CR4 is a variable, and the table is ours.
    unsafe {
        cpu::write_cr4(0);
        mmu::set_pte(entry, 0x1003);
        assert_eq!(mmu::start_protection(entry), 0x1003);
    }
    assert_eq!(table, [0, u32::MAX]);
}

#[test]
fn descriptors_are_stored() {
    let _this = Cpu::new();
    let mut table = [0_u64; 5];
    let mut field = 0_usize;
    // SAFETY: the tables are ours.
    unsafe {
        cpu::write_gdt_entry(table.as_mut_ptr(), 4, u64::MAX - 1);
        cpu::load_tls(table.as_mut_ptr(), 1, &[7, 8, 9]);
        cpu::load_kernel_stack(&mut field, 0x7000);
    }
    assert_eq!((table, field), ([0, 7, 8, 9, u64::MAX - 1], 0x7000));
}
