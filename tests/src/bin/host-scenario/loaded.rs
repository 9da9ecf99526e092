//! Text that comes later, as a module's does, and how text is protected.

use pvops_core::site::SiteRecord;
use pvops_core::testing::Cpu;
use pvops_core::{Op, OpTable, installed, irq, op, patch};
use pvops_tests::check::{Outcome, equal};
use pvops_tests::process::{PROCESS, protect};

use crate::ops::FLAGS_ENABLED;

/// A function with one site, assembled at run time within reach of the table.
pub(crate) fn module() -> Outcome {
    #[repr(C, align(4096))]
    struct Code([u8; 4096]);
    static mut CODE: Code = Code([0; 4096]);

    const LENGTH: usize = 6;
    let code = (&raw mut CODE).cast::<u8>();
    let op = <op::irq::disable as Op>::NUMBER;
    let slot = (&raw const *OpTable::get()).addr() + usize::from(op.0) * size_of::<usize>();
    let displacement = match cfg!(target_pointer_width = "64") {
        true => slot.wrapping_sub(code.addr() + LENGTH),
        false => slot,
    };
    let displacement = i32::try_from(displacement as isize).map_err(|error| error.to_string())?;
    let record = SiteRecord::new(-64, op, LENGTH as u8);
    // SAFETY: the page is nobody else's. The record is 64 bytes behind the site.
    unsafe {
        code.cast::<[u8; 2]>().write([0xff, 0x15]);
        code.add(2)
            .cast::<[u8; 4]>()
            .write(displacement.to_le_bytes());
        code.add(LENGTH).write(0xc3);
        code.add(64).cast::<SiteRecord>().write(record);
    }
    let page = code.addr()..code.addr() + 4096;
    protect(&page, libc::PROT_READ | libc::PROT_EXEC);
    let bindings = installed().ok_or("nothing is installed")?;
    // SAFETY: the code is an `irq.disable` site and a `ret`, which nobody runs meanwhile.
    let counts = unsafe {
        let records = std::slice::from_raw_parts(code.add(64).cast::<SiteRecord>(), 1);
        patch::patch(&PROCESS, records, &bindings)
    };
    equal("the calls", counts.map(|counts| counts.call), Ok(1))?;
    let this = Cpu::new();
    // SAFETY: no interrupt comes; a site that loses no more than a function may, and a `ret`.
    unsafe {
        irq::restore_flags(FLAGS_ENABLED);
        std::mem::transmute::<*mut u8, extern "C" fn()>(code)();
    }
    equal("the interrupt flag", this.interrupts_are_on(), false)
}

pub(crate) fn text_is_read_only() -> Outcome {
    let maps = std::fs::read_to_string("/proc/self/maps").map_err(|error| error.to_string())?;
    let both: Vec<&str> = maps
        .lines()
        .filter(|line| line.split(' ').nth(1).is_some_and(|p| p.starts_with("rwx")))
        .collect();
    equal("what is writable and executable", both, Vec::new())
}
