//! The thunks, run: what the ROM is called with for each op. As a 32-bit program, for example by
//! `cargo test --target i686-unknown-linux-musl` with `RUSTFLAGS="-C relocation-model=static"`.

mod rom;

use core::arch::asm;
use core::sync::atomic::Ordering;
use std::format;
use std::vec::Vec;

use pvops_backend_native::BEFORE_INSTALL as NATIVE;
use pvops_core::Op;
use pvops_core::binding::{Binding, Outcome};
use pvops_core::descriptor::GateDescriptor;
use pvops_core::live::Change;

use self::rom::{NOT_PROVIDED, NOTHING, Seen, TestRom, UNKNOWN};
use super::binder::Binder;
use super::{CopiedEntries, apic, cpu, io, irq, lazy, mmu, start, time};
use crate::abi::call::Call;
use crate::entry_flags::{Entries, PageFlags, UpdateFlags};
use crate::route::Misfit;

/// What is called for an op that is not patched.
fn target<O: Op>(binding: Binding<O>) -> usize {
    Change::to(binding).binding().target()
}

fn outcome<O: Op>(binding: Binding<O>) -> Outcome {
    Change::to(binding).binding().outcome()
}

/// Calls a `plain` op's function as a site does, and returns edx:eax.
fn call(function: usize, registers: [u32; 3]) -> u64 {
    let [eax, edx, ecx] = registers;
    let (low, high): (u32, u32);
    // SAFETY: the function is one for an op that loses eax, edx and ecx.
    unsafe {
        asm!(
            "call {function}",
            function = in(reg) function,
            inout("eax") eax => low,
            inout("edx") edx => high,
            inout("ecx") ecx => _,
        );
    }
    u64::from(high) << 32 | u64::from(low)
}

fn cpu_bindings(rom: &TestRom) -> pvops_core::bindings::cpu {
    cpu::bind(&Binder::new(rom.routes()), NATIVE.cpu)
}

fn mmu_bindings(rom: &TestRom, entries: Entries) -> pvops_core::bindings::mmu {
    mmu::bind(&Binder::new(rom.routes()), entries, NATIVE.mmu)
}

#[test]
fn the_rom_is_started_and_asked_once() {
    let rom = TestRom::get();
    let misfits: Vec<_> = rom.routes().misfits().collect();
    assert!(matches!(misfits[..], [(UNKNOWN, Misfit::UnknownKind(_))]));
    assert_eq!(
        format!("{}", rom.routes()),
        "VMI calls: 69 calls, 2 jumps, 1 nothing, 1 native, 1 can't be used"
    );
    assert!(start::start().is_err());
}

#[test]
fn ops_with_the_roms_abi_have_the_roms_code() {
    let rom = TestRom::get();
    let cpu = cpu_bindings(&rom);
    let irq = irq::bind(&Binder::new(rom.routes()), NATIVE.irq);
    let mmu = mmu_bindings(&rom, Entries::Bits64);
    let io = io::bind(&Binder::new(rom.routes()), NATIVE.io);
    for (target, call) in [
        (target(cpu.read_cr0), Call::GET_CR0),
        (target(cpu.write_cr4), Call::SET_CR4),
        (target(cpu.cpuid), Call::CPUID),
        (target(cpu.read_msr), Call::RDMSR),
        (target(cpu.write_msr), Call::WRMSR),
        (target(cpu.load_gdt), Call::SET_GDT),
        (target(cpu.load_task_register), Call::SET_TR),
        (target(cpu.write_gdt_entry), Call::WRITE_GDT_ENTRY),
        (target(irq.save_flags), Call::GET_INTERRUPT_MASK),
        (target(irq.restore_flags), Call::SET_INTERRUPT_MASK),
        (target(irq.disable), Call::DISABLE_INTERRUPTS),
        (target(irq.enable), Call::ENABLE_INTERRUPTS),
        (target(irq.safe_halt), Call::HALT),
        (target(mmu.read_cr2), Call::GET_CR2),
        (target(mmu.write_cr3), Call::SET_CR3),
        (target(mmu.flush_tlb_page), Call::INVAL_PAGE),
        (target(io.in8), Call::INB),
        (target(io.out32), Call::OUTL),
        (target(io.delay), Call::IO_DELAY),
    ] {
        assert_eq!(target, rom.code(call), "{call:?}");
    }
}

