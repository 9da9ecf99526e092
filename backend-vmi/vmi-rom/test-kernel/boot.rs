//! From the loader to the checks (Multiboot Specification 0.6.96).

use core::arch::global_asm;
use core::ffi::CStr;
use core::panic::PanicInfo;

use crate::console::{self, say};
use crate::{checks, interrupts, paging, segments};

global_asm!(
    ".pushsection .multiboot, \"ax\", @progbits",
    ".balign 4",
    // With the memory map.
    ".long 0x1BADB002, 2, -(0x1BADB002 + 2)",
    ".globl start",
    "start:",
    "cli",
    "cld",
    "movl $stack_top, %esp",
    "pushl %ebx",
    "call {main}",
    ".popsection",
    ".pushsection .bss.stack, \"aw\", @nobits",
    ".balign 16",
    ".space 65536",
    "stack_top:",
    ".popsection",
    main = sym main,
    options(att_syntax)
);

/// What the loader tells; only the fields that are used.
#[repr(C)]
pub(crate) struct BootInformation {
    flags: u32,
    lower_kib: u32,
    upper_kib: u32,
    boot_device: u32,
    command_line: u32,
    unused: [u32; 6],
    map_bytes: u32,
    map: u32,
}

impl BootInformation {
    /// Whether a word is on the command line.
    pub(crate) fn has(&self, wanted: &str) -> bool {
        const MAX_BYTES: usize = 1024;
        // SAFETY: the loader has put a string there, in memory that is mapped.
        let line =
            unsafe { core::slice::from_raw_parts(self.command_line as *const u8, MAX_BYTES) };
        let line = CStr::from_bytes_until_nul(line).unwrap_or_default();
        let line = line.to_str().unwrap_or_default();
        line.split(' ').any(|word| word == wanted)
    }

    /// Base, length and kind of each region.
    pub(crate) fn map(&self) -> impl Iterator<Item = (u64, u64, u32)> {
        let mut entry = self.map;
        let end = self.map + self.map_bytes;
        core::iter::from_fn(move || {
            if entry >= end {
                return None;
            }
            // SAFETY: the loader's map is there.
            let [size, base, base_high, length, length_high, kind] =
                unsafe { (entry as *const [u32; 6]).read_unaligned() };
            entry += size + 4;
            let join = |low, high| u64::from(low) | u64::from(high) << 32;
            Some((join(base, base_high), join(length, length_high), kind))
        })
    }
}

extern "C" fn main(information: &'static BootInformation) -> ! {
    segments::load();
    interrupts::load();
    paging::start(information.has("pae"));
    checks::run(information);
    console::exit_with_result()
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    say!("panic: {info}");
    console::exit(console::FAIL)
}
