//! Rows for people: columns as wide as they must be.

/// The rows as text; a line under the first one, which is the header. Numbers stand to the right.
pub(super) fn tabular(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
    let width = |column| rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut lines = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let cells = widths.iter().enumerate().map(|(column, width)| padded(&cell(row, column), *width));
        lines.push(cells.collect::<Vec<_>>().join("  ").trim_end().to_owned());
        if index == 0 {
            lines.push(widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>().join("  "));
        }
    }
    lines.join("\n")
}

fn padded(cell: &str, width: usize) -> String {
    let number = cell.starts_with(|c: char| c.is_ascii_digit() || c == '-') && !cell.contains(' ');
    if number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
}

#[cfg(test)]
mod tests {
    use super::tabular;

    #[test]
    fn columns_line_up_and_a_short_row_has_empty_cells() {
        let rows = [vec!["name", "bytes"], vec!["a longer one", "4096"], vec!["b"]];
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect();
        assert_eq!(tabular(&rows), "name          bytes\n------------  -----\na longer one   4096\nb");
        assert_eq!(tabular(&[]), "");
    }
}
