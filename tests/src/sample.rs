//! A small linked ELF file made in memory, for tests of what reads one.
//!
//! Unless changed it has two ops, `irq.disable` and `cpu.write_msr`, and one call site of
//! each: six bytes in function `first`, eight in function `second`.

/// Address of section `.text`.
pub const TEXT_ADDRESS: u64 = 0xffff_ffff_8020_0000;
/// Address of section `pvops_sites`.
pub const RECORDS_ADDRESS: u64 = 0xffff_ffff_8030_0000;
/// Address of the op table.
pub const OP_TABLE_ADDRESS: u64 = 0xffff_ffff_8040_0000;

const OP_NAMES_ADDRESS: u64 = 0xffff_ffff_8031_0000;
const ELF_HEADER_LENGTH: usize = 64;
const SHT_PROGBITS: u32 = 1;
const SHT_SYMTAB: u32 = 2;
const SHT_STRTAB: u32 = 3;
const ALLOC: u64 = 2;
const ALLOC_EXECINSTR: u64 = 6;
/// Index of `.text` in the section table, and of `.data`.
const TEXT_INDEX: u16 = 1;
const DATA_INDEX: u16 = 4;

/// The parts of the file; change them, then [`build`](Self::build).
pub struct Sample {
    /// Content of `.text`.
    pub text: Vec<u8>,
    /// Content of `pvops_sites`.
    pub records: Vec<u8>,
    /// Content of `pvops_op_names`.
    pub op_names: Vec<u8>,
    /// Content of `.comment`.
    pub comment: Vec<u8>,
    /// Name, virtual address and size of each symbol in `.text`.
    pub symbols: Vec<(String, u64, u64)>,
}

impl Sample {
    /// The file described in the module's documentation.
    #[expect(clippy::new_without_default, reason = "there is no neutral sample")]
    pub fn new() -> Self {
        let mut sample = Self {
            text: Vec::new(),
            records: Vec::new(),
            op_names: b"irq.disable\0cpu.write_msr\0".to_vec(),
            comment: b"GCC: (Debian 12.2.0)\0".to_vec(),
            symbols: vec![
                ("first".into(), TEXT_ADDRESS, 7),
                ("second".into(), TEXT_ADDRESS + 7, 9),
            ],
        };
        sample.push_site(0, 6);
        sample.text.push(0xc3);
        sample.push_site(1, 8);
        sample.text.push(0xc3);
        sample
    }

    /// A file without sites, with this text and these symbols in it: name, offset in the text, size.
    pub fn without_sites(text: &[u8], symbols: &[(&str, u64, u64)]) -> Self {
        let mut sample = Self::new();
        sample.records.clear();
        sample.text = text.to_vec();
        sample.symbols = symbols
            .iter()
            .map(|&(name, offset, size)| (name.to_string(), TEXT_ADDRESS + offset, size))
            .collect();
        sample
    }

    /// Appends a call of `op` to the text, padded to `length` bytes, and its record.
    pub fn push_site(&mut self, op: u16, length: u8) {
        let site = TEXT_ADDRESS + self.text.len() as u64;
        let slot = OP_TABLE_ADDRESS + 8 * u64::from(op);
        self.text.extend([0xff, 0x15]);
        self.text.extend(distance(site + 6, slot).to_le_bytes());
        self.text.extend((6..length).map(|_| 0x90));
        self.push_record(site, op, length);
    }

    /// Appends a record, whatever it says.
    pub fn push_record(&mut self, site: u64, op: u16, length: u8) {
        let record = RECORDS_ADDRESS + self.records.len() as u64;
        self.records.extend(distance(record, site).to_le_bytes());
        self.records.extend(op.to_le_bytes());
        self.records.extend([length, 0]);
    }

