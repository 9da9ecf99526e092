//! The checks, in the order in which the process goes through them: before, at and after patching.

use std::fmt::Debug;
use std::sync::atomic::Ordering;

use iced_x86::{Code, Decoder, DecoderOptions, Instruction};
use pvops_core::backend::Backend;
use pvops_core::msr::MsrFault;
use pvops_core::patch::{self, PatchError};
use pvops_core::probe::Interfaces;
use pvops_core::site::{SiteRecord, image_sites};
use pvops_core::{
    InstallError, Op, OpNumber, OpTable, apic, binding, cpu, install, installed, io, irq, mmu, op,
    system,
};
use pvops_tests::check::{Check, Outcome};
use pvops_tests::ensure;
use pvops_tests::image::Image;
use pvops_tests::process::{PROCESS, far_site, protect, slot_of, span, text};
use pvops_tests::registers::{RAX, RBX, RCX, RDI, RDX, RSI, call, pattern};
use pvops_tests::sites::Sites;

use crate::backend::{self, BACKEND};
use crate::exits::exits;
use crate::faults;

pub(crate) const CHECKS: &[Check] = &[
    ("unpatched sites work", unpatched),
    ("unpatched exits lead where they should", exits),
    ("the image and its file agree", file_agrees),
    ("a tampered site is named, and nothing is written", tampered),
    ("bad records are refused", bad_records),
    ("a far function is out of range", out_of_range),
    ("installing patches all sites", install_host),
    ("installing twice is refused", install_twice),
    ("every site decodes to its outcome", outcomes),
    ("patched ops reach the backend", patched),
    ("patched exits lead where they should", exits),
    ("lazy mode reaches the backend", lazy),
    ("an op that is not available traps", trap),
    ("thunks lose no register", thunks),
    ("code loaded later is patched", module),
    ("text is not writable", text_is_read_only),
];

fn equal<T: Debug + PartialEq>(what: &str, found: T, wanted: T) -> Outcome {
    ensure!(
        found == wanted,
        "{what} is {found:x?} instead of {wanted:x?}"
    );
    Ok(())
}

fn unpatched() -> Outcome {
    ensure!(installed().is_none(), "a backend is installed already");
    let first = cpu::read_tsc_ordered();
    ensure!(
        cpu::read_tsc_ordered() > first,
        "the time-stamp counter stands still"
    );
    equal(
        "an entry",
        mmu::entry_value(mmu::make_entry(0x1234_5067)),
        0x1234_5067,
    )?;
    ensure!(cpu::cpuid(0, 0).eax >= 1, "CPUID has no leaf 1");
    ensure!(irq::save_flags() & 0x200 != 0, "interrupts are off");
    // Ring 3 may read no model-specific register: #GP, which the exception table knows of.
    equal("an MSR", cpu::read_msr_safe(0x10), Err(MsrFault))?;
    // SAFETY: as the read, it faults.
    let write = unsafe { cpu::write_msr_safe(0x10, 0) };
    equal("a write", write.ok(), Err(MsrFault))
}

fn file_agrees() -> Outcome {
    let file = own_file()?;
    let image = Image::parse(&file).map_err(|error| error.to_string())?;
    let sites = Sites::read(&image).map_err(|error| error.to_string())?;
    equal(
        "the number of sites",
        sites.sites.len(),
        image_sites().len(),
    )?;
    for (in_file, record) in sites.sites.iter().zip(image_sites()) {
        equal("an op", in_file.op, record.op().0)?;
        equal("a name", Some(sites.op_name(in_file)), record.op().name())?;
        equal("a length", in_file.bytes.len(), record.length())?;
        equal("a site", sites.is_unpatched(in_file), Some(true))?;
        equal("a site in memory", bytes(record), in_file.bytes)?;
    }
    Ok(())
}

