//! The calls and their numbers.

/// Number of a call (vmi.h, `VMI_CALLS`). The documentation of each has its arguments and result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Call(pub u32);

/// Number of calls: all numbers are below it.
pub const COUNT: u32 = NAMES.len() as u32;

impl Call {
    /// The name that vmi.h has for it, without `VMI_`.
    pub fn name(self) -> Option<&'static str> {
        NAMES.get(self.0 as usize).copied()
    }
}

macro_rules! calls {
    ($($number:literal $constant:ident $name:literal $documentation:literal)*) => {
        impl Call {
            $(
                #[doc = $documentation]
                pub const $constant: Self = Self($number);
            )*
        }

        /// The names of all calls, by number.
        pub const NAMES: [&str; [$($number),*].len()] = [$($name),*];

        const _: () = {
            let numbers: [u32; NAMES.len()] = [$($number),*];
            let mut index = 0;
            while index < numbers.len() {
                assert!(numbers[index] == index as u32);
                index += 1;
            }
        };
    };
}

calls! {
    0 CPUID "CPUID"
        "EAX leaf, ECX subleaf; EAX, EBX, ECX and EDX are the result."
    1 WRMSR "WRMSR"
        "ECX register, EDX:EAX value."
    2 RDMSR "RDMSR"
        "ECX register; EDX:EAX value."
    3 SET_GDT "SetGDT"
        "EAX address of the operand of LGDT."
    4 SET_LDT "SetLDT"
        "EAX selector."
    5 SET_IDT "SetIDT"
        "EAX address of the operand of LIDT."
    6 SET_TR "SetTR"
        "EAX selector."
    7 GET_GDT "GetGDT"
        "EAX where to put the operand of LGDT."
    8 GET_LDT "GetLDT"
        "The result is a selector."
    9 GET_IDT "GetIDT"
        "EAX where to put the operand of LIDT."
    10 GET_TR "GetTR"
        "The result is a selector."
    11 WRITE_GDT_ENTRY "WriteGDTEntry"
        "EAX table, EDX index of the entry, ECX its low word, stack its high word."
    12 WRITE_LDT_ENTRY "WriteLDTEntry"
        "As `WriteGDTEntry`."
    13 WRITE_IDT_ENTRY "WriteIDTEntry"
        "As `WriteGDTEntry`."
    14 UPDATE_KERNEL_STACK "UpdateKernelStack"
        "EAX selector of the stack's segment (the specification: address of the task state), EDX stack pointer."
    15 SET_CR0 "SetCR0"
        "EAX value."
    16 SET_CR2 "SetCR2"
        "EAX value."
    17 SET_CR3 "SetCR3"
        "EAX value."
    18 SET_CR4 "SetCR4"
        "EAX value."
    19 GET_CR0 "GetCR0"
        "The result is the value."
    20 GET_CR2 "GetCR2"
        "The result is the value."
    21 GET_CR3 "GetCR3"
        "The result is the value."
    22 GET_CR4 "GetCR4"
        "The result is the value."
    23 WBINVD "WBINVD"
        "No arguments."
    24 SET_DR "SetDR"
        "EAX number of the debug register, EDX value."
    25 GET_DR "GetDR"
        "EAX number of the debug register; the result is the value."
    26 RDPMC "RDPMC"
        "ECX counter; EDX:EAX value."
    27 RDTSC "RDTSC"
        "EDX:EAX value."
    28 CLTS "CLTS"
        "No arguments."
    29 ENABLE_INTERRUPTS "EnableInterrupts"
        "Delivers pending interrupts before it returns. Changes flags only."
    30 DISABLE_INTERRUPTS "DisableInterrupts"
        "Changes flags only."
    31 GET_INTERRUPT_MASK "GetInterruptMask"
        "The result has [`INTERRUPTS_ENABLED`](super::INTERRUPTS_ENABLED). Changes flags and EAX only."
    32 SET_INTERRUPT_MASK "SetInterruptMask"
        "EAX: interrupts go on if it has [`INTERRUPTS_ENABLED`](super::INTERRUPTS_ENABLED), else off. Changes flags only."
    33 IRET "IRET"
        "The frame of IRET is on the stack; never returns. Reached by CALL or JMP, as its relocation says."
    34 SYSEXIT "SYSEXIT"
        "EDX where to go on, ECX stack pointer; turns interrupts on and never returns."
    35 HALT "Halt"
        "Turns interrupts on and waits for one."
    36 REBOOT "Reboot"
        "EAX kind, see [`reboot`](super::reboot)."
    37 SHUTDOWN "Shutdown"
        "Turns this CPU off."
    38 SET_PXE "SetPxE"
        "EAX value, EDX address of the entry, ECX [`update`](super::paging::update) flags."
    39 SET_PXE_LONG "SetPxELong"
        "EAX low and EDX high half of the value, ECX address of the entry, stack [`update`](super::paging::update) flags."
    40 UPDATE_PXE "UpdatePxE"
        "EAX address of an entry that the guest has written, EDX [`update`](super::paging::update) flags."
    41 UPDATE_PXE_LONG "UpdatePxELong"
        "As `UpdatePxE`, of a 64-bit entry."
    42 MACHINE_TO_PHYSICAL "MachineToPhysical"
        "No guest uses it, and its arguments are nowhere written down."
    43 PHYSICAL_TO_MACHINE "PhysicalToMachine"
        "As `MachineToPhysical`."
    44 ALLOCATE_PAGE "AllocatePage"
        "EAX frame that becomes a page table, EDX [`page`](super::paging::page) flags, ECX frame to clone from, stack first entry and number of entries to clone."
    45 RELEASE_PAGE "ReleasePage"
        "EAX frame, EDX [`page`](super::paging::page) flags."
    46 INVAL_PAGE "InvalPage"
        "EAX virtual address."
    47 FLUSH_TLB "FlushTLB"
        "EAX [`flush`](super::paging::flush) flags."
    48 SET_LINEAR_MAPPING "SetLinearMapping"
        "EAX slot, 0 to 3, EDX virtual address, ECX pages, stack first frame."
    49 INL "INL"
        "EDX port; EAX value."
    50 INB "INB"
        "EDX port; AL value."
    51 INW "INW"
        "EDX port; AX value."
    52 INSL "INSL"
        "EDX port, EDI address, ECX count; all three as by REP INS."
    53 INSB "INSB"
        "As `INSL`."
    54 INSW "INSW"
        "As `INSL`."
    55 OUTL "OUTL"
        "EAX value, EDX port."
    56 OUTB "OUTB"
        "AL value, EDX port."
    57 OUTW "OUTW"
        "AX value, EDX port."
    58 OUTSL "OUTSL"
        "EDX port, ESI address, ECX count; all three as by REP OUTS."
    59 OUTSB "OUTSB"
        "As `OUTSL`."
    60 OUTSW "OUTSW"
        "As `OUTSL`."
    61 SET_IOPL_MASK "SetIOPLMask"
        "EAX flags with the I/O privilege level, in bits 12 and 13."
    62 SET_INITIAL_AP_STATE "SetInitialAPState"
        "EAX address of an [`ApState`](super::ap_state::ApState), EDX local APIC identifier. Between INIT and start-up interrupt, whose vector is ignored."
    63 APIC_WRITE "APICWrite"
        "EAX register of the local APIC, EDX value. Guests pass the offset in its page, though the specification says address: only the low 12 bits count."
    64 APIC_READ "APICRead"
        "EAX register, as for `APICWrite`; the result is its value."
    65 IO_DELAY "IODelay"
        "No arguments."
    66 GET_CYCLE_FREQUENCY "GetCycleFrequency"
        "EDX:EAX cycles per second. `NONE` says that there are no time calls (66 to 71)."
    67 GET_CYCLE_COUNTER "GetCycleCounter"
        "EAX [`Counter`](super::time::Counter); EDX:EAX cycles."
    68 SET_ALARM "SetAlarm"
        "EAX [`AlarmFlags`](super::time::AlarmFlags), ECX:EDX expiry in cycles of its counter, stack period in cycles, low word first. A period of 0 makes it one-shot."
    69 CANCEL_ALARM "CancelAlarm"
        "EAX [`Counter`](super::time::Counter); the result is 1 if an alarm was set, else 0."
    70 GET_WALLCLOCK_TIME "GetWallclockTime"
        "EDX:EAX nanoseconds since 1970."
    71 WALLCLOCK_UPDATED "WallclockUpdated"
        "The result is 1 if the time of day was changed since the last call, else 0."
    72 SET_CALLBACKS "SetCallbacks"
        "No guest uses it, and its arguments are nowhere written down."
    73 SET_LAZY_MODE "SetLazyMode"
        "EAX [`LazyMode`](super::LazyMode)."
}

const _: () = assert!(COUNT == 74);
