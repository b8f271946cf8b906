//! Lines of cells under headers, aligned.

use std::io;

/// The longest cell; what is longer is cut.
const MAX_CELL: usize = 48;
/// How many characters the longest bar has.
const BAR: u128 = 16;

/// A table. Its first column is aligned to the left, the others to the right; a last one without a header, the bars,
/// to the left.
#[derive(Debug)]
pub struct Columns {
    headers: Vec<&'static str>,
    lines: Vec<Vec<String>>,
}

impl Columns {
    /// A table without lines.
    pub fn new(headers: &[&'static str]) -> Self {
        Self { headers: headers.to_vec(), lines: Vec::new() }
    }

    /// Adds a line with a cell for each header.
    pub fn line<const N: usize>(&mut self, cells: [String; N]) {
        self.lines.push(cells.iter().map(|cell| shown(cell)).collect());
    }

    /// Prints it, if it has lines, with an empty line before it.
    pub fn print(&self, out: &mut impl io::Write) -> io::Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let headers: Vec<String> = self.headers.iter().map(|&header| header.to_owned()).collect();
        let width = |at: usize| {
            let cells = self.lines.iter().chain([&headers]).filter_map(|line| line.get(at));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..headers.len()).map(width).collect();
        writeln!(out)?;
        for line in [&headers].into_iter().chain(&self.lines) {
            let mut text = String::new();
            for (at, (cell, &width)) in line.iter().zip(&widths).enumerate() {
                let left = at == 0 || headers.get(at).is_some_and(String::is_empty);
                match left {
                    true => text.push_str(&format!("{cell:<width$}  ")),
                    false => text.push_str(&format!("{cell:>width$}  ")),
                }
            }
            writeln!(out, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

/// A text that is safe on a terminal, cut to what fits: names can come from clients.
pub fn shown(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    match clean.chars().count() > MAX_CELL {
        true => clean.chars().take(MAX_CELL - 1).chain(['…']).collect(),
        false => clean,
    }
}

/// A bar for a part of the largest; something is seen of all that is not nothing.
pub fn bar(part: i128, largest: i128) -> String {
    let (part, largest) = (part.max(0).unsigned_abs(), largest.max(0).unsigned_abs());
    let halves = part.saturating_mul(2 * BAR).checked_div(largest).unwrap_or(0).min(2 * BAR);
    let halves = halves.max(u128::from(part > 0)) as usize;
    "█".repeat(halves / 2) + if halves % 2 == 1 { "▌" } else { "" }
}

/// A whole number with commas.
pub fn whole(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
