//! Starting a virtual CPU again that went off. To Xen it is not new: it comes back to where it went off.

use core::arch::naked_asm;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use pvops_core::cpu_set::MAX_CPUS;
use pvops_core::cpu_start::CpuStart;
use pvops_core::{Kernel, mmu};

use crate::vcpu::{self, VcpuId};

/// Has the CPU begin as `start` says when it comes back.
pub(crate) fn prepare(cpu: usize, start: &CpuStart) {
    if let Some(slot) = SLOTS.get(cpu) {
        slot.argument.store(start.argument, Ordering::Relaxed);
        slot.stack_top.store(start.stack_top, Ordering::Relaxed);
        slot.page_table.store(start.page_table, Ordering::Relaxed);
        slot.entry.store(start.entry as usize, Ordering::Release);
    }
}

/// This CPU goes off, until it is started again.
pub(crate) fn go_down() -> ! {
    let cpu = pvops_core::kernel().map_or(0, Kernel::cpu_index);
    let vcpu = vcpu::id(cpu).unwrap_or(VcpuId(cpu as u32));
    let slot = &SLOTS[cpu];
    loop {
        // Whoever calls has nothing left to do here.
        let _ = vcpu::down(vcpu);
        let entry = slot.entry.swap(0, Ordering::Acquire);
        if entry != 0 {
            // SAFETY: whoever starts the CPU vouches for entry, stack and tables; nobody comes back here.
            unsafe {
                mmu::write_cr3(slot.page_table.load(Ordering::Relaxed) as usize);
                begin(
                    slot.argument.load(Ordering::Relaxed),
                    slot.stack_top.load(Ordering::Relaxed),
                    entry,
                )
            }
        }
    }
}

struct Slot {
    /// 0 when it is not to start.
    entry: AtomicUsize,
    argument: AtomicUsize,
    stack_top: AtomicUsize,
    page_table: AtomicU64,
}

static SLOTS: [Slot; MAX_CPUS] = [const {
    Slot {
        entry: AtomicUsize::new(0),
        argument: AtomicUsize::new(0),
        stack_top: AtomicUsize::new(0),
        page_table: AtomicU64::new(0),
    }
}; MAX_CPUS];

#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
unsafe extern "C" fn begin(argument: usize, stack_top: usize, entry: usize) -> ! {
    naked_asm!("mov rsp, rsi", "xor ebp, ebp", "push 0", "jmp rdx")
}

#[cfg(target_arch = "x86")]
#[unsafe(naked)]
unsafe extern "C" fn begin(argument: usize, stack_top: usize, entry: usize) -> ! {
    naked_asm!(
        "mov eax, [esp + 4]",
        "mov ecx, [esp + 12]",
        "mov esp, [esp + 8]",
        "xor ebp, ebp",
        // The argument is aligned to 16 bytes.
        "sub esp, 12",
        "push eax",
        "push 0",
        "jmp ecx",
    )
}
