//! The interrupt ops of a PV guest, at the site where the kernel has given the library a place in each
//! CPU's own block.
//!
//! There [`vcpu_info`](crate::shared_info::VcpuInfo) lies: its first byte says that an upcall is pending,
//! the second masks upcalls. Masking and looking are one access by the segment. Unmasking must look at the
//! first byte, too, and call Xen if it is set; that does not fit a site on which hardware is to spend no
//! more than STI, so it is a function of four instructions.

use core::arch::naked_asm;
use core::sync::atomic::Ordering;

use pvops_core::binding::Binding;
use pvops_core::{PerCpuArea, PerCpuSegment, bindings, inline, op, preserve};

use super::{this_cpu, upcall_mask};

/// Wherever `vcpu_info` is.
pub(super) const CALLED: bindings::irq = bindings::irq {
    save_flags: preserve!(irq::save_flags, upcall_mask::save_flags),
    restore_flags: preserve!(irq::restore_flags, upcall_mask::restore_flags),
    disable: preserve!(irq::disable, upcall_mask::disable),
    enable: preserve!(irq::enable, upcall_mask::enable),
    halt: preserve!(irq::halt, upcall_mask::halt),
    safe_halt: preserve!(irq::safe_halt, upcall_mask::safe_halt),
};

/// With `vcpu_info` at this place of every CPU.
pub(super) fn at(area: PerCpuArea) -> bindings::irq {
    this_cpu::AREA_OFFSET.store(area.offset, Ordering::Relaxed);
    match area.segment {
        PerCpuSegment::Fs => with_offset(BY_FS, area.offset),
        PerCpuSegment::Gs => by_gs(area.offset),
    }
}

/// The same by GS, without what the functions need to know.
pub(super) fn by_gs(offset: u32) -> bindings::irq {
    with_offset(BY_GS, offset)
}

fn with_offset(bindings: bindings::irq, offset: u32) -> bindings::irq {
    let mask = offset + 1;
    bindings::irq {
        save_flags: bindings.save_flags.with_operand(mask),
        disable: bindings.disable.with_operand(mask),
        ..bindings
    }
}

macro_rules! by_segment {
    ($bindings:ident, $enable:ident, $restore:ident, $save:literal, $disable:literal, $segment:literal) => {
        const $bindings: bindings::irq = bindings::irq {
            // The mask is 0 or 1, with padding above: less one, the flag's bit is the inverse.
            save_flags: inline!(
                irq::save_flags, operand 2 bytes before the end,
                else preserve!(irq::save_flags, upcall_mask::save_flags),
                $save, "dec eax"
            ),
            disable: inline!(
                irq::disable, operand 1 bytes before the end,
                else preserve!(irq::disable, upcall_mask::disable),
                $disable
            ),
            // SAFETY: it changes rax only; so does the function that it goes on to.
            enable: unsafe { Binding::<op::irq::enable>::preserve($enable) },
            // SAFETY: as above.
            restore_flags: unsafe { Binding::<op::irq::restore_flags>::preserve($restore) },
            ..CALLED
        };

        #[unsafe(naked)]
        unsafe extern "C" fn $enable() {
            naked_asm!(
                "mov eax, dword ptr [rip + {offset}]",
                concat!("mov byte ptr ", $segment, ":[rax + 1], 0"),
                concat!("cmp byte ptr ", $segment, ":[rax], 0"),
                "jne {take_pending}",
                "ret",
                offset = sym this_cpu::AREA_OFFSET,
                take_pending = sym take_pending,
            )
        }

        #[unsafe(naked)]
        unsafe extern "C" fn $restore() {
            naked_asm!(
                "mov eax, dword ptr [rip + {offset}]",
                // Bit 9 of the flags, inverse.
                "bt edi, 9",
                concat!("setnc byte ptr ", $segment, ":[rax + 1]"),
                // Pending, and not masked.
                concat!("cmp word ptr ", $segment, ":[rax], 1"),
                "je {take_pending}",
                "ret",
                offset = sym this_cpu::AREA_OFFSET,
                take_pending = sym take_pending,
            )
        }
    };
}

by_segment!(
    BY_GS,
    enable_by_gs,
    restore_by_gs,
    "mov eax, dword ptr gs:[{operand}]",
    "mov byte ptr gs:[{operand}], 1",
    "gs"
);
by_segment!(
    BY_FS,
    enable_by_fs,
    restore_by_fs,
    "mov eax, dword ptr fs:[{operand}]",
    "mov byte ptr fs:[{operand}], 1",
    "fs"
);

/// Has Xen make the upcalls that are pending: on the way back from any call, here that for its version,
/// 17. Changes rax only.
#[unsafe(naked)]
unsafe extern "C" fn take_pending() {
    naked_asm!(
        "push rcx",
        "push rdx",
        "push rsi",
        "push rdi",
        "push r8",
        "push r10",
        "push r11",
        "mov eax, 17",
        "xor edi, edi",
        "syscall",
        "pop r11",
        "pop r10",
        "pop r8",
        "pop rdi",
        "pop rsi",
        "pop rdx",
        "pop rcx",
        "ret",
    )
}
