//! By which interrupt events come to PVH and HVM guests.
//!
//! HVM_PARAM_CALLBACK_IRQ of Xen's public/hvm/params.h,
//! HVMOP_set_evtchn_upcall_vector of
//! public/hvm/hvm_op.h.

use pvops_core::backend::BindError;
use spin::Mutex;

use super::parameters::set_parameter;
use crate::error::XenError;
use crate::event_channel::{End, ReachedCpus, end_by, set_reached_cpus};
use crate::hypercall::{self, HypercallNumber};
use crate::vcpu::VcpuId;

/// An interrupt for events.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Callback {
    /// The vector lent, at each CPU's local APIC.
    LocalApic,
    /// The vector lent, beside the local APIC: whatever is in service there, and without an end.
    Vector,
    /// An input of the I/O APIC, 1 to 255, level-triggered, which the kernel directs to the vector lent on CPU
    /// 0. All ports stay with that CPU. In HVM guests only: Xen takes it from a PVH guest, too, and an input
    /// that its I/O APIC does not have (from 48 on in Xen 4.17), and then no event comes.
    Gsi(u32),
    /// The interrupt of a PCI device, level-triggered, which the kernel directs to the vector lent on
    /// CPU 0. All ports stay with that CPU. In HVM guests only: Xen takes it from a PVH guest, too, and then
    /// no event comes.
    PciInterrupt {
        /// PCI domain.
        domain: u16,
        /// PCI bus.
        bus: u8,
        /// Device times 8, plus function.
        device_function: u8,
        /// 0 for INTA to 3 for INTD.
        pin: u8,
    },
}

/// Says by which interrupt events are to come. Without it, by the local APIC where Xen offers that, else
/// by [`Callback::Vector`]. On the boot CPU, before [`install`](pvops_core::install()). What Xen does not take,
/// and an input that no I/O APIC has, is an error of [`bring_up_cpu`](pvops_core::bring_up_cpu()).
pub fn set_callback(callback: Callback) {
    *WANTED.lock() = Some(callback);
}

static WANTED: Mutex<Option<Callback>> = Mutex::new(None);
/// What Xen was told, on the boot CPU.
static IN_USE: Mutex<Option<Callback>> = Mutex::new(None);

/// By which interrupt events come; `None` before the boot CPU is brought up, or without a vector. Not in an
/// interrupt handler.
pub fn callback() -> Option<Callback> {
    *IN_USE.lock()
}

/// Has events come to this CPU by the vector lent. Its local APIC is on, interrupts are off.
pub(crate) fn start(vcpu: VcpuId, vector: u8) -> Result<(), BindError> {
    let mut in_use = IN_USE.lock();
    let result = match *in_use {
        Some(Callback::LocalApic) => set_upcall_vector(vcpu, vector),
        Some(_) => Ok(()),
        None => choose(*WANTED.lock(), vcpu, vector).map(|chosen| *in_use = Some(chosen)),
    };
    result.map_err(|_| BindError("Xen has no interrupt for events"))
}

/// Xen knows nothing of it any more.
pub(super) fn forget() {
    *IN_USE.lock() = None;
}

/// Has Xen keep the shared page and the records of virtual CPUs in the word size of this code, whatever
/// ran before: it takes the one in which the parameter is set. No interrupt for events is chosen yet.
///
/// # Errors
///
/// What Xen says.
pub(crate) fn fix_word_size() -> Result<(), XenError> {
    const NO_INTERRUPT: u64 = 0;
    // SAFETY: no event is wanted before the CPU is brought up, which sets it again.
    unsafe { set_parameter(CALLBACK_IRQ, NO_INTERRUPT) }
}

