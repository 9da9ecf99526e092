//! Vectors that a kernel lends to a backend.

/// A vector of the interrupt descriptor table that is no exception's: 32 to 255. Intel SDM volume 3,
/// section 7.2.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct InterruptVector(u8);

impl InterruptVector {
    const FIRST: u8 = 32;

    /// The vector, or `None` if it is one of the exceptions', 0 to 31. In a `const`, a wrong one does not
    /// compile:
    ///
    /// ```
    /// # use pvops_core::InterruptVector;
    /// const EVENTS: InterruptVector = InterruptVector::new(0x45).unwrap();
    /// ```
    pub const fn new(vector: u8) -> Option<Self> {
        match vector >= Self::FIRST {
            true => Some(InterruptVector(vector)),
            false => None,
        }
    }

    /// Its number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_exception_is_lent() {
        assert_eq!(InterruptVector::new(0), None);
        assert_eq!(InterruptVector::new(31), None);
        assert_eq!(InterruptVector::new(32).map(InterruptVector::get), Some(32));
        let last = InterruptVector::new(255);
        assert_eq!(last.map(InterruptVector::get), Some(255));
    }
}
