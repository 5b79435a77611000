//! Tables for people: columns as wide as they must be, numbers to the right. No colours.

use std::fmt;

/// How a column stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A table with a headline.
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; it has as many cells as there are columns.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        assert_eq!(N, self.columns.len());
        self.rows.push(cells.into());
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0).max(self.columns[column].0.len())
    }

    fn line(&self, cells: &[&str]) -> String {
        let mut line = String::new();
        for (column, cell) in cells.iter().enumerate() {
            let width = self.width(column);
            match self.columns[column].1 {
                Align::Left => line.push_str(&format!("{cell:<width$}  ")),
                Align::Right => line.push_str(&format!("{cell:>width$}  ")),
            }
        }
        line.trim_end().to_owned()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        writeln!(f, "{}", self.line(&head))?;
        for row in &self.rows {
            let cells: Vec<&str> = row.iter().map(String::as_str).collect();
            writeln!(f, "{}", self.line(&cells))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_with_their_text() {
        let mut table =
            Table::new(&[("step", Align::Left), ("bytes", Align::Right), ("result", Align::Left)]);
        table.row(["copy".into(), "4096".into(), "ok".into()]);
        table.row(["a longer one".into(), "1234567".into(), "failed".into()]);
        let expected = "\
step            bytes  result
copy             4096  ok
a longer one  1234567  failed
";
        assert_eq!(table.to_string(), expected);
    }
}
