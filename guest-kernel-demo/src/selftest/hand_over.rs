//! What the kernel has left behind that has handed the machine to this one.

use core::sync::atomic::{AtomicU64, Ordering};

use pvops_core::boot_info::CommandLine;
use pvops_core::cpu;

use super::Outcome;
use crate::hand_over::{LIST_LENGTH, List, PATTERN};
use crate::layout::{PAGE, SCRATCH};
use crate::paging;
use crate::tables::Flags;
use crate::text::{Text, ensure, text};

/// Whether another kernel has handed the machine to this one, as the command line says:
/// `handed-over=`, and the physical address of the list of pages that were shared with the host.
pub(super) fn has_been(command_line: CommandLine<'_>) -> bool {
    let value = command_line.value("handed-over");
    let digits = value.and_then(|value| value.strip_prefix("0x"));
    let list = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    LIST.store(list.unwrap_or(0), Ordering::Relaxed);
    value.is_some()
}

static LIST: AtomicU64 = AtomicU64::new(0);

/// The host has not written to the pages that it shared with the kernel before this one.
pub(super) fn shared_pages() -> Outcome {
    const EXPECTED: u64 = u64::from_ne_bytes([PATTERN; 8]);
    let list = LIST.load(Ordering::Relaxed);
    ensure!(list != 0, "where is the list of pages?");
    tempt_clock();
    let list = copy(list)?;
    let mut pages = 0;
    for &page in list.iter().take_while(|&&page| page != 0) {
        let content = copy(page)?;
        if let Some(index) = content.iter().position(|&word| word != EXPECTED) {
            return Err(text!(
                "the host has written {:#x} to {page:#x} + {:#x}, which it shared with the kernel before",
                content[index],
                index * size_of::<u64>()
            ));
        }
        pages += 1;
    }
    Ok(text!(
        "{pages} pages that were shared are as they were left"
    ))
}

/// Has KVM write the record of its clock, if it still keeps one: by itself it may not do so for long,
/// but whenever this register is written (Linux arch/x86/kvm/x86.c, MSR_IA32_TSC_ADJUST).
fn tempt_clock() {
    /// Intel SDM volume 4, table 2-2. The time-stamp counter stays as it is if the value does.
    const IA32_TSC_ADJUST: u32 = 0x3b;
    if let Ok(value) = cpu::read_msr_safe(IA32_TSC_ADJUST) {
        // SAFETY: the register keeps its value.
        let _ = unsafe { cpu::write_msr_safe(IA32_TSC_ADJUST, value) };
    }
}

/// A page of physical memory, as it is now.
fn copy(physical: u64) -> Result<List, Text> {
    const WINDOW: usize = SCRATCH.start + 16 * PAGE;
    ensure!(
        paging::map(WINDOW, physical, Flags::READ_ONLY).is_ok(),
        "no memory"
    );
    let mut words: List = [0; LIST_LENGTH];
    for (index, word) in words.iter_mut().enumerate() {
        // SAFETY: the page has just been mapped. Volatile, as the host may write there.
        *word = unsafe { (WINDOW as *const u64).add(index).read_volatile() };
    }
    paging::unmap(WINDOW);
    Ok(words)
}
