//! From an address to the name of the function around it.
//!
//! Functions written in assembler often carry no size; they are taken to reach up to the
//! next symbol. A symbol with a size is preferred, so that a label inside a function does
//! not hide the function.

use std::fmt;

use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

/// The named functions and data of an image, sorted by address.
pub struct Symbols {
    sorted: Vec<Symbol>,
    /// For each symbol the highest end among it and all before it: lookups stop there.
    highest_end: Vec<u64>,
}

/// A function or a piece of data.
pub struct Symbol {
    /// Virtual address.
    pub address: u64,
    /// Virtual address behind its last byte.
    pub end: u64,
    /// Whether the file states its size; otherwise `end` is the next symbol's address.
    pub sized: bool,
    /// Whether the file says that it is data, not instructions.
    pub data: bool,
    mangled: String,
}

/// A place in an image: a symbol and the distance from its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Demangled name.
    pub name: String,
    /// Bytes from the symbol's address.
    pub offset: u64,
}

impl Symbols {
    /// No names at all, for code that belongs to no image.
    pub fn none() -> Self {
        Self {
            sorted: Vec::new(),
            highest_end: Vec::new(),
        }
    }

    pub(crate) fn read<'data>(elf: &impl Object<'data>) -> Self {
        let mut sorted: Vec<_> = elf
            .symbols()
            .filter_map(|symbol| from_elf(elf, &symbol))
            .collect();
        sorted.sort_by(|a: &Symbol, b| {
            (a.address, a.sized, &a.mangled).cmp(&(b.address, b.sized, &b.mangled))
        });
        end_at_next(&mut sorted);
        let highest_end = sorted
            .iter()
            .scan(0, |highest, symbol| {
                *highest = symbol.end.max(*highest);
                Some(*highest)
            })
            .collect();
        Self {
            sorted,
            highest_end,
        }
    }

    /// The symbol around `address`: the nearest with a stated size, else the nearest.
    pub fn around(&self, address: u64) -> Option<&Symbol> {
        let before = self
            .sorted
            .partition_point(|symbol| symbol.address <= address);
        let mut unsized_match = None;
        for index in (0..before).rev() {
            if self.highest_end[index] <= address {
                break;
            }
            let symbol = &self.sorted[index];
            if symbol.end <= address {
                continue;
            }
            if symbol.sized {
                return Some(symbol);
            }
            unsized_match = unsized_match.or(Some(symbol));
        }
        unsized_match
    }

    /// Names the place of `address`, or `None` when no symbol is around it.
    pub fn place(&self, address: u64) -> Option<Place> {
        let symbol = self.around(address)?;
        Some(Place {
            name: symbol.name(),
            offset: address - symbol.address,
        })
    }

    /// The address of the symbol with exactly this name in the file.
    pub fn address_of(&self, mangled: &str) -> Option<u64> {
        let symbol = self.iter().find(|symbol| symbol.mangled == mangled)?;
        Some(symbol.address)
    }

    /// All symbols by rising address.
    pub fn iter(&self) -> impl Iterator<Item = &Symbol> {
        self.sorted.iter()
    }
}

impl Symbol {
    /// The demangled name, without the hash of old Rust mangling.
    pub fn name(&self) -> String {
        format!("{:#}", rustc_demangle::demangle(&self.mangled))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.offset {
            0 => f.write_str(&self.name),
            offset => write!(f, "{}+{offset:#x}", self.name),
        }
    }
}

/// `None` for what names no place in memory: files, sections, undefined and absolute symbols.
fn from_elf<'data>(elf: &impl Object<'data>, symbol: &impl ObjectSymbol<'data>) -> Option<Symbol> {
    let data = match symbol.kind() {
        SymbolKind::Text | SymbolKind::Unknown | SymbolKind::Label => false,
        SymbolKind::Data => true,
        _ => return None,
    };
    let section = elf.section_by_index(symbol.section_index()?).ok()?;
    let mangled = symbol.name().ok().filter(|name| !name.is_empty())?;
    let section_end = section.address().saturating_add(section.size());
    let end = match symbol.size() {
        0 => section_end,
        size => symbol.address().saturating_add(size),
    };
    Some(Symbol {
        address: symbol.address(),
        end,
        sized: symbol.size() != 0,
        data,
        mangled: mangled.into(),
    })
}

/// Cuts each symbol without a size at the next higher address that has a symbol.
fn end_at_next(sorted: &mut [Symbol]) {
    let mut next = u64::MAX;
    for index in (0..sorted.len()).rev() {
        let address = sorted[index].address;
        let above = sorted.get(index + 1).map_or(next, |symbol| symbol.address);
        if above > address {
            next = above;
        }
        if !sorted[index].sized {
            sorted[index].end = sorted[index].end.min(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::image::Image;
    use crate::sample::{Sample, TEXT_ADDRESS};

    fn place(symbols: &[(&str, u64, u64)], address: u64) -> Option<String> {
        let elf = Sample::without_sites(&[0x90; 64], symbols).build();
        let image = Image::parse(&elf).unwrap();
        let place = image.symbols().place(TEXT_ADDRESS + address)?;
        Some(place.to_string())
    }

    #[test]
    fn sized_symbols_end_where_they_say() {
        let symbols = [("first", 0, 8), ("second", 16, 16)];
        assert_eq!(place(&symbols, 0).as_deref(), Some("first"));
        assert_eq!(place(&symbols, 7).as_deref(), Some("first+0x7"));
        assert_eq!(place(&symbols, 8), None);
        assert_eq!(place(&symbols, 31).as_deref(), Some("second+0xf"));
        assert_eq!(place(&symbols, 32), None);
    }

    #[test]
    fn symbols_without_size_reach_to_the_next_or_the_section_end() {
        let symbols = [("entry", 0, 0), ("entry_alias", 0, 0), ("last", 32, 0)];
        assert_eq!(place(&symbols, 31).as_deref(), Some("entry_alias+0x1f"));
        assert_eq!(place(&symbols, 63).as_deref(), Some("last+0x1f"));
        assert_eq!(place(&symbols, 64), None);
    }

    #[test]
    fn a_label_does_not_hide_the_function_around_it() {
        let symbols = [("outer", 0, 40), ("label", 8, 0), ("inner", 16, 4)];
        assert_eq!(place(&symbols, 9).as_deref(), Some("outer+0x9"));
        assert_eq!(place(&symbols, 18).as_deref(), Some("inner+0x2"));
        assert_eq!(place(&symbols, 30).as_deref(), Some("outer+0x1e"));
    }

    #[test]
    fn rust_names_are_demangled_without_hash() {
        let symbols = [("_ZN4core3fmt5Write17h0123456789abcdefE", 0, 8)];
        assert_eq!(place(&symbols, 1).as_deref(), Some("core::fmt::Write+0x1"));
    }
}