fn tampered() -> Outcome {
    let sites = image_sites();
    let span = span(sites);
    let backend: &Backend = &BACKEND;
    for record in [&sites[0], &sites[sites.len() / 2], &sites[sites.len() - 1]] {
        // The opcode; the slot; the padding, if there is any.
        for offset in [0, 3, record.length() - 1] {
            let address = record.address() + offset;
            flip(address);
            let before = text(&span);
            // SAFETY: this process is the boot CPU, and has no other threads.
            let result = unsafe { install(backend, &PROCESS, &Interfaces::default()) };
            let Err(InstallError::Patch(error)) = result else {
                return Err(format!("{result:?}"));
            };
            ensure!(
                matches!(error, PatchError::NotACallSite { .. }),
                "the error is {error}"
            );
            equal("the named site", error.site(), record.address())?;
            let op = record.op().name().unwrap_or_default();
            ensure!(error.to_string().contains(op), "{error} does not name {op}");
            equal("the function", function(error.site())?.is_empty(), false)?;
            ensure!(text(&span) == before, "something was written");
            ensure!(
                installed().is_none(),
                "the backend is installed all the same"
            );
            flip(address);
        }
    }
    Ok(())
}

fn bad_records() -> Outcome {
    /// As many as there are cases, each with a site that cannot be looked at by mistake.
    static RECORDS: [SiteRecord; 4] = [
        SiteRecord::new(0, OpNumber(u16::MAX), 6),
        SiteRecord::new(0, <op::irq::disable as Op>::NUMBER, 5),
        SiteRecord::new(0, <op::irq::disable as Op>::NUMBER, 16),
        SiteRecord::new(0, <op::irq::disable as Op>::NUMBER, 0),
    ];
    for record in &RECORDS {
        // SAFETY: what the record leads to is itself, and is not looked at.
        let error = unsafe { patch::verify(std::slice::from_ref(record), &backend::bindings()) };
        let site = record.address();
        let op = record.op();
        let length = record.length();
        let wanted = match op.name() {
            None => PatchError::UnknownOp { site, op },
            Some(_) => PatchError::BadLength { site, op, length },
        };
        equal("the error", error, Err(wanted))?;
    }
    Ok(())
}

fn out_of_range() -> Outcome {
    let records = far_site(<op::irq::disable as Op>::NUMBER, 6)?;
    // SAFETY: the site is in the page.
    match unsafe { patch::verify(records, &backend::bindings()) } {
        Err(PatchError::OutOfRange { site, .. }) => {
            equal("the named site", site, records[0].address())
        }
        other => Err(format!("{other:?}")),
    }
}

fn install_host() -> Outcome {
    // SAFETY: this process is the boot CPU, and has no other threads.
    let counts = unsafe { install(&BACKEND, &PROCESS, &Interfaces::default()) };
    let counts = counts.map_err(|error| error.to_string())?;
    equal("the number of sites", counts.total(), image_sites().len())?;
    let all = [counts.inline, counts.call, counts.nop, counts.trap];
    ensure!(!all.contains(&0), "not all outcomes occur: {counts:?}");
    println!("     {} sites: {counts:?}", counts.total());
    Ok(())
}

fn install_twice() -> Outcome {
    // SAFETY: as before.
    let result = unsafe { install(&BACKEND, &PROCESS, &Interfaces::default()) };
    equal("the second time", result, Err(InstallError::Installed))
}

