//! Measured values of one kind, and tables of them. What is measured is not known here.

use std::fmt;

/// What ends a benchmark: nothing here is worth going on without.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The column for names.
const NAME_WIDTH: usize = 46;

/// Values of one kind, in the order in which they were measured.
#[derive(Debug, Clone, Default)]
pub struct Figures(Vec<f64>);

impl Figures {
    /// Adds one.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The smallest value that at least this share of all values does not exceed; NaN if there are
    /// none.
    pub fn at(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (share * sorted.len() as f64).ceil().max(1.0) as usize;
        sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
    }
}

/// A table: named columns, each a share of the values that do not exceed what it shows.
#[derive(Debug, Clone, Copy)]
pub struct Table(pub &'static [(&'static str, f64)]);

impl Table {
    /// Prints the head.
    pub fn head(&self, title: impl fmt::Display) {
        let columns: String = self.0.iter().map(|(name, _)| format!("{name:>12}")).collect();
        println!("\n{title:<NAME_WIDTH$}{columns}");
    }

    /// Prints one row, with so many decimals.
    pub fn row(&self, name: impl fmt::Display, figures: &Figures, decimals: usize) {
        let cells: String =
            self.0.iter().map(|(_, share)| format!("{:>12.decimals$}", figures.at(*share))).collect();
        println!("  {name:<width$}{cells}", width = NAME_WIDTH - 2);
    }
}
