//! The heat map of latencies over time: one logarithmic scale of rows for all tasks of a figure, so that their
//! maps can be added, and of each column only the cells that are not empty.

use super::super::sparse::Sparse;

/// Finer rows cannot be told apart.
const ROWS_MAX: f64 = 56.0;
/// From one row to the next at least.
const LEAST_RATIO: f64 = 1.1;

/// What the rows stand for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    lowest_us: f64,
    ratio: f64,
    rows: usize,
}

impl Scale {
    /// A scale for all values of some columns; none if there is no value.
    pub(super) fn of<'c>(columns: impl IntoIterator<Item = &'c Sparse>) -> Option<Scale> {
        let ends = columns.into_iter().filter_map(Sparse::ends);
        let (low, high) = ends.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)))?;
        // There is no logarithm of 0.
        let (low, high) = (low.max(1) as f64, high.max(1) as f64);
        let wanted = ((high / low).ln() / LEAST_RATIO.ln()).ceil();
        let rows = wanted.clamp(1.0, ROWS_MAX);
        let ratio = (high / low).powf(1.0 / rows).max(LEAST_RATIO);
        Some(Scale { lowest_us: low, ratio, rows: rows as usize })
    }

    /// Where rows begin and end, milliseconds: one more than there are rows.
    pub(super) fn edges_ms(&self) -> Vec<f64> {
        let edge = |row: usize| self.lowest_us * self.ratio.powi(row as i32) / 1000.0;
        (0..=self.rows).map(|row| super::rounded(edge(row), 4)).collect()
    }

    /// The cells of a column that are not empty: row, count, row, count, …
    pub(super) fn cells(&self, column: &Sparse) -> Vec<u64> {
        let mut counts = vec![0.0; self.rows];
        column.bars().for_each(|(us, weight)| counts[self.row(us)] += weight);
        let cells = counts.into_iter().enumerate().filter(|(_, count)| *count > 0.0);
        // A cell that has a share of one sample is not empty.
        cells.flat_map(|(row, count)| [row as u64, (count.round() as u64).max(1)]).collect()
    }

    fn row(&self, us: u64) -> usize {
        let row = (us.max(1) as f64 / self.lowest_us).ln() / self.ratio.ln();
        // Rounding may take the largest value to the row after the last.
        (row.max(0.0) as usize).min(self.rows - 1)
    }
}

#[cfg(test)]
mod tests {
    use trogdor_core::measure::Latencies;

    use super::*;

    fn column(values_us: &[(u64, u64)]) -> Sparse {
        let mut latencies = Latencies::new();
        values_us.iter().for_each(|(us, count)| latencies.record_many_ns(us * 1000, *count));
        let mut column = Sparse::default();
        column.add(&latencies, 1.0);
        column
    }

    #[test]
    fn every_value_has_a_cell_and_none_is_lost() {
        let columns = [column(&[(0, 3), (1, 4), (100, 5)]), column(&[(3_600_000_000, 1)]), Sparse::default()];
        let scale = Scale::of(&columns).unwrap();
        assert_eq!(scale.rows, ROWS_MAX as usize);
        assert_eq!(scale.cells(&columns[0])[..2], [0, 7]);
        assert_eq!(scale.cells(&columns[1]), [55, 1]);
        assert_eq!(scale.cells(&columns[2]), [0; 0]);
        let counts = scale.cells(&columns[0]).chunks(2).map(|cell| cell[1]).sum::<u64>();
        assert_eq!(counts, 12);
        for (us, _) in columns.iter().flat_map(Sparse::bars) {
            let (edges, row) = (scale.edges_ms(), scale.row(us));
            let ms = us.max(1) as f64 / 1000.0;
            assert!(edges[row] <= ms * 1.001 && ms <= edges[row + 1] * 1.001, "{us} in {row}: {edges:?}");
        }
    }

    #[test]
    fn one_value_is_one_row() {
        let columns = [column(&[(5000, 9)])];
        let scale = Scale::of(&columns).unwrap();
        assert_eq!((scale.edges_ms().len(), scale.cells(&columns[0])), (2, vec![0, 9]));
        assert_eq!(Scale::of(&[Sparse::default()]), None);
    }

    #[test]
    fn a_share_of_a_sample_is_seen() {
        let mut latencies = Latencies::new();
        latencies.record_ns(1000);
        let mut column = Sparse::default();
        column.add(&latencies, 0.25);
        assert_eq!(Scale::of([&column]).unwrap().cells(&column), [0, 1]);
    }
}
