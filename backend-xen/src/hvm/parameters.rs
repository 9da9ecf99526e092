//! The parameters of PVH and HVM guests: HVMOP_set_param and HVMOP_get_param of Xen's
//! public/hvm/hvm_op.h; HVM_PARAM_ and the name in public/hvm/params.h.

use crate::domain::DomainId;
use crate::error::XenError;
use crate::hypercall::{self, HypercallNumber};

/// The value of a parameter.
pub(crate) fn parameter(index: u32) -> Result<u64, XenError> {
    const GET_PARAM: u32 = 1;
    let mut parameter = Parameter::new(index, 0);
    // SAFETY: the structure is the command's, of integers.
    unsafe { hypercall::command(HypercallNumber::HVM_OP, GET_PARAM, &mut parameter)? };
    Ok(parameter.value)
}

/// Sets a parameter.
///
/// # Safety
///
/// What the parameter means is as the caller wants it.
pub(super) unsafe fn set_parameter(index: u32, value: u64) -> Result<(), XenError> {
    const SET_PARAM: u32 = 0;
    let mut parameter = Parameter::new(index, value);
    // SAFETY: the structure is the command's; as the caller vouches.
    unsafe { hypercall::command(HypercallNumber::HVM_OP, SET_PARAM, &mut parameter).map(drop) }
}

/// `struct xen_hvm_param`.
#[repr(C)]
struct Parameter {
    domain: u16,
    padding: u16,
    index: u32,
    value: u64,
}

const _: () = assert!(size_of::<Parameter>() == 16);

impl Parameter {
    fn new(index: u32, value: u64) -> Self {
        Parameter {
            domain: DomainId::SELF.0,
            padding: 0,
            index,
            value,
        }
    }
}
