//! Turns the declaration of the ops into everything that is made from it.
//!
//! An op is written once, in [`crate::ops`]:
//!
//! ```text
//! pub group {
//!     /// Documentation.
//!     [shape] safe fn name(argument: u32) -> u64;
//!     [shape, 12] unsafe fn other(argument: u32);
//! }
//! ```
//!
//! From that come the function that a kernel calls (`group::name`), whose body is one call site;
//! the op's marker type (`op::group::name`) with its number, shape and signature; its slot in the
//! [`OpTable`](crate::OpTable); its entry in [`Bindings`](crate::Bindings); its name and its
//! documentation as text. The number in the brackets is the site's length in bytes, 6 unless told;
//! `10 | 6` is 10 in 64-bit code and 6 in 32-bit code. `[shape; 64 bit]` is an op that exists in 64-bit
//! code only: elsewhere it has a number and a slot, so that tables are the same, but no function. The
//! visibility is that of the group's fields in `Bindings`: backends bind the ops of a `pub` group
//! one by one.

macro_rules! declare_ops {
    ($(
        $(#[doc = $group_doc:literal])*
        $visibility:vis $group:ident {
            $(
                $(#[doc = $doc:literal])*
                [$shape:ident $(, $length:literal $(| $length_32:literal)?)? $(; $bits:tt bit)?]
                $safety:ident fn $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;
            )*
        }
    )*) => {
        $(
            $(#[doc = $group_doc])*
            // A module of the crate may hold the ops of a group and more.
            #[allow(unreachable_pub)]
            pub mod $group {
                #[allow(unused_imports)]
                use super::types::*;
                $(
                    $crate::declare::facade! {
                        $(#[doc = $doc])*
                        [$shape $group::$name $(; $bits)?]
                        $safety fn $name($($argument: $type),*) $(-> $result)?
                    }
                )*
            }
        )*

        /// The ops as types: markers that slots, bindings and thunks carry.
        #[allow(non_camel_case_types)]
        pub(crate) mod op {
            $(
                #[doc = concat!("The ops of [`", stringify!($group), "`](crate::", stringify!($group), ").")]
                pub mod $group {
                    #[allow(unused_imports)]
                    use super::super::types::*;
                    $(
                        #[doc = $crate::declare::op_link!(
                            "Marks ", $shape, $group, $name, "." $(, $bits)?
                        )]
                        #[derive(Clone, Copy, Debug)]
                        pub enum $name {}

                        // SAFETY: the number is the position of the slot, and the facade's call
                        // site passes what `Function` takes.
                        unsafe impl $crate::Op for $name {
                            const NUMBER: $crate::OpNumber = $crate::OpNumber(
                                ((core::mem::offset_of!(super::super::Slots, $group)
                                    + core::mem::offset_of!(super::super::slots::$group, $name))
                                    / size_of::<usize>()) as u16,
                            );
                            const SITE_LENGTH: u8 = $crate::declare::site_lengths!(
                                $($length $(| $length_32)?)?
                            )[cfg!(target_pointer_width = "32") as usize];
                            const ARGUMENT_WORDS: usize = 0 $(
                                + size_of::<$type>().div_ceil(size_of::<usize>())
                            )*;
                            const SHAPE: u32 = $crate::arch::shape::$shape;
                            type Function = $crate::arch::function_type!(
                                $shape, ($($type),*) $(-> $result)?
                            );
                        }
                        $crate::arch::class_of!($shape, $name);
                        $crate::declare::no_result!($name $(-> $result)?);
                    )*
                }
            )*
        }

        /// The slots of each group.
        #[allow(non_camel_case_types)]
        pub(crate) mod slots {
            $(
                #[derive(Clone, Copy, Debug)]
                #[repr(C)]
                pub(crate) struct $group {
                    $(pub(crate) $name: $crate::op::Slot<super::op::$group::$name>,)*
                }
            )*
        }

        #[derive(Clone, Copy, Debug)]
        #[repr(C)]
        pub(crate) struct Slots {
            $(pub(crate) $group: slots::$group,)*
        }

        impl Slots {
            pub(crate) const fn of(bindings: &Bindings) -> Self {
                Slots {
                    $($group: slots::$group {
                        $($name: $crate::op::Slot::of(&bindings.$group.$name),)*
                    },)*
                }
            }
        }

        /// The bindings of each group of ops.
        #[allow(non_camel_case_types)]
        pub mod bindings {
            $(
                #[doc = concat!(
                    "What a backend does for each op of [`", stringify!($group), "`](crate::",
                    stringify!($group), ").",
                )]
                #[derive(Clone, Copy, Debug)]
                #[repr(C)]
                pub struct $group {
                    $(
                        #[doc = $crate::declare::op_link!(
                            "Binds ", $shape, $group, $name, "." $(, $bits)?
                        )]
                        $visibility $name: $crate::binding::Binding<super::op::$group::$name>,
                    )*
                }
            )*
        }

        /// What a backend does for each op: a function, and what to put at the op's call sites.
        #[derive(Clone, Copy, Debug)]
        #[repr(C)]
        pub struct Bindings {
            $(
                #[doc = concat!("The ops of [`", stringify!($group), "`](crate::", stringify!($group), ").")]
                pub $group: bindings::$group,
            )*
        }

        const NAMES: &str = concat!($($(stringify!($group), ".", stringify!($name), "\0",)*)*);

        /// The groups of ops, in the order of their ops.
        pub static GROUPS: &[GroupDeclaration] = &[
            $(GroupDeclaration {
                name: stringify!($group),
                documentation: concat!($($group_doc, "\n",)*),
            },)*
        ];

        /// What the declaration says of each op, in the order of the op numbers: for documents, not
        /// for kernels.
        pub static DECLARATIONS: &[OpDeclaration] = &[
            $($(OpDeclaration {
                name: concat!(stringify!($group), ".", stringify!($name)),
                shape: stringify!($shape),
                signature: stringify!($safety fn $name($($argument: $type),*) $(-> $result)?),
                site_lengths: $crate::declare::site_lengths!($($length $(| $length_32)?)?),
                only_bits: $crate::declare::only_bits!($($bits)?),
                documentation: concat!($($doc, "\n",)*),
            },)*)*
        ];
    };
}

