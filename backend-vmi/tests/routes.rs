//! The ROM is asked of every call, and what it says is counted.

use pvops_backend_vmi::abi::call::{COUNT, Call};
use pvops_backend_vmi::route::{Misfit, Reach, Route};
use pvops_backend_vmi::routes::Routes;

const REACH: Reach = Reach {
    rom: 0x1000..0x2000,
    reserved: 0..0,
};

/// EDX:EAX.
fn answer(kind: u64, address: u64) -> u64 {
    kind << 32 | address
}

/// A ROM that has most calls, and some in every other way.
fn rom(call: Call) -> u64 {
    match call {
        Call::IRET | Call::SYSEXIT => answer(2, 0x1800),
        Call::UPDATE_PXE | Call::ALLOCATE_PAGE => answer(3, 0),
        Call::WRMSR => answer(0, 0),
        Call::RDMSR => answer(7, 0x1000),
        Call::CLTS => answer(1, 0x2000),
        Call(number) => answer(1, 0x1000 + u64::from(number)),
    }
}

#[test]
fn every_call_is_asked_for_once() {
    let mut asked = Vec::new();
    Routes::ask(&REACH, |call| {
        asked.push(call.0);
        0
    });
    assert_eq!(asked, (0..COUNT).collect::<Vec<_>>());
}

#[test]
fn each_call_has_its_route() {
    let routes = Routes::ask(&REACH, rom);
    let Ok(Route::Call(entry)) = routes.get(Call::SET_LAZY_MODE) else {
        panic!();
    };
    assert_eq!(entry.address(), 0x1000 + 73);
    assert_eq!(routes.get(Call::WRMSR), Ok(Route::Native));
    assert_eq!(routes.get(Call(COUNT)), Ok(Route::Native));
    assert!(routes.iter().map(|(call, _)| call.0).eq(0..COUNT));
}

#[test]
fn what_can_not_be_used_is_named() {
    let routes = Routes::ask(&REACH, rom);
    let misfits: Vec<_> = routes.misfits().collect();
    assert_eq!(misfits[0].0, Call::RDMSR);
    assert_eq!(misfits[1], (Call::CLTS, Misfit::Unreachable(0x2000)));
    assert_eq!(misfits.len(), 2);
    assert_eq!(
        routes.to_string(),
        "VMI calls: 67 calls, 2 jumps, 2 nothing, 1 native, 2 can't be used"
    );
}

#[test]
fn a_rom_that_has_nothing_lacks_the_two_that_must_be_there() {
    let routes = Routes::ask(&REACH, |_| 0);
    let misfits: Vec<_> = routes.misfits().collect();
    let missing = [Call::IRET, Call::SYSEXIT].map(|call| (call, Misfit::Missing));
    assert_eq!(misfits, missing);
}
