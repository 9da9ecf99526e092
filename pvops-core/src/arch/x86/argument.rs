//! Arguments, as the words that a site passes.

use core::mem::MaybeUninit;

/// Most words that an op takes.
const MAX_WORDS: usize = 4;

/// The words of some arguments, in their order. Those that no argument has are not initialised, so
/// that a site need not load them.
#[derive(Clone, Copy)]
pub(crate) struct Words {
    words: [MaybeUninit<u32>; MAX_WORDS],
    length: usize,
}

impl Words {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Words {
            words: [MaybeUninit::uninit(); MAX_WORDS],
            length: 0,
        }
    }

    /// Appends an argument.
    #[inline(always)]
    pub(crate) fn push<A: Argument>(&mut self, argument: A) {
        for word in argument.words().into_iter().take(A::COUNT) {
            self.words[self.length] = MaybeUninit::new(word);
            self.length += 1;
        }
    }

    #[inline(always)]
    pub(crate) fn into_array(self) -> [MaybeUninit<u32>; MAX_WORDS] {
        self.words
    }
}

/// What an op can take.
pub(crate) trait Argument: Copy {
    /// How many words it has: the size, rounded up.
    const COUNT: usize = size_of::<Self>().div_ceil(size_of::<u32>());
    /// Its words, the low one first.
    fn words(self) -> [u32; 2];
}

macro_rules! integers {
    ($($integer:ty),*) => {
        $(impl Argument for $integer {
            #[inline(always)]
            fn words(self) -> [u32; 2] {
                [self as u32, (self as u64 >> 32) as u32]
            }
        })*
    };
}

integers!(u8, u16, u32, u64, usize);

impl<T> Argument for *const T {
    #[inline(always)]
    fn words(self) -> [u32; 2] {
        [self.expose_provenance() as u32, 0]
    }
}

impl<T> Argument for *mut T {
    #[inline(always)]
    fn words(self) -> [u32; 2] {
        [self.expose_provenance() as u32, 0]
    }
}
