//! What the bindings of each mode do to entries. As a 32-bit program.

use core::arch::asm;

use pvops_core::Op;
use pvops_core::binding::{Binding, Outcome};
use pvops_core::live::Change;

use super::{SHORT, WIDE};

/// Calls an op's function as an unpatched site does, and returns edx:eax.
fn call<O: Op, E>(binding: Binding<O>, entry: *mut E, value: u64) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the ops here lose eax, edx and ecx, and the entry is the test's own.
    unsafe {
        asm!(
            "call {function}",
            function = in(reg) Change::to(binding).binding().target(),
            inout("eax") entry => low,
            inout("edx") value as u32 => high,
            inout("ecx") (value >> 32) as u32 => _,
        );
    }
    u64::from(high) << 32 | u64::from(low)
}

#[test]
fn with_extension_entries_have_eight_bytes() {
    let mut table = [u64::MAX; 3];
    let entry = &raw mut table[1];
    call(WIDE.set_pte, entry, 0x8000_0001_2345_6063);
    assert_eq!(table, [u64::MAX, 0x8000_0001_2345_6063, u64::MAX]);
    call(WIDE.set_pmd, entry, 0x1_0000_00e3);
    call(WIDE.set_pud, entry.wrapping_add(1), 7);
    assert_eq!(table, [u64::MAX, 0x1_0000_00e3, 7]);
    assert_eq!(call(WIDE.start_protection, entry, 0), 0x1_0000_00e3);
    assert_eq!(table, [u64::MAX, 0, 7]);
    call(WIDE.commit_protection, entry, 0x1_0000_00e1);
    assert_eq!(table, [u64::MAX, 0x1_0000_00e1, 7]);
}

#[test]
fn without_it_they_have_four() {
    let mut table = [u32::MAX; 3];
    let entry = &raw mut table[1];
    call(SHORT.set_pte, entry, 0xfedc_b063);
    assert_eq!(table, [u32::MAX, 0xfedc_b063, u32::MAX]);
    call(SHORT.set_pmd, entry, 0xffc0_00e3);
    assert_eq!(table, [u32::MAX, 0xffc0_00e3, u32::MAX]);
    assert_eq!(call(SHORT.start_protection, entry, 0), 0xffc0_00e3);
    assert_eq!(table, [u32::MAX, 0, u32::MAX]);
    call(SHORT.commit_protection, entry, 0xffc0_00e1);
    assert_eq!(table, [u32::MAX, 0xffc0_00e1, u32::MAX]);
}

#[test]
fn a_short_entry_is_stored_at_the_site() {
    let wanted = match cfg!(debug_assertions) {
        true => Outcome::Call,
        false => Outcome::Inline,
    };
    let set_pte = Change::to(SHORT.set_pte);
    assert_eq!(set_pte.binding().outcome(), wanted);
    if let Some(template) = set_pte.binding().template() {
        let mov_eax_edx: &[u8] = &[0x89, 0x10];
        assert_eq!(template.copy_to(&mut [0; 15]), Some(mov_eax_edx));
    }
    let wide = Change::to(WIDE.set_pte);
    assert_eq!(wide.binding().outcome(), Outcome::Call);
}
