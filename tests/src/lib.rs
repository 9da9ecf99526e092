//! Reading call sites out of an ELF.
