//! Plain tables for a terminal.

/// Pads every cell but the last to its column's width: the first `text_columns` to the left, the others to the right.
/// Trailing spaces are cut.
pub(super) fn aligned<const N: usize>(rows: &[[String; N]], text_columns: usize) -> Vec<String> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    rows.iter()
        .map(|row| {
            let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
                if column < text_columns { format!("{cell:width$}") } else { format!("{cell:>width$}") }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}