#[test]
fn what_the_rom_has_not_is_native_or_nothing() {
    let rom = TestRom::get();
    let cpu = cpu_bindings(&rom);
    assert_eq!(
        rom.routes().get(NOT_PROVIDED),
        Ok(crate::route::Route::Native)
    );
    assert_eq!(outcome(cpu.clear_task_switched), Outcome::Inline);
    assert_eq!(rom.routes().get(NOTHING), Ok(crate::route::Route::Nothing));
    assert_eq!(outcome(cpu.wbinvd), Outcome::Nop);
    // An unknown kind of relocation.
    assert_eq!(outcome(cpu.read_performance_counter), Outcome::Inline);
}

#[test]
fn exits_jump_from_sites_and_from_the_table() {
    let rom = TestRom::get();
    let cpu = cpu_bindings(&rom);
    for (call, change) in [
        (Call::IRET, Change::to(cpu.interrupt_return)),
        (Call::SYSEXIT, Change::to(cpu.sysenter_return)),
    ] {
        let binding = change.binding();
        assert_eq!(binding.outcome(), Outcome::Jump);
        assert_eq!(binding.destination(), rom.code(call));
        // The ROM's code returns to whatever is on top of the stack: the frame's first word.
        // SAFETY: the stack is as before at the label.
        unsafe {
            asm!(
                // Pushes where the frame leads to.
                "call 2f",
                "jmp 3f",
                "2: call {function}",
                "ud2",
                "3:",
                function = in(reg) binding.target(),
                inout("edx") 0x1000 => _,
                inout("ecx") 0x2000 => _,
                out("eax") _,
            );
        }
        let Seen { edx, ecx, .. } = rom.seen();
        assert_eq!((rom.seen().call, edx, ecx), (call.0, 0x1000, 0x2000));
    }
}

#[test]
fn long_entries_are_set_with_their_level() {
    let rom = TestRom::get();
    let mmu = mmu_bindings(&rom, Entries::Bits64);
    for (function, level) in [
        (target(mmu.set_pte), 1),
        (target(mmu.set_pmd), 2),
        (target(mmu.set_pud), 4),
        (target(mmu.commit_protection), 1),
    ] {
        // With another CPU in lazy mode it is found out that this one is not.
        for lazy_cpus in [0, 1] {
            lazy::LAZY_CPUS.store(lazy_cpus, Ordering::Relaxed);
            call(function, [0xc012_3008, 0x5678_9063, 0x1]);
            let seen = rom.seen();
            assert_eq!(seen.call, Call::SET_PXE_LONG.0);
            assert_eq!(
                [seen.eax, seen.edx, seen.ecx],
                [0x5678_9063, 0x1, 0xc012_3008]
            );
            assert_eq!(seen.stack[0], level);
        }
        lazy::LAZY_CPUS.store(0, Ordering::Relaxed);
    }
}

#[test]
fn short_entries_are_set_with_their_level() {
    let rom = TestRom::get();
    let mmu = mmu_bindings(&rom, Entries::Bits32);
    for (function, level) in [(target(mmu.set_pte), 1), (target(mmu.set_pmd), 2)] {
        for lazy_cpus in [0, 1] {
            lazy::LAZY_CPUS.store(lazy_cpus, Ordering::Relaxed);
            call(function, [0xc012_3008, 0x5678_9063, 0]);
            let seen = rom.seen();
            assert_eq!(seen.call, Call::SET_PXE.0);
            assert_eq!(
                [seen.eax, seen.edx, seen.ecx],
                [0x5678_9063, 0xc012_3008, level]
            );
        }
        lazy::LAZY_CPUS.store(0, Ordering::Relaxed);
    }
}

#[test]
fn an_entry_is_cleared_and_the_rom_told() {
    let rom = TestRom::get();
    #[repr(align(8))]
    struct Entry(u64);
    for (entries, update, old) in [
        (Entries::Bits64, Call::UPDATE_PXE_LONG, 0x1_5678_9063),
        (Entries::Bits32, Call::UPDATE_PXE, 0x5678_9063),
    ] {
        let mut entry = Entry(0x1_5678_9063);
        let place = (&raw mut entry.0).addr() as u32;
        let function = target(mmu_bindings(&rom, entries).start_protection);
        assert_eq!(call(function, [place, 0, 0]), old);
        let seen = rom.seen();
        assert_eq!([seen.call, seen.eax, seen.edx], [update.0, place, 1]);
        // SAFETY: the op has written it.
        let left = unsafe { (&raw const entry.0).read_volatile() };
        assert_eq!(left as u32, 0);
    }
}

