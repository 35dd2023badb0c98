//! Numbers by Zipf's law: rank k of n, from 1, is drawn in proportion to k to the power of −exponent. By
//! rejection-inversion (Hörmann and Derflinger, "Rejection-inversion to generate variates from monotone
//! discrete distributions", ACM Transactions on Modeling and Computer Simulation 6(3), 1996): a constant
//! number of draws whatever n is, no tables, exact up to the rounding of floats.

use super::position_random::PositionRandom;

/// Zipf's law over so many ranks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Zipf {
    ranks: f64,
    exponent: f64,
    /// The range of the area under the hat to draw from: the first rank's bar, which the hat does not
    /// cover, takes the place of what is left of 1.5.
    area: (f64, f64),
    /// A point this close below its rank, or closer, is under the bar for sure.
    sure: f64,
}

impl Zipf {
    /// At least one rank, 2^53 at most, and a finite exponent of at least 0.
    pub(super) fn new(ranks: u64, exponent: f64) -> Zipf {
        let mut zipf = Zipf { ranks: ranks as f64, exponent, area: (0.0, 0.0), sure: 0.0 };
        zipf.area = (zipf.area_up_to(1.5) - 1.0, zipf.area_up_to(zipf.ranks + 0.5));
        zipf.sure = 2.0 - zipf.point_of(zipf.area_up_to(2.5) - zipf.weight(2.0));
        zipf
    }

    /// A rank from 0, which is the most frequent one. Most points are taken, whatever the exponent, so this
    /// ends soon.
    pub(super) fn draw(&self, random: &mut PositionRandom) -> u64 {
        let (least, most) = self.area;
        loop {
            let area = most + random.next_fraction() * (least - most);
            let point = self.point_of(area);
            let rank = point.round().clamp(1.0, self.ranks);
            if rank - point <= self.sure || area >= self.area_up_to(rank + 0.5) - self.weight(rank) {
                return rank as u64 - 1;
            }
        }
    }

    fn weight(&self, rank: f64) -> f64 {
        rank.powf(-self.exponent)
    }

    /// The integral of the weight from 1 to a point, also where the exponent is 1 or next to it.
    fn area_up_to(&self, point: f64) -> f64 {
        let log = point.ln();
        let power = (1.0 - self.exponent) * log;
        let factor = if power.abs() < TINY { 1.0 + power / 2.0 } else { power.exp_m1() / power };
        factor * log
    }

    /// The inverse of that.
    fn point_of(&self, area: f64) -> f64 {
        // Rounding alone may lead below −1.
        let power = ((1.0 - self.exponent) * area).max(-1.0);
        let factor = if power.abs() < TINY { 1.0 - power / 2.0 } else { power.ln_1p() / power };
        (factor * area).exp()
    }
}

/// Below it the first two terms of a series are as good as a float gets.
const TINY: f64 = 1e-8;

#[cfg(test)]
mod tests {
    use super::*;

    /// How often each rank is drawn at the first positions.
    fn drawn(ranks: u64, exponent: f64, seed: i64, draws: u64) -> Vec<u64> {
        let zipf = Zipf::new(ranks, exponent);
        let mut counts = vec![0; ranks as usize];
        for position in 0..draws {
            counts[zipf.draw(&mut PositionRandom::at(seed, position)) as usize] += 1;
        }
        counts
    }

    #[test]
    fn ranks_are_as_frequent_as_zipfs_law_says() {
        const DRAWS: u64 = 200_000;
        for (ranks, exponent) in
            [(2, 1.0), (10, 0.0), (10, 0.5), (10, 1.0), (10, 1.0 + 1e-12), (100, 0.99), (100, 1.2), (20, 3.0)]
        {
            let weights: Vec<_> = (1..=ranks).map(|rank| (rank as f64).powf(-exponent)).collect();
            let whole: f64 = weights.iter().sum();
            let counts = drawn(ranks, exponent, 42, DRAWS);
            let chi: f64 = counts
                .iter()
                .zip(weights)
                .map(|(count, weight)| (*count as f64, weight / whole * DRAWS as f64))
                .map(|(count, expected)| (count - expected).powi(2) / expected)
                .sum();
            // By Wilson and Hilferty's approximation 1 in 100,000 exceeds this.
            let degrees = ranks as f64 - 1.0;
            let part = 2.0 / (9.0 * degrees);
            let most = degrees * (1.0 - part + 4.265 * part.sqrt()).powi(3);
            assert!(chi < most, "{ranks} ranks, exponent {exponent}: {chi} is above {most}: {counts:?}");
        }
    }

    /// Of many ranks, too many to count: those of the lower half of all weight, and the first one.
    #[test]
    fn the_head_of_many_ranks_has_its_share() {
        // The sum of 1/k over the first n is ln n + 0.5772 to six digits.
        let (ranks, draws) = (1_000_000_000_u64, 100_000_u64);
        let harmonic = |n: f64| n.ln() + 0.577_215_664_9;
        let zipf = Zipf::new(ranks, 1.0);
        let drawn: Vec<_> =
            (0..draws).map(|position| zipf.draw(&mut PositionRandom::at(3, position))).collect();
        for below in [1_u64, 1000, 31_623, 1_000_000] {
            let sum = if below == 1 { 1.0 } else { harmonic(below as f64) };
            let share = sum / harmonic(ranks as f64);
            let found = drawn.iter().filter(|rank| **rank < below).count() as f64 / draws as f64;
            // Four and a half standard deviations.
            let off = 4.5 * (share * (1.0 - share) / draws as f64).sqrt();
            assert!((found - share).abs() < off, "below {below}: {found} is not {share}");
        }
    }

    #[test]
    fn numbers_at_the_ends_of_their_ranges_do_no_harm() {
        for ranks in [1, 2, 3, (1 << 53) - 1, 1 << 53] {
            for exponent in [0.0, f64::MIN_POSITIVE, 0.5, 1.0, 2.0, 50.0, 1e10, f64::MAX] {
                let zipf = Zipf::new(ranks, exponent);
                for position in 0..200 {
                    let rank = zipf.draw(&mut PositionRandom::at(9, position));
                    assert!(rank < ranks, "{rank} of {ranks}, exponent {exponent}");
                    assert!(exponent < 50.0 || rank == 0, "{rank} of {ranks}, exponent {exponent}");
                }
            }
        }
    }
}
