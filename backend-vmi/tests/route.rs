//! What a guest makes of the ROM's answers.

use pvops_backend_vmi::abi::call::{self, Call};
use pvops_backend_vmi::abi::relocation::Relocation;
use pvops_backend_vmi::route::{Misfit, Reach, Route};

const IN_ROM: u32 = 0xc00c_a123;

fn reach() -> Reach {
    Reach {
        rom: 0xc00c_a000..0xc00c_b000,
        reserved: 0xfc00_0000..0x1_0000_0000,
    }
}

/// As the ROM has it in EDX:EAX.
fn answer(call: Call, kind: u8, address: u32) -> Result<Route, Misfit> {
    let registers = u64::from(kind) << 32 | u64::from(address);
    Route::of(call, Relocation::from_registers(registers), &reach())
}

#[test]
fn kinds_are_told_apart() {
    assert_eq!(answer(Call::WBINVD, 0, 0), Ok(Route::Native));
    assert_eq!(answer(Call::WBINVD, 3, 0), Ok(Route::Nothing));
    let Ok(Route::Call(entry)) = answer(Call::WBINVD, 1, IN_ROM) else {
        panic!();
    };
    assert_eq!(entry.address(), IN_ROM);
    let Ok(Route::Jump(entry)) = answer(Call::IRET, 2, IN_ROM) else {
        panic!();
    };
    assert_eq!(entry.address(), IN_ROM);
}

#[test]
fn reserved_bytes_of_the_answer_mean_nothing() {
    let relocation = Relocation::from_registers(0xabcd_ef01 << 32 | u64::from(IN_ROM));
    assert!(matches!(
        Route::of(Call::CLTS, relocation, &reach()),
        Ok(Route::Call(_))
    ));
}

#[test]
fn code_is_the_roms_own() {
    for address in [0xc00c_a000, 0xc00c_afff, 0xfc00_0000, 0xffff_ffff] {
        assert!(answer(Call::CLTS, 1, address).is_ok(), "{address:#x}");
    }
    for address in [0, 0x1000, 0xc00c_9fff, 0xc00c_b000, 0xfbff_ffff] {
        let misfit = Err(Misfit::Unreachable(address));
        assert_eq!(answer(Call::CLTS, 1, address), misfit);
        assert_eq!(answer(Call::IRET, 2, address), misfit);
    }
}

#[test]
fn a_rom_that_reserves_nothing_has_nothing_at_the_top() {
    let reach = Reach {
        reserved: 1 << 32..1 << 32,
        ..reach()
    };
    let relocation = Relocation::from_registers(1 << 32 | 0xffff_ffff);
    let misfit = Err(Misfit::Unreachable(0xffff_ffff));
    assert_eq!(Route::of(Call::CLTS, relocation, &reach), misfit);
}

#[test]
fn only_what_never_returns_is_jumped_to_and_it_can_not_be_left_out() {
    let mut never_return = Vec::new();
    for call in (0..call::COUNT).map(Call) {
        match answer(call, 2, IN_ROM) {
            Ok(Route::Jump(_)) => never_return.push(call),
            other => assert_eq!(other, Err(Misfit::ReturnsNowhere), "{call:?}"),
        }
    }
    assert_eq!(never_return, [Call::IRET, Call::SYSEXIT]);
    for call in never_return {
        assert_eq!(answer(call, 0, 0), Err(Misfit::Missing));
        assert_eq!(answer(call, 3, 0), Err(Misfit::Missing));
        assert!(matches!(answer(call, 1, IN_ROM), Ok(Route::Call(_))));
    }
}

#[test]
fn a_call_with_a_result_can_not_be_nothing() {
    for call in [
        Call::GET_CR2,
        Call::GET_INTERRUPT_MASK,
        Call::RDTSC,
        Call::INB,
        Call::APIC_READ,
    ] {
        assert_eq!(answer(call, 3, 0), Err(Misfit::GivesNoValue));
    }
    // What Linux 2.6.32 was seen to leave out.
    for number in [14, 40, 44, 45, 48, 73] {
        assert_eq!(answer(Call(number), 3, 0), Ok(Route::Nothing));
    }
}

#[test]
fn unknown_kinds_are_named() {
    for kind in [4, 0x80, 0xff] {
        let misfit = answer(Call::CLTS, kind, IN_ROM).unwrap_err();
        assert_eq!(
            misfit.to_string(),
            format!("unknown relocation type {kind}")
        );
        assert_eq!(answer(Call::IRET, kind, IN_ROM), Err(misfit));
    }
}