#[test]
fn tables_are_registered_as_the_mode_wants_it() {
    let rom = TestRom::get();
    for (entries, wide) in [(Entries::Bits32, 0), (Entries::Bits64, 0x10)] {
        let mmu = mmu_bindings(&rom, entries);
        for (function, number) in [
            (target(mmu.alloc_table), Call::ALLOCATE_PAGE),
            (target(mmu.release_table), Call::RELEASE_PAGE),
        ] {
            for level in [1, 2] {
                // The frame has two words.
                call(function, [0x1234, 0, level]);
                let seen = rom.seen();
                assert_eq!(
                    [seen.call, seen.eax, seen.edx],
                    [number.0, 0x1234, level | wide]
                );
                assert_eq!((seen.ecx, seen.stack), (0, [0; 2]));
            }
            let before = rom.seen().count;
            call(function, [0x1234, 0, 3]);
            assert_eq!(rom.seen().count, before);
        }
    }
}

#[test]
fn what_ops_can_not_say_is_told() {
    let rom = TestRom::get();
    for (entries, updated, wide) in [
        (Entries::Bits32, Call::UPDATE_PXE, 0),
        (Entries::Bits64, Call::UPDATE_PXE_LONG, 0x10),
    ] {
        mmu_bindings(&rom, entries);
        let flags = UpdateFlags::of_level(1).unwrap().at(0x0804_8123);
        // SAFETY: the ROM does nothing.
        unsafe { mmu::update_entry(0xc000_2008 as *const u64, flags) };
        let seen = rom.seen();
        assert_eq!(
            [seen.call, seen.eax, seen.edx],
            [updated.0, 0xc000_2008, 0x0804_8011]
        );
        let copied = CopiedEntries {
            from: 0x77,
            first: 768,
            count: 256,
        };
        let flags = PageFlags::of_level(2, entries).unwrap();
        // SAFETY: as above.
        unsafe { mmu::clone_table(0x1234, flags, copied) };
        let seen = rom.seen();
        assert_eq!(
            [seen.call, seen.eax, seen.edx, seen.ecx],
            [Call::ALLOCATE_PAGE.0, 0x1234, 0x22 | wide, 0x77]
        );
        assert_eq!(seen.stack, [768, 256]);
    }
    // SAFETY: as above.
    unsafe { cpu::set_io_privilege_level(3) };
    let seen = rom.seen();
    assert_eq!([seen.call, seen.eax], [Call::SET_IOPL_MASK.0, 0x3000]);
    for (answer, was_set) in [(1, true), (1 << 32, false)] {
        rom.answer(answer);
        assert_eq!(time::wall_clock_was_set(), was_set);
        assert_eq!(rom.seen().call, Call::WALLCLOCK_UPDATED.0);
    }
}

#[test]
fn the_linear_mapping_is_told() {
    let rom = TestRom::get();
    mmu::set_linear_mapping();
    let seen = rom.seen();
    assert_eq!(seen.call, Call::SET_LINEAR_MAPPING.0);
    assert_eq!([seen.eax, seen.edx, seen.ecx], [0, 0xc000_0000, 0x1_0000]);
    assert_eq!(seen.stack[0], 0);
}

#[test]
fn constants_are_where_the_rom_wants_them() {
    let rom = TestRom::get();
    let mmu = mmu_bindings(&rom, Entries::Bits64);
    let cpu = cpu_bindings(&rom);
    let apic = apic::bind(&Binder::new(rom.routes()), NATIVE.apic);
    for (function, number, eax) in [
        (target(mmu.flush_tlb), Call::FLUSH_TLB, 1),
        (target(mmu.flush_tlb_all), Call::FLUSH_TLB, 3),
        (target(cpu.start_context_switch), Call::SET_LAZY_MODE, 2),
        (target(cpu.end_context_switch), Call::SET_LAZY_MODE, 0),
        (target(apic.eoi), Call::APIC_WRITE, 0xb0),
    ] {
        call(function, [7; 3]);
        assert_eq!((rom.seen().call, rom.seen().eax), (number.0, eax));
    }
    assert_eq!(rom.seen().edx, 0);
}

