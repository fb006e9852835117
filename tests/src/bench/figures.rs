//! From measurements to figures: quantiles, rounded numbers, tables for people and files for programs.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

/// Durations in microseconds, sorted when asked.
#[derive(Debug, Clone, Default)]
pub struct Latencies {
    micros: Vec<u64>,
}

impl Latencies {
    pub fn add(&mut self, micros: u64) {
        self.micros.push(micros);
    }

    pub fn append(&mut self, other: &Self) {
        self.micros.extend_from_slice(&other.micros);
    }

    /// The smallest duration that at least `share` of all do not exceed, in milliseconds; 0 of none.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        let mut sorted = self.micros.clone();
        sorted.sort_unstable();
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).map_or(0.0, |micros| rounded(*micros as f64 / 1000.0, 3))
    }
}

/// `value` with so many decimals.
pub fn rounded(value: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (value * scale).round() / scale
}

/// `part / whole`, rounded; 0 when there is no whole.
pub fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { rounded(part / whole, 3) }
}

/// A table with aligned columns: the first to the left, all others to the right.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(String::len);
        cells.chain(head.get(column).map(|name| name.len())).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (column, (cell, width)) in cells.zip(&widths).enumerate() {
            let cell = if column == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") };
            line.push_str(&cell);
        }
        line.trim_end().to_owned()
    };
    let mut lines = vec![line(&mut head.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n")
}

/// Writes `{"rows":[...]}`.
///
/// # Errors
/// When the file cannot be written.
pub fn write_rows<R: Serialize>(file: &Path, rows: &[R]) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(&serde_json::json!({ "rows": rows })).context("writing rows")?;
    text.push('\n');
    fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile_ms(0.5), 0.0);
        for micros in (1..=100).rev() {
            latencies.add(micros * 1000);
        }
        assert_eq!(
            (latencies.quantile_ms(0.5), latencies.quantile_ms(0.99), latencies.quantile_ms(1.0)),
            (50.0, 99.0, 100.0)
        );
        assert_eq!(latencies.quantile_ms(0.0), 1.0);
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["long".to_owned(), "1000".to_owned()]];
        assert_eq!(table(&["case", "n"], &rows), "case     n\na        1\nlong  1000");
    }
}