fn outcomes() -> Outcome {
    let bindings = backend::bindings();
    for record in image_sites() {
        let binding = &bindings.as_slice()[usize::from(record.op().0)];
        let code = bytes(record);
        let address = record.address();
        let instructions: Vec<Instruction> =
            Decoder::with_ip(64, code, address as u64, DecoderOptions::NONE)
                .into_iter()
                .collect();
        let first = instructions[0];
        let what = format!("{} at {address:#x}: {code:02x?}", record.op());
        let decoded: usize = instructions.iter().map(Instruction::len).sum();
        ensure!(
            decoded == code.len() && instructions.iter().all(|one| !one.is_invalid()),
            "{what}: not whole instructions"
        );
        let inline = binding
            .template()
            .filter(|template| template.len() <= code.len());
        match (binding.outcome(), inline) {
            (binding::Outcome::Inline, Some(template)) => {
                // The template is there to the byte, behind nothing but prefixes.
                let mut buffer = [0; 15];
                let template = template.copy_to(&mut buffer);
                let prefixes = code.iter().take_while(|&&byte| byte == 0x3e).count();
                ensure!(
                    code[prefixes..].starts_with(template),
                    "{what}: no template"
                );
                let plain = Decoder::new(64, template, DecoderOptions::NONE);
                let same = instructions
                    .iter()
                    .zip(plain)
                    .all(|(at_site, in_template)| {
                        at_site.code() == in_template.code()
                            && at_site.op_count() == in_template.op_count()
                            && (0..at_site.op_count()).all(|operand| {
                                at_site.op_kind(operand) == in_template.op_kind(operand)
                                    && at_site.op_register(operand)
                                        == in_template.op_register(operand)
                            })
                    });
                ensure!(same, "{what}: the prefixes change its meaning");
            }
            (binding::Outcome::Inline, None) | (binding::Outcome::Call, _) => {
                equal(&what, first.code(), Code::Call_rel32_64)?;
                equal(&what, first.near_branch64() as usize, binding.target())?;
                ensure!(
                    first.len() == 6,
                    "{what}: the call is not one instruction of six bytes"
                );
            }
            (binding::Outcome::Nop, _) => {
                ensure!(
                    instructions.iter().all(|one| is_nop(one.code())),
                    "{what}: not a NOP"
                );
                ensure!(instructions.len() == 1, "{what}: more than one NOP");
            }
            (binding::Outcome::Trap, _) => equal(&what, first.code(), Code::Ud2)?,
        }
    }
    Ok(())
}

fn is_nop(code: Code) -> bool {
    [
        Code::Nopw,
        Code::Nopd,
        Code::Nopq,
        Code::Nop_rm16,
        Code::Nop_rm32,
        Code::Nop_rm64,
    ]
    .contains(&code)
}

fn patched() -> Outcome {
    irq::disable();
    equal("the flags after disable", irq::save_flags(), 0)?;
    let mut entry = 0;
    // SAFETY: the backend's CPU is made of variables, and the entry is ours.
    unsafe {
        irq::enable();
        irq::restore_flags(backend::FLAGS_ENABLED);
        equal(
            "the flags after restore",
            irq::save_flags(),
            backend::FLAGS_ENABLED,
        )?;
        cpu::write_msr(0x1b, 0xfedc_ba98_7654_3210);
        equal("the register", cpu::read_msr(0x1b), 0xfedc_ba98_7654_3210)?;
        equal(
            "its index",
            backend::MSR_INDEX.load(Ordering::Relaxed),
            0x1b,
        )?;
        io::out8(0x3f8, 0xa5);
        equal("the port's value", io::in8(0x3f8), 0xa5)?;
        equal("the port", backend::PORT.load(Ordering::Relaxed), 0x3f8)?;
        mmu::set_pte(&mut entry, 0x8000_0000_0000_0067);
        cpu::write_fs_base(0x7fed_cba9_8765_4321);
        equal("the base", cpu::read_fs_base(), 0x7fed_cba9_8765_4321)?;
        let mut table = [0; 5];
        cpu::write_gdt_entry(table.as_mut_ptr(), 4, u64::MAX - 1);
        cpu::load_tls(table.as_mut_ptr(), 1, &[7, 8, 9]);
        equal("the descriptors", table, [0, 7, 8, 9, u64::MAX - 1])?;
    }
    equal("the entry", entry, 0x8000_0000_0000_0067)?;
    equal("the time-stamp counter", cpu::read_tsc(), backend::TSC)?;
    let leaf = cpu::cpuid(7, 3);
    equal(
        "CPUID",
        (leaf.eax, leaf.ebx, leaf.ecx, leaf.edx),
        (7, 0xb, 3, 0xd),
    )?;
    equal(
        "an entry",
        mmu::entry_value(mmu::make_entry(0x1234_5067)),
        0x1234_5067,
    )?;
    mmu::flush_tlb();
    io::delay();
    system::console_byte(u32::from(b'x'));
    equal(
        "the console",
        backend::CONSOLE.load(Ordering::Relaxed),
        u32::from(b'x'),
    )?;
    equal("an MSR", cpu::read_msr_safe(0x10), Err(MsrFault))
}