#[test]
fn the_kernels_stack_is_written_and_told() {
    let rom = TestRom::get();
    let field = 0_u32;
    let place = (&raw const field).addr() as u32;
    let stack_segment: u32;
    // SAFETY: reads a register.
    unsafe { asm!("mov {:e}, ss", out(reg) stack_segment, options(nomem, nostack)) };
    call(
        target(cpu_bindings(&rom).load_kernel_stack),
        [place, 0xc0de_0000, 0],
    );
    let seen = rom.seen();
    assert_eq!(seen.call, Call::UPDATE_KERNEL_STACK.0);
    assert_eq!([seen.eax, seen.edx], [stack_segment & 0xfffc, 0xc0de_0000]);
    // SAFETY: the op has written it.
    assert_eq!(unsafe { (&raw const field).read_volatile() }, 0xc0de_0000);
}

/// The function of an op of the C class.
macro_rules! c_function {
    ($binding:expr, $signature:ty) => {{
        let target = target($binding);
        // SAFETY: that is the op's signature.
        unsafe { core::mem::transmute::<usize, $signature>(target) }
    }};
}

#[test]
fn functions_of_the_c_class_call_the_rom() {
    let rom = TestRom::get();
    let cpu = cpu_bindings(&rom);
    let apic = apic::bind(&Binder::new(rom.routes()), NATIVE.apic);
    let read = c_function!(cpu.read_debug_register, unsafe extern "C" fn(u32) -> usize);
    let write = c_function!(cpu.write_debug_register, unsafe extern "C" fn(u32, usize));
    let gate = c_function!(
        cpu.write_idt_entry,
        unsafe extern "C" fn(*mut GateDescriptor, usize, *const GateDescriptor)
    );
    let apic_read = c_function!(apic.read, unsafe extern "C" fn(u32) -> u32);
    let apic_write = c_function!(apic.write, unsafe extern "C" fn(u32, u32));
    let descriptor = GateDescriptor {
        low: 0x11,
        high: 0x22,
    };
    let table = 0xc000_1000 as *mut GateDescriptor;
    // SAFETY: the ROM does nothing.
    unsafe {
        assert_eq!(read(7), 0x1111_2222);
        assert_eq!([rom.seen().call, rom.seen().eax], [Call::GET_DR.0, 7]);
        let before = rom.seen().count;
        assert_eq!(read(4), 0);
        assert_eq!(rom.seen().count, before);
        write(3, 5);
        let seen = rom.seen();
        assert_eq!([seen.call, seen.eax, seen.edx], [Call::SET_DR.0, 3, 5]);
        gate(table, 14, &descriptor);
        let seen = rom.seen();
        assert_eq!(seen.call, Call::WRITE_IDT_ENTRY.0);
        assert_eq!([seen.eax, seen.edx, seen.ecx], [0xc000_1000, 14, 0x11]);
        assert_eq!(seen.stack[0], 0x22);
        assert_eq!(apic_read(0x32), 0x1111_2222);
        assert_eq!(
            [rom.seen().call, rom.seen().eax],
            [Call::APIC_READ.0, 0x320]
        );
        apic_write(0x38, 9);
        let seen = rom.seen();
        assert_eq!(
            [seen.call, seen.eax, seen.edx],
            [Call::APIC_WRITE.0, 0x380, 9]
        );
    }
}

#[test]
fn strings_go_by_the_registers_of_ins_and_outs() {
    let rom = TestRom::get();
    let io = io::bind(&Binder::new(rom.routes()), NATIVE.io);
    let read = c_function!(io.in16_string, unsafe extern "C" fn(u16, *mut u16, usize));
    let write = c_function!(io.out8_string, unsafe extern "C" fn(u16, *const u8, usize));
    // SAFETY: the ROM does nothing.
    unsafe {
        read(0x1f0, 0x1000 as *mut u16, 256);
        let seen = rom.seen();
        assert_eq!(
            [seen.call, seen.edi, seen.edx, seen.ecx],
            [54, 0x1000, 0x1f0, 256]
        );
        write(0xe9, 0x2000 as *const u8, 3);
        let seen = rom.seen();
        assert_eq!(
            [seen.call, seen.esi, seen.edx, seen.ecx],
            [59, 0x2000, 0xe9, 3]
        );
    }
}
