//! What a backend does for one op: a function for the table, and what to put at the call sites.

use core::fmt;
use core::marker::PhantomData;
use core::slice;

use crate::live::Change;
use crate::op::{COp, ErasedFunction, ExitOp, NoResult, Op, PreserveOp};
use crate::ops::Bindings;

/// What patching makes of a call site.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// A direct call of the bound function.
    Call,
    /// The template; a direct call where the site is too short for it.
    Inline,
    /// A direct jump, of an op that never returns.
    Jump,
    /// NOPs.
    Nop,
    /// UD2: the op must not be called on this host.
    Trap,
}

/// What a backend does for the op `O`.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Binding<O: Op> {
    erased: ErasedBinding,
    op: PhantomData<fn(O)>,
}

/// Binds an op of the C class to a function of the op's [`Function`](crate::Op::Function) type.
///
/// ```text
/// read: pvops_core::call!(apic::read, x2apic_read),
/// ```
///
/// The site of a preserve op expects its registers back, so such an op does not take a C function
/// as it is:
///
/// ```compile_fail,E0599
/// unsafe extern "C" fn disable() {}
/// pvops_core::call!(irq::disable, disable);
/// ```
///
/// Nor does an op take a function of another signature:
///
/// ```compile_fail,E0308
/// unsafe extern "C" fn read(register: u64) -> u64 { register }
/// pvops_core::call!(apic::read, read);
/// ```
///
/// An op with a result can't do nothing:
///
/// ```compile_fail,E0599
/// use pvops_core::{binding::Binding, op::irq::save_flags};
/// Binding::<save_flags>::nothing();
/// ```
#[macro_export]
macro_rules! call {
    ($group:ident::$name:ident, $function:path) => {{
        const FUNCTION: <$crate::op::$group::$name as $crate::Op>::Function = $function;
        $crate::binding::Binding::<$crate::op::$group::$name>::call(FUNCTION)
    }};
}

impl<O: COp> Binding<O> {
    /// A call of `function`; [`call!`](crate::call) says it shorter.
    pub const fn call(function: O::Function) -> Self {
        const { assert!(size_of::<O::Function>() == size_of::<ErasedFunction>()) };
        // SAFETY: the declaration makes `Function` a function pointer, and the sites of the op call
        // it with that signature.
        let target = unsafe { core::mem::transmute_copy(&function) };
        Self::new(target, None, Outcome::Call)
    }
}

impl<O: PreserveOp> Binding<O> {
    /// A call of a thunk; [`preserve!`](crate::preserve) makes one, and a host may have put one
    /// somewhere.
    ///
    /// # Safety
    ///
    /// `thunk` must implement the op on the operands of its shape and change nothing else.
    pub const unsafe fn preserve(thunk: ErasedFunction) -> Self {
        Self::new(thunk, None, Outcome::Call)
    }
}

impl<O: ExitOp> Binding<O> {
    /// A call of code that does not come back.
    ///
    /// # Safety
    ///
    /// `function` must implement the op on the registers and the frame that it finds, behind a return
    /// address that it drops.
    pub const unsafe fn exit_by_call(function: ErasedFunction) -> Self {
        Self::new(function, None, Outcome::Call)
    }

    /// A jump at the sites, to code that finds no return address on the stack. The table, whose
    /// functions are called, has `function` instead. An op that returns can't be bound to such code:
    ///
    /// ```compile_fail,E0599
    /// use pvops_core::{binding::Binding, op::irq::disable};
    /// unsafe extern "C" fn code() {}
    /// unsafe { Binding::<disable>::exit_by_jump(code, code) };
    /// ```
    ///
    /// # Safety
    ///
    /// `destination` must implement the op on the registers and the frame that it finds, and
    /// `function` the same, behind a return address that it drops.
    pub const unsafe fn exit_by_jump(
        function: ErasedFunction,
        destination: ErasedFunction,
    ) -> Self {
        let mut binding = Self::new(function, None, Outcome::Jump);
        binding.erased.destination = destination;
        binding
    }
}

impl Binding<crate::op::system::hypercall> {
    /// A call of code that does what the host would, for hosts that are simulated or listened to.
    ///
    /// # Safety
    ///
    /// `function` must answer on the registers of the host's ABI and change nothing else.
    pub const unsafe fn hypercall(function: ErasedFunction) -> Self {
        Self::new(function, None, Outcome::Call)
    }
}

impl<O: NoResult> Binding<O> {
    /// Nothing at all: an op that this host has no need of.
    pub const fn nothing() -> Self {
        Self::new(return_at_once, None, Outcome::Nop)
    }
}

impl<O: Op> Binding<O> {
    /// An op that must not be called on this host: calling it is an invalid-opcode exception.
    pub const fn unavailable() -> Self {
        Self::new(trap, None, Outcome::Trap)
    }

    /// Instructions at the site; [`inline!`](crate::inline) makes them.
    ///
    /// # Safety
    ///
    /// `thunk` must implement the op for a call; `template` must point to a header of four bytes
    /// (the template's length, the offset of its operand or 0 for none, 1 if it is a single
    /// instruction, else 0, and how many overrides of DS may go in front) and the template, which
    /// must implement the op in place.
    pub const unsafe fn inline(thunk: ErasedFunction, template: ErasedFunction) -> Self {
        Self::new(thunk, Some(template), Outcome::Inline)
    }