fn lazy() -> Outcome {
    let state = || {
        let flushes = backend::FLUSHES.load(Ordering::Relaxed);
        (backend::LAZY.is_lazy(), flushes)
    };
    equal("before", state(), (false, 0))?;
    let outer = mmu::lazy();
    equal("in lazy mode", state(), (true, 0))?;
    drop(mmu::lazy());
    equal("after an inner guard", state(), (true, 0))?;
    outer.flush();
    equal("after a flush", state(), (true, 1))?;
    let eager = mmu::eager();
    equal("in a handler", state(), (false, 2))?;
    drop(mmu::lazy());
    equal("after the handler's own guard", state(), (false, 2))?;
    drop(eager);
    equal("after the handler", state(), (true, 2))?;
    drop(outer);
    equal("after the outermost guard", state(), (false, 3))
}

fn trap() -> Outcome {
    let before = faults::traps();
    apic::eoi();
    equal("the number of traps", faults::traps() - before, 1)
}

/// Calls what is in the table, with a pattern in all registers, and compares them afterwards.
fn thunks() -> Outcome {
    let enabled = backend::FLAGS_ENABLED as u64;
    let mut entry = 0_u64;
    let entry_address = (&raw mut entry).addr() as u64;
    through::<op::irq::restore_flags>(&[(RDI, enabled)], &[])?;
    through::<op::irq::save_flags>(&[], &[(RAX, enabled)])?;
    through::<op::irq::disable>(&[], &[])?;
    through::<op::irq::save_flags>(&[], &[(RAX, 0)])?;
    through::<op::mmu::set_pte>(&[(RDI, entry_address), (RSI, 77)], &[])?;
    // SAFETY: our own variable, written behind the compiler's back.
    let written = unsafe { (&raw const entry).read_volatile() };
    equal("the entry", written, 77)?;
    let halves = [
        (RCX, 0x1b),
        (RAX, 0xffff_ffff_1234_5678),
        (RDX, 0xeeee_eeee_9abc_def0),
    ];
    through::<op::cpu::write_msr>(&halves, &[])?;
    equal(
        "the register",
        backend::MSR.load(Ordering::Relaxed),
        0x9abc_def0_1234_5678,
    )?;
    let halves = [(RAX, 0x1234_5678), (RDX, 0x9abc_def0)];
    through::<op::cpu::read_msr>(&[(RCX, 0x1b)], &halves)?;
    let halves = [(RAX, backend::TSC & 0xffff_ffff), (RDX, backend::TSC >> 32)];
    through::<op::cpu::read_tsc>(&[], &halves)?;
    let halves = [(RAX, 0xffff_ffff_1234_5678), (RDX, 0xeeee_eeee_9abc_def0)];
    through::<op::cpu::write_fs_base>(&halves, &[])?;
    let base = backend::BASE.load(Ordering::Relaxed);
    equal("the base", base, 0x9abc_def0_1234_5678)?;
    let halves = [(RAX, 0x1234_5678), (RDX, 0x9abc_def0)];
    through::<op::cpu::read_fs_base>(&[], &halves)?;
    let entry_by_index = [(RDI, entry_address - 80), (RSI, 10), (RDX, u64::MAX - 7)];
    through::<op::cpu::write_gdt_entry>(&entry_by_index, &[])?;
    // SAFETY: as above.
    let written = unsafe { (&raw const entry).read_volatile() };
    equal("the entry", written, u64::MAX - 7)?;
    through::<op::io::out8>(&[(RDX, 0xffff_0064), (RAX, 0xfe)], &[])?;
    equal("the port", backend::PORT.load(Ordering::Relaxed), 0x64)?;
    equal(
        "its value",
        backend::PORT_VALUE.load(Ordering::Relaxed),
        0xfe,
    )?;
    // Only al is the result.
    let mut registers = pattern();
    registers[RDX] = 0x60;
    // SAFETY: as in `through`.
    unsafe { call(&mut registers, 0, slot_of::<op::io::in8>()) };
    equal("io.in8", registers[RAX] as u8, 0xfe)?;
    let answer = [(RAX, 7), (RBX, 0xb), (RCX, 3), (RDX, 0xd)];
    through::<op::cpu::cpuid>(&[(RAX, 7), (RCX, 3)], &answer)
}

