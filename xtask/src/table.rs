//! Columns of text, aligned.

use std::io::{self, Write};

/// Prints `rows` below `header`, each column as wide as its widest cell. The last column
/// is not padded. Every row has as many cells as the header.
pub(crate) fn print(out: &mut dyn Write, header: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let header: Vec<String> = header.iter().map(|cell| cell.to_string()).collect();
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            let cells = std::iter::once(&header).chain(rows);
            cells.map(|row| width(&row[column])).max().unwrap_or(0)
        })
        .collect();
    for row in std::iter::once(&header).chain(rows) {
        print_row(out, row, &widths)?;
    }
    Ok(())
}

fn print_row(out: &mut dyn Write, row: &[String], widths: &[usize]) -> io::Result<()> {
    let mut line = String::new();
    for (cell, &column_width) in row.iter().zip(widths) {
        line += cell;
        line.extend(std::iter::repeat_n(' ', column_width - width(cell) + 2));
    }
    writeln!(out, "{}", line.trim_end())
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["tcg".to_string(), "native".into(), "PASS".into()],
            vec!["tcg-icount".to_string(), "-".into(), "FAIL é".into()],
            vec!["".to_string(), "é".into(), "x".into()],
        ];
        let mut out = Vec::new();
        print(&mut out, &["scenario", "backend", "verdict"], &rows).unwrap();
        let expected = "\
scenario    backend  verdict
tcg         native   PASS
tcg-icount  -        FAIL é
            é        x
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
