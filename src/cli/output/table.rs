//! Tables: columns as wide as they need, the last one cut to nothing.

use super::{Colour, plain};

/// Rows under headings.
#[derive(Debug, Default)]
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    empty: &'static str,
}

impl Table {
    /// A table with these headings; `empty` is printed where it has no rows.
    pub fn new(headings: &[&'static str], empty: &'static str) -> Self {
        Self {
            headings: headings.to_vec(),
            rows: Vec::new(),
            empty,
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let one_line = |cell: String| plain(&cell).replace(['\n', '\t'], " ");
        self.rows.push(cells.into_iter().map(one_line).collect());
    }

    pub(super) fn render(&self, colour: Colour) -> String {
        if self.rows.is_empty() {
            return format!("{}\n", self.empty);
        }
        let width = |column: usize| {
            let cells = self
                .rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count());
            cells.max().unwrap_or(0).max(self.headings[column].chars().count())
        };
        let widths: Vec<usize> = (0..self.headings.len()).map(width).collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut text = String::new();
            for (cell, width) in cells.zip(&widths) {
                text.push_str(cell);
                let gap = width.saturating_sub(cell.chars().count()) + 2;
                text.extend(std::iter::repeat_n(' ', gap));
            }
            text.trim_end().to_owned()
        };
        let mut out = colour.dim(&line(&mut self.headings.iter().copied()));
        out.push('\n');
        for row in &self.rows {
            out.push_str(&line(&mut row.iter().map(String::as_str)));
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_rows_one_line() {
        let mut table = Table::new(&["NAME", "STATE"], "None");
        table.row(["a".into(), "ready".into()]);
        table.row(["storefront".into(), "two\nlines\x1b[31m".into()]);
        assert_eq!(
            table.render(Colour(false)),
            "NAME        STATE\na           ready\nstorefront  two lines\u{fffd}[31m\n"
        );
    }

    #[test]
    fn an_empty_table_says_so() {
        assert_eq!(Table::new(&["NAME"], "No apps yet").render(Colour(false)), "No apps yet\n");
    }
}