/// Calls an op with some registers set, and checks that only some others are `changed`: rax may be.
fn through<O: Op>(set: &[(usize, u64)], changed: &[(usize, u64)]) -> Outcome {
    for misalign in [0, 8] {
        let mut registers = pattern();
        set.iter()
            .for_each(|&(register, value)| registers[register] = value);
        let mut wanted = registers;
        // SAFETY: the ops are the host backend's, and the operands as they want them.
        unsafe { call(&mut registers, misalign, slot_of::<O>()) };
        changed
            .iter()
            .for_each(|&(register, value)| wanted[register] = value);
        if !changed.iter().any(|&(register, _)| register == RAX) {
            wanted[RAX] = registers[RAX];
        }
        equal(&O::NUMBER.to_string(), registers, wanted)?;
    }
    Ok(())
}

/// A function with one site, assembled at run time within reach of the table.
fn module() -> Outcome {
    #[repr(C, align(4096))]
    struct Code([u8; 4096]);
    static mut CODE: Code = Code([0; 4096]);

    const LENGTH: usize = 6;
    let code = (&raw mut CODE).cast::<u8>();
    let op = <op::irq::disable as Op>::NUMBER;
    let slot = (&raw const *OpTable::get()).addr() + usize::from(op.0) * 8;
    let displacement = i32::try_from(slot.wrapping_sub(code.addr() + LENGTH) as isize)
        .map_err(|error| error.to_string())?;
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
    backend::FLAGS.store(backend::FLAGS_ENABLED, Ordering::Relaxed);
    // SAFETY: a site that loses no more than a function may, and a `ret`.
    unsafe { std::mem::transmute::<*mut u8, extern "C" fn()>(code)() };
    equal("the flags", backend::FLAGS.load(Ordering::Relaxed), 0)
}

fn text_is_read_only() -> Outcome {
    let maps = std::fs::read_to_string("/proc/self/maps").map_err(|error| error.to_string())?;
    let both: Vec<&str> = maps
        .lines()
        .filter(|line| line.split(' ').nth(1).is_some_and(|p| p.starts_with("rwx")))
        .collect();
    equal("what is writable and executable", both, Vec::new())
}

fn own_file() -> Result<Vec<u8>, String> {
    std::fs::read("/proc/self/exe").map_err(|error| error.to_string())
}

/// The function that an address is in, by the symbols of this process's file.
fn function(address: usize) -> Result<String, String> {
    let file = own_file()?;
    let image = Image::parse(&file).map_err(|error| error.to_string())?;
    let table = image
        .symbols()
        .address_of("pvops_op_table")
        .ok_or("no symbol of the table")?;
    let bias = (&raw const *OpTable::get()).addr() as u64 - table;
    let place = image.symbols().place(address as u64 - bias);
    Ok(place.ok_or(format!("{address:#x} is in no function"))?.name)
}

fn bytes(record: &SiteRecord) -> &[u8] {
    // SAFETY: the record is one of this image's.
    unsafe { std::slice::from_raw_parts(record.address() as *const u8, record.length()) }
}

/// Flips a bit of the text, or flips it back.
fn flip(address: usize) {
    let byte = address..address + 1;
    let read_execute = libc::PROT_READ | libc::PROT_EXEC;
    protect(&byte, read_execute | libc::PROT_WRITE);
    // SAFETY: a byte of a site that nobody runs before it is flipped back.
    unsafe { *(address as *mut u8) ^= 1 };
    protect(&byte, read_execute);
}
