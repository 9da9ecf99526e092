//! From this kernel to the entry of another, which goes to where this one is.
//!
//! The trampoline is copied to a frame that neither kernel uses. It turns paging off first, so that it
//! needs no page tables, and then copies. The state it leaves is what PVH wants: flat 32-bit segments,
//! a task register, paging and interrupts off, the boot information's address in EBX (Xen
//! docs/misc/pvh.pandoc).

use core::arch::global_asm;
use core::mem::offset_of;
use core::ptr::{self, NonNull};

use super::image::{Image, Piece};
use crate::arch::hand_over::{hand_over_end, hand_over_head, jump};
use crate::layout::PAGE;
use crate::paging;
use crate::tables::Flags;
use crate::text::{Text, text};

/// The code in its frame, ready.
pub(super) struct Trampoline {
    physical: u64,
}

impl Trampoline {
    /// Makes a trampoline in a frame that is at `physical`, and that we see at `memory`.
    ///
    /// # Errors
    ///
    /// If the frame can't be mapped at its physical address, or does not have one of 32 bits.
    pub(super) fn new(
        image: Image,
        start_info: u64,
        physical: u64,
        memory: NonNull<u8>,
    ) -> Result<Self, Text> {
        let Ok(start_info) = u32::try_from(start_info) else {
            return Err(text!("the boot information lies above 4 GiB"));
        };
        let parameters = Parameters { image, start_info };
        let code = (&raw const hand_over_start, &raw const hand_over_end);
        // SAFETY: the frame is the caller's to give, and code and parameters fit.
        unsafe {
            let length = code.1.addr() - code.0.addr();
            ptr::copy_nonoverlapping(code.0, memory.as_ptr(), length);
            memory
                .add(PARAMETERS)
                .cast::<Parameters>()
                .write(parameters);
        }
        if physical >= 1 << 32
            || paging::map(physical as usize, physical, Flags::EXECUTABLE).is_err()
        {
            return Err(text!("there is no place for the trampoline"));
        }
        Ok(Trampoline { physical })
    }

    /// Leaves this kernel for good.
    ///
    /// # Safety
    ///
    /// On the boot CPU, interrupts off, when no other CPU runs.
    pub(super) unsafe fn jump(self) -> ! {
        // SAFETY: the trampoline is mapped there, and needs nothing but its address and some stack.
        unsafe { jump(self.physical as usize) }
    }
}

/// At [`PARAMETERS`] in the frame.
#[repr(C)]
struct Parameters {
    image: Image,
    start_info: u32,
}

/// The end of the frame.
const PARAMETERS: usize = PAGE - size_of::<Parameters>();

unsafe extern "C" {
    static hand_over_start: u8;
    static hand_over_end: u8;
}

// edi is the frame's address at first, ebx later.
global_asm!(
    ".pushsection .rodata.hand_over, \"a\", @progbits",
    ".balign 16",
    "hand_over_start:",
    hand_over_head!(),
    "hand_over_32:",
    "mov eax, 0x10",
    "mov ds, eax",
    "mov es, eax",
    "mov ss, eax",
    // Paging off, and long mode with it, if that is on; all else off too but protection.
    "mov eax, 0x11",
    "mov cr0, eax",
    "mov ecx, 0xc0000080",
    "xor eax, eax",
    "xor edx, edx",
    "wrmsr",
    "mov cr4, eax",
    // Now the descriptor, which becomes busy, can be written.
    "mov eax, 0x18",
    "ltr ax",

    "lea ebp, [ebx + {pieces}]",
    "mov edx, [ebx + {piece_count}]",
    "2: mov esi, [ebp + {source}]",
    "mov edi, [ebp + {destination}]",
    "mov ecx, [ebp + {byte_count}]",
    "rep movsb",
    "mov ecx, [ebp + {zero_count}]",
    "xor eax, eax",
    "rep stosb",
    "add ebp, {piece_size}",
    "dec edx",
    "jnz 2b",

    "mov eax, [ebx + {entry}]",
    "mov ebx, [ebx + {start_info}]",
    "jmp eax",

    ".balign 8",
    // Null, 32-bit code, data, and a 32-bit task state segment of 0x68 bytes at 0.
    "hand_over_gdt: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x0000890000000067",
    "hand_over_end:",
    hand_over_end!(),
    ".popsection",
    gdt_limit = const 4 * 8 - 1,
    entry = const PARAMETERS + offset_of!(Parameters, image.entry),
    piece_count = const PARAMETERS + offset_of!(Parameters, image.piece_count),
    pieces = const PARAMETERS + offset_of!(Parameters, image.pieces),
    start_info = const PARAMETERS + offset_of!(Parameters, start_info),
    piece_size = const size_of::<Piece>(),
    source = const offset_of!(Piece, source),
    destination = const offset_of!(Piece, destination),
    byte_count = const offset_of!(Piece, byte_count),
    zero_count = const offset_of!(Piece, zero_count),
);