/// Names an op, with a link to its function if it has one.
macro_rules! op_link {
    ($before:literal, $shape:ident, $group:ident, $name:ident, $after:literal, $bits:literal) => {
        $crate::declare::op_link!($before, hypercall, $group, $name, $after)
    };
    ($before:literal, hypercall, $group:ident, $name:ident, $after:literal) => {
        concat!(
            $before,
            "`",
            stringify!($group),
            ".",
            stringify!($name),
            "`",
            $after
        )
    };
    ($before:literal, $shape:ident, $group:ident, $name:ident, $after:literal) => {
        concat!(
            $before,
            "[`",
            stringify!($name),
            "`](fn@crate::",
            stringify!($group),
            "::",
            stringify!($name),
            ")",
            $after
        )
    };
}

macro_rules! facade {
    // Where its operands are only the host's backend knows.
    ($(#[$attribute:meta])* [hypercall $group:ident::$name:ident] $($function:tt)*) => {};
    ($(#[$attribute:meta])* [$shape:ident $group:ident::$name:ident; 64] $($function:tt)*) => {
        #[cfg(target_pointer_width = "64")]
        $crate::declare::facade! {
            $(#[$attribute])* [$shape $group::$name] $($function)*
        }
    };
    ($(#[$attribute:meta])* [$shape:ident $group:ident::$name:ident; 32] $($function:tt)*) => {
        #[cfg(target_pointer_width = "32")]
        $crate::declare::facade! {
            $(#[$attribute])* [$shape $group::$name] $($function)*
        }
    };
    ($(#[$attribute:meta])* [$shape:ident $group:ident::$name:ident]
     safe fn $function:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?) => {
        $(#[$attribute])*
        #[inline(always)]
        pub fn $function($($argument: $type),*) $(-> $result)? {
            // SAFETY: the declaration says that this op has no condition, and the table holds a
            // function for it at all times.
            unsafe {
                $crate::arch::call_site!(
                    $shape, super::op::$group::$name, ($($argument),*) $(-> $result)?
                )
            }
        }
    };
    ($(#[$attribute:meta])* [$shape:ident $group:ident::$name:ident]
     unsafe fn $function:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?) => {
        $(#[$attribute])*
        #[inline(always)]
        pub unsafe fn $function($($argument: $type),*) $(-> $result)? {
            // SAFETY: the caller keeps the op's conditions, and the table holds a function for it
            // at all times.
            unsafe {
                $crate::arch::call_site!(
                    $shape, super::op::$group::$name, ($($argument),*) $(-> $result)?
                )
            }
        }
    };
}

/// The length of sites in 64-bit code and in 32-bit code.
macro_rules! site_lengths {
    () => {
        [6, 6]
    };
    ($length:literal) => {
        [$length, $length]
    };
    ($length_64:literal | $length_32:literal) => {
        [$length_64, $length_32]
    };
}

macro_rules! only_bits {
    () => {
        None
    };
    ($bits:literal) => {
        Some($bits)
    };
}

macro_rules! no_result {
    ($name:ident) => {
        // SAFETY: the declaration gives this op no result.
        unsafe impl $crate::op::NoResult for $name {}
    };
    ($name:ident -> $result:ty) => {};
}

pub(crate) use {declare_ops, facade, no_result, only_bits, op_link, site_lengths};
