//! `VMI_GetRelocationInfo`.

use crate::abi::call::{COUNT, Call};
use crate::abi::relocation::Kind;
use crate::boot::BootInformation;
use crate::console::{check, say};
use crate::rom::Rom;

pub(super) fn run(rom: Rom, information: &BootInformation) {
    let end = rom.base + rom.bytes().len() as u32;
    for number in 0..COUNT {
        let call = Call(number);
        let relocation = rom.relocation(call);
        let expected = expected(call, information);
        if relocation.kind != expected {
            say!("call {number} has kind {:?}", relocation.kind);
        }
        check!(relocation.kind == expected, "kind of call {number}");
        check!(
            relocation.reserved == [0; 3],
            "the rest of EDX for call {number}"
        );
        let inside = (rom.base..end).contains(&relocation.address);
        check!(
            inside == (expected != Kind::NONE),
            "address of call {number}"
        );
        let same = (0..50).all(|_| rom.relocation(call) == relocation);
        check!(same, "call {number} stays where it is");
    }
    for number in [COUNT, 75, 85, 0x100, 0x1000, u32::MAX] {
        let relocation = rom.relocation(Call(number));
        check!(relocation.kind == Kind::NONE, "there is no call {number}");
    }
}

fn expected(call: Call, information: &BootInformation) -> Kind {
    match call {
        Call::IRET | Call::SYSEXIT => Kind::JUMP_REL,
        Call::MACHINE_TO_PHYSICAL | Call::PHYSICAL_TO_MACHINE | Call::SET_CALLBACKS => Kind::NONE,
        Call::APIC_READ | Call::APIC_WRITE | Call::SET_INITIAL_AP_STATE
            if information.has("no-apic") =>
        {
            Kind::NONE
        }
        _ if (Call::GET_CYCLE_FREQUENCY..=Call::WALLCLOCK_UPDATED).contains(&call)
            && information.has("no-timer") =>
        {
            Kind::NONE
        }
        Call::UPDATE_PXE | Call::UPDATE_PXE_LONG | Call::ALLOCATE_PAGE | Call::RELEASE_PAGE
            if !information.has("count") =>
        {
            Kind::NOP
        }
        _ => Kind::CALL_REL,
    }
}
