//! The structures in memory that calls of Xen lead to: Xen's public/memory.h, version.h, vcpu.h,
//! event_channel.h and hvm/hvm_op.h.

use core::array;

use pvops_backend_xen::HypercallNumber;

/// Words of the longest.
pub(super) const MAX_WORDS: usize = 3;

/// The structure of a call, by the register that has its address.
#[derive(Clone, Copy)]
pub(super) struct Structure {
    pub(super) register: &'static str,
    pub(super) word_count: usize,
}

impl Structure {
    /// That of the call with this number and command; `None` if it has none.
    pub(super) fn of(number: u64, command: u64) -> Option<Self> {
        let (register, bytes) = match (HypercallNumber(number), command) {
            (HypercallNumber::VM_ASSIST, _) => return None,
            // xen_add_to_physmap
            (HypercallNumber::MEMORY_OP, 7) => ("rsi", 24),
            // xen_feature_info
            (HypercallNumber::XEN_VERSION, 6) => ("rsi", 8),
            // VCPUOP_is_up
            (HypercallNumber::VCPU_OP, 3) => return None,
            // vcpu_register_runstate_memory_area, by either kind of address
            (HypercallNumber::VCPU_OP, 5 | 14) => ("rdx", 8),
            // vcpu_register_vcpu_info
            (HypercallNumber::VCPU_OP, 10) => ("rdx", 16),
            // evtchn_bind_ipi, evtchn_expand_array
            (HypercallNumber::EVENT_CHANNEL_OP, 7 | 12) => ("rsi", 8),
            // evtchn_init_control
            (HypercallNumber::EVENT_CHANNEL_OP, 11) => ("rsi", 24),
            // xen_hvm_param
            (HypercallNumber::HVM_OP, 0 | 1) => ("rsi", 16),
            // xen_hvm_evtchn_upcall_vector
            (HypercallNumber::HVM_OP, 23) => ("rsi", 8),
            _ => panic!("hypercall {number:#x} with {command:#x}: what does it lead to?"),
        };
        Some(Structure {
            register,
            word_count: bytes / size_of::<u64>(),
        })
    }

    /// What is in it, and zeros behind.
    ///
    /// # Safety
    ///
    /// It is at that address.
    pub(super) unsafe fn read(self, address: u64) -> [u64; MAX_WORDS] {
        let start = core::ptr::with_exposed_provenance::<u64>(address as usize);
        array::from_fn(|index| match index < self.word_count {
            // SAFETY: as the caller says.
            true => unsafe { start.add(index).read_unaligned() },
            false => 0,
        })
    }
}