fn choose(wanted: Option<Callback>, vcpu: VcpuId, vector: u8) -> Result<Callback, XenError> {
    /// Xen looks at so many bits, without a word.
    const MAX_GSI: u32 = 0xff;
    let chosen = match wanted {
        // To Xen 0 is none.
        Some(Callback::Gsi(gsi)) if gsi == 0 || gsi > MAX_GSI => return Err(XenError::INVALID),
        Some(callback) => callback,
        None if set_upcall_vector(vcpu, vector).is_ok() => Callback::LocalApic,
        None => Callback::Vector,
    };
    // The Vector ends by itself when nothing is pending, the others are interrupts like a device's.
    end_by(match chosen {
        Callback::Vector => End::ByItself,
        _ => End::AtLocalApic,
    });
    set_reached_cpus(match chosen.comes_to_each_cpu() {
        true => ReachedCpus::Each,
        false => ReachedCpus::First,
    });
    if wanted == Some(Callback::LocalApic) {
        set_upcall_vector(vcpu, vector)?;
    }
    // SAFETY: the parameter is about the vector lent.
    unsafe { set_parameter(CALLBACK_IRQ, chosen.encode(vector))? };
    Ok(chosen)
}

impl Callback {
    /// Whether each CPU takes events of its own. Else CPU 0 takes all.
    pub fn comes_to_each_cpu(self) -> bool {
        matches!(self, Callback::LocalApic | Callback::Vector)
    }

    /// The parameter's value: the kind in bits 56 to 63.
    fn encode(self, vector: u8) -> u64 {
        const PCI_INTERRUPT: u64 = 1 << 56;
        const VECTOR: u64 = 2 << 56;
        /// Anything but 0: so the toolstack knows that the guest takes events.
        const TAKES_EVENTS: u64 = 1;
        match self {
            Callback::LocalApic => TAKES_EVENTS,
            Callback::Vector => VECTOR | u64::from(vector),
            Callback::Gsi(gsi) => u64::from(gsi),
            Callback::PciInterrupt {
                domain,
                bus,
                device_function,
                pin,
            } => {
                PCI_INTERRUPT
                    | u64::from(domain) << 32
                    | u64::from(bus) << 16
                    | u64::from(device_function) << 8
                    | u64::from(pin & 3)
            }
        }
    }
}

fn set_upcall_vector(vcpu: VcpuId, vector: u8) -> Result<(), XenError> {
    let mut operation = SetUpcallVector {
        vcpu: vcpu.0,
        vector,
        padding: [0; 3],
    };
    // SAFETY: the structure is the command's; the vector is lent for this.
    unsafe {
        hypercall::command(HypercallNumber::HVM_OP, SET_UPCALL_VECTOR, &mut operation).map(drop)
    }
}

/// HVMOP_set_evtchn_upcall_vector.
const SET_UPCALL_VECTOR: u32 = 23;
/// HVM_PARAM_CALLBACK_IRQ.
const CALLBACK_IRQ: u32 = 0;

/// `struct xen_hvm_evtchn_upcall_vector`.
#[repr(C)]
struct SetUpcallVector {
    vcpu: u32,
    vector: u8,
    padding: [u8; 3],
}

const _: () = assert!(size_of::<SetUpcallVector>() == 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_that_xen_would_take_for_another_is_refused() {
        for gsi in [0, 256, 256 + 9, u32::MAX] {
            let chosen = choose(Some(Callback::Gsi(gsi)), VcpuId(0), 0xf3);
            assert_eq!(chosen, Err(XenError::INVALID), "{gsi}");
        }
    }

    #[test]
    fn parameters_are_as_xen_has_them() {
        let interrupt = Callback::PciInterrupt {
            domain: 0x1234,
            bus: 0x56,
            device_function: 0x18,
            pin: 2,
        };
        for (callback, value) in [
            (Callback::LocalApic, 1),
            (Callback::Vector, 0x0200_0000_0000_00f3),
            (Callback::Gsi(9), 9),
            (interrupt, 0x0100_1234_0056_1802),
        ] {
            assert_eq!(callback.encode(0xf3), value, "{callback:?}");
        }
    }
}