    /// The same function, and a template for the sites that is good once it
    /// [has](Self::with_operand) its operand; [`inline!`](crate::inline) makes it.
    ///
    /// # Safety
    ///
    /// As for [`inline`](Self::inline).
    pub const unsafe fn or_inline(self, template: ErasedFunction) -> Self {
        Self::new(self.erased.target, Some(template), Outcome::Call)
    }

    /// Gives the template its operand, and so makes it the sites' content. A binding without a template
    /// stays as it is.
    #[must_use]
    pub const fn with_operand(mut self, operand: u32) -> Self {
        if self.erased.template.is_some() {
            self.erased.operand = operand;
            self.erased.outcome = Outcome::Inline;
        }
        self
    }

    const fn new(
        target: ErasedFunction,
        template: Option<ErasedFunction>,
        outcome: Outcome,
    ) -> Self {
        Binding {
            erased: ErasedBinding {
                target,
                destination: target,
                template,
                operand: 0,
                outcome,
            },
            op: PhantomData,
        }
    }

    pub(crate) const fn target(&self) -> ErasedFunction {
        self.erased.target
    }

    pub(crate) const fn erased(&self) -> ErasedBinding {
        self.erased
    }

    pub(crate) fn outcome(&self) -> Outcome {
        self.erased.outcome
    }
}

impl<O: Op> fmt::Debug for Binding<O> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {:?}", O::NUMBER, self.erased)
    }
}

/// A binding without the op's type, as the patcher sees it.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct ErasedBinding {
    target: ErasedFunction,
    destination: ErasedFunction,
    template: Option<ErasedFunction>,
    operand: u32,
    outcome: Outcome,
}

impl ErasedBinding {
    /// What patching is to make of the op's sites.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Address of the function in the table.
    pub fn target(&self) -> usize {
        self.target as usize
    }

    /// Address that a direct call or jump at the op's sites leads to: the function in the table, but
    /// for a jump.
    pub fn destination(&self) -> usize {
        self.destination as usize
    }

    /// The template's bytes, its operand filled in.
    pub fn template(&self) -> Option<Template> {
        let start = self.template? as *const u8;
        // SAFETY: `inline` and `or_inline` have made sure that the pointer leads to four bytes and
        // a template as long as the first says, all of it text that nobody changes.
        let ([_, operand_at, single, padding], bytes) = unsafe {
            (
                start.cast::<[u8; 4]>().read(),
                slice::from_raw_parts(start.add(4), usize::from(*start)),
            )
        };
        Some(Template {
            bytes,
            single: single == 1,
            padding: usize::from(padding),
            operand: (operand_at != 0).then_some((usize::from(operand_at), self.operand)),
        })
    }
}

impl fmt::Debug for ErasedBinding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} {:p}", self.outcome, self.target)
    }
}

/// The bytes of a template, and where the number goes that is known only at boot.
#[derive(Clone, Copy, Debug)]
pub struct Template {
    bytes: &'static [u8],
    single: bool,
    padding: usize,
    operand: Option<(usize, u32)>,
}

impl Template {
    /// Length in bytes.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it is a single instruction. One that is may not be known to be.
    pub fn is_single_instruction(&self) -> bool {
        self.single
    }

    /// How many overrides of DS may go in front of it.
    pub(crate) fn padding(&self) -> usize {
        self.padding
    }

    /// Copies the template, operand and all, to the front of `out` and returns that part; `None` if
    /// `out` is shorter than the template.
    pub fn copy_to<'a>(&self, out: &'a mut [u8]) -> Option<&'a [u8]> {
        let out = out.get_mut(..self.bytes.len())?;
        out.copy_from_slice(self.bytes);
        if let Some((at, operand)) = self.operand {
            out[at..at + size_of::<u32>()].copy_from_slice(&operand.to_le_bytes());
        }
        Some(out)
    }
}

impl Bindings {
    /// All bindings, in the order of the op numbers.
    pub fn as_slice(&self) -> &[ErasedBinding] {
        const COUNT: usize = size_of::<Bindings>() / size_of::<ErasedBinding>();
        // SAFETY: `Bindings` is `repr(C)` and made of `repr(C)` groups of transparent
        // `ErasedBinding`s, hence an array of them.
        unsafe { slice::from_raw_parts((&raw const *self).cast(), COUNT) }
    }

    /// Replaces the binding of the op `change` is for.
    pub(crate) fn replace(&mut self, change: &Change) {
        let index = usize::from(change.op().0);
        debug_assert!(index < self.as_slice().len());
        // SAFETY: as above, and the op, which exists, has its binding at the position of its number.
        unsafe {
            (&raw mut *self)
                .cast::<ErasedBinding>()
                .add(index)
                .write(*change.binding());
        }
    }
}

/// The function behind [`Binding::nothing`].
#[unsafe(naked)]
unsafe extern "C" fn return_at_once() {
    core::arch::naked_asm!("ret")
}

/// The function behind [`Binding::unavailable`].
#[unsafe(naked)]
unsafe extern "C" fn trap() {
    core::arch::naked_asm!("ud2")
}
