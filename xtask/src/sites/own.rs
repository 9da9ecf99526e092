//! This program as an image: the names of the functions that are linked into it.

use std::fs;

use anyhow::Context;
use pvops_core::OpTable;
use pvops_tests::callee::{self, Callee};
use pvops_tests::image::Image;

/// The file that this program was started from.
pub(super) fn file() -> anyhow::Result<Vec<u8>> {
    const PATH: &str = "/proc/self/exe";
    fs::read(PATH).with_context(|| format!("cannot read {PATH}"))
}

/// The functions of this program.
pub(super) struct Own<'a> {
    image: Image<'a>,
    /// From an address in the file to the same in memory; `None` in a stripped file.
    load_bias: Option<u64>,
}

impl<'a> Own<'a> {
    /// Reads what [`file()`] gave.
    pub(super) fn parse(file: &'a [u8]) -> anyhow::Result<Self> {
        let image = Image::parse(file).context("this program")?;
        let in_memory = (&raw const *OpTable::get()).addr() as u64;
        let in_file = image.symbols().address_of("pvops_op_table");
        Ok(Self {
            load_bias: in_file.map(|in_file| in_memory.wrapping_sub(in_file)),
            image,
        })
    }

    /// The function at `address` in memory.
    pub(super) fn function(&self, address: usize) -> Option<Callee> {
        callee::at(&self.image, (address as u64).wrapping_sub(self.load_bias?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_this_program_have_names() {
        let file = file().unwrap();
        let own = Own::parse(&file).unwrap();
        let function = own.function(super::file as *const () as usize).unwrap();
        assert_eq!(function.to_string(), "xtask::sites::own::file");
        assert_eq!(own.function(1), None);
    }
}