    /// The bytes of the file.
    pub fn build(&self) -> Vec<u8> {
        let mut strings = vec![0];
        let mut symbols = vec![0; 24];
        for (name, address, size) in &self.symbols {
            symbols.extend(symbol(&mut strings, name, (*address, *size), TEXT_INDEX));
        }
        let table = (OP_TABLE_ADDRESS, 16);
        symbols.extend(symbol(&mut strings, "pvops_op_table", table, DATA_INDEX));

        let sections: [(&str, u32, u64, u64, &[u8]); 8] = [
            (
                ".text",
                SHT_PROGBITS,
                ALLOC_EXECINSTR,
                TEXT_ADDRESS,
                &self.text,
            ),
            (
                "pvops_sites",
                SHT_PROGBITS,
                ALLOC,
                RECORDS_ADDRESS,
                &self.records,
            ),
            (
                "pvops_op_names",
                SHT_PROGBITS,
                ALLOC,
                OP_NAMES_ADDRESS,
                &self.op_names,
            ),
            (".data", SHT_PROGBITS, ALLOC, OP_TABLE_ADDRESS, &[0; 16]),
            (".comment", SHT_PROGBITS, 0, 0, &self.comment),
            (".symtab", SHT_SYMTAB, 0, 0, &symbols),
            (".strtab", SHT_STRTAB, 0, 0, &strings),
            (".shstrtab", SHT_STRTAB, 0, 0, &[]),
        ];
        let mut section_names = vec![0];
        let mut headers = vec![0; 64];
        let mut file = vec![0; ELF_HEADER_LENGTH];
        for (name, kind, flags, address, content) in sections {
            let name_offset = push_string(&mut section_names, name);
            let content = if name == ".shstrtab" {
                section_names.clone()
            } else {
                content.to_vec()
            };
            let symtab = kind == SHT_SYMTAB;
            headers.extend(name_offset.to_le_bytes());
            headers.extend(kind.to_le_bytes());
            for field in [flags, address, file.len() as u64, content.len() as u64] {
                headers.extend(field.to_le_bytes());
            }
            // sh_link: the string table's index; sh_info: the first symbol that is not local.
            headers.extend(if symtab { 7_u32 } else { 0 }.to_le_bytes());
            headers.extend(if symtab { 1_u32 } else { 0 }.to_le_bytes());
            headers.extend(1_u64.to_le_bytes());
            headers.extend(if symtab { 24_u64 } else { 0 }.to_le_bytes());
            file.extend(content);
        }
        let header = elf_header(file.len() as u64, sections.len() as u16 + 1);
        file[..ELF_HEADER_LENGTH].copy_from_slice(&header);
        file.extend(headers);
        file
    }
}

fn distance(from: u64, to: u64) -> i32 {
    i32::try_from(to.wrapping_sub(from).cast_signed()).expect("within 2 GiB")
}

fn push_string(strings: &mut Vec<u8>, string: &str) -> u32 {
    let offset = strings.len() as u32;
    strings.extend(string.bytes());
    strings.push(0);
    offset
}

/// An `Elf64_Sym`: a function in `.text`, an object elsewhere.
fn symbol(strings: &mut Vec<u8>, name: &str, (address, size): (u64, u64), section: u16) -> Vec<u8> {
    const GLOBAL_OBJECT: u8 = 0x11;
    const GLOBAL_FUNCTION: u8 = 0x12;
    let mut symbol = push_string(strings, name).to_le_bytes().to_vec();
    let info = if section == TEXT_INDEX {
        GLOBAL_FUNCTION
    } else {
        GLOBAL_OBJECT
    };
    symbol.extend([info, 0]);
    symbol.extend(section.to_le_bytes());
    symbol.extend(address.to_le_bytes());
    symbol.extend(size.to_le_bytes());
    symbol
}

/// An `Elf64_Ehdr` of an x86-64 executable without program headers; the section names are
/// in the last section.
fn elf_header(section_headers_offset: u64, section_count: u16) -> [u8; ELF_HEADER_LENGTH] {
    let mut header = [0; ELF_HEADER_LENGTH];
    header[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    header[16..18].copy_from_slice(&2_u16.to_le_bytes());
    header[18..20].copy_from_slice(&62_u16.to_le_bytes());
    header[20..24].copy_from_slice(&1_u32.to_le_bytes());
    header[24..32].copy_from_slice(&TEXT_ADDRESS.to_le_bytes());
    header[40..48].copy_from_slice(&section_headers_offset.to_le_bytes());
    header[52..54].copy_from_slice(&64_u16.to_le_bytes());
    header[58..60].copy_from_slice(&64_u16.to_le_bytes());
    header[60..62].copy_from_slice(&section_count.to_le_bytes());
    header[62..64].copy_from_slice(&(section_count - 1).to_le_bytes());
    header
}
