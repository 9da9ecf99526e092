//! Boot information is found by physical address, and only the kernel knows where it mapped that.

use zerocopy::FromBytes;

use super::BootInfoError;

/// The kernel's view of physical memory: its identity map or direct map.
///
/// Tests implement it over byte arrays.
pub trait PhysicalMemory {
    /// The `length` bytes at physical address `address`, or `None` if any of them is not mapped,
    /// or not memory, or beyond the end of the address space. Never has side effects on devices.
    ///
    /// Nothing may write these bytes while they are borrowed; a loader's data is only written
    /// before the kernel starts.
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]>;
}

/// The bytes of the loader's `what` at `address`.
pub(super) fn read_bytes<'m, M: PhysicalMemory + ?Sized>(
    memory: &'m M,
    address: u64,
    length: usize,
    what: &'static str,
) -> Result<&'m [u8], BootInfoError> {
    address
        .checked_add(length as u64)
        .and_then(|_| memory.bytes(address, length))
        .filter(|bytes| bytes.len() == length)
        .ok_or(BootInfoError::Unreadable { what, address })
}

/// A copy of the loader's structure `what` at `address`.
pub(super) fn read<T: FromBytes, M: PhysicalMemory + ?Sized>(
    memory: &M,
    address: u64,
    what: &'static str,
) -> Result<T, BootInfoError> {
    let bytes = read_bytes(memory, address, size_of::<T>(), what)?;
    T::read_from_bytes(bytes).map_err(|_| BootInfoError::Unreadable { what, address })
}

/// A copy of entry `index` of the loader's table `what` at `table`, which must not be null.
pub(super) fn read_entry<T: FromBytes, M: PhysicalMemory + ?Sized>(
    memory: &M,
    table: u64,
    index: u32,
    what: &'static str,
) -> Result<T, BootInfoError> {
    let unreadable = BootInfoError::Unreadable {
        what,
        address: table,
    };
    if table == 0 {
        return Err(unreadable);
    }
    let offset = u64::from(index) * size_of::<T>() as u64;
    read(memory, table.checked_add(offset).ok_or(unreadable)?, what)
}
