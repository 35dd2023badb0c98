//! Measured values of one kind, and tables of them. What is measured is not known here.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

use std::fmt;

/// What ends a benchmark: nothing here is worth going on without.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What cargo says to a benchmark. `cargo test` builds and starts benchmarks, too; nothing is to be measured then.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct ByCargo {
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

impl ByCargo {
    /// Whether to measure; says so if not.
    pub fn wants_figures(self) -> bool {
        if !self.bench {
            eprintln!("nothing is measured without `cargo bench`");
        }
        self.bench
    }
}

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

    /// The median and the range, with so many decimals.
    pub fn cell(&self, decimals: usize) -> String {
        let [median, min, max] = [0.5, 0.0, 1.0].map(|share| self.at(share));
        format!("{median:.decimals$} ({min:.decimals$}–{max:.decimals$})")
    }

    /// All, with so many decimals, in the order in which they were measured.
    pub fn list(&self, decimals: usize) -> String {
        let values: Vec<_> = self.0.iter().map(|value| format!("{value:.decimals$}")).collect();
        values.join(" ")
    }

    /// Round by round, how many times another's figures these are.
    pub fn over(&self, other: &Figures) -> Figures {
        Figures(self.0.iter().zip(&other.0).map(|(one, other)| one / other).collect())
    }

    /// The geometric mean, and the interval that holds the true one in 95 of 100 cases: Student's t over the
    /// logarithms. It takes the values for independent; below two there is no interval.
    pub fn mean_ratio(&self) -> (f64, [f64; 2]) {
        let count = self.0.len() as f64;
        let mean = self.0.iter().map(|value| value.ln()).sum::<f64>() / count;
        let squares: f64 = self.0.iter().map(|value| (value.ln() - mean).powi(2)).sum();
        let half = student(self.0.len().saturating_sub(1)) * (squares / (count - 1.0) / count).sqrt();
        (mean.exp(), [mean - half, mean + half].map(f64::exp))
    }
}

/// The two-sided 95 % quantile of Student's t with so many degrees of freedom.
fn student(freedom: usize) -> f64 {
    const QUANTILES: [f64; 20] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145,
        2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    ];
    match freedom {
        0 => f64::NAN,
        _ => *QUANTILES.get(freedom - 1).unwrap_or(&2.086),
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
