//! The moving block bootstrap, as plain functions: how a figure of a measurement would scatter if it were taken
//! again, told by drawing its own intervals again. Neighbouring intervals are drawn together, because what slows
//! one down (a flush, a pause of a collector) slows down the next, too; single draws would take them for
//! independent and make the result look surer than it is.

/// The end points of an interval.
pub(super) type Ends = (f64, f64);

/// Numbers that look random, the same for the same seed on every machine: SplitMix64.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below a bound, which is not 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        // The upper half of the product: every number is as likely as any other, to 2^-64 of the bound.
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

/// How often each of `count` intervals is drawn, in all `count` times: blocks of neighbours, from any place, over
/// the end to the beginning, so that each is as likely as any other.
pub(super) fn draw(count: usize, block: usize, random: &mut Random, times: &mut Vec<u32>) {
    times.clear();
    times.resize(count, 0);
    let mut drawn = 0;
    while drawn < count {
        let start = random.below(count);
        for place in start..start + block.clamp(1, count - drawn) {
            times[place % count] += 1;
            drawn += 1;
        }
    }
}

/// The middle part of some values, the wanted percentage of them.
pub(super) fn middle(mut values: Vec<f64>, percent: f64) -> Option<Ends> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let tail = (1.0 - percent / 100.0) / 2.0;
    // Outwards, so that it is rather too wide.
    let low = (tail * last as f64).floor() as usize;
    let high = ((1.0 - tail) * last as f64).ceil() as usize;
    Some((values[low.min(last)], values[high.min(last)]))
}

/// By how much an interval is to be wider than the draws say, because few blocks scatter less than many would: a
/// variance of few is too small by one part in their number, and the tails are Student's, not the bell's.
pub(super) fn widening(blocks: f64, percent: f64) -> f64 {
    let freedom = (blocks - 1.0).max(1.0);
    let bell = bell_quantile((1.0 - percent / 100.0) / 2.0);
    // Cornish and Fisher's first two terms; right to a part in a hundred from four blocks on.
    let first = (bell.powi(3) + bell) / 4.0;
    let second = (5.0 * bell.powi(5) + 16.0 * bell.powi(3) + 3.0 * bell) / 96.0;
    let student = bell + first / freedom + second / freedom.powi(2);
    student / bell * (blocks / freedom).max(1.0).sqrt()
}

/// What a normally distributed value passes with this probability, in standard deviations; the formula 26.2.23
/// of Abramowitz and Stegun, right to 0.0005.
fn bell_quantile(tail: f64) -> f64 {
    let t = (-2.0 * tail.ln()).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    t - above / (1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_interval_is_drawn_as_often_as_any_other_and_neighbours_together() {
        const DRAWS: u32 = 4000;
        let (mut random, mut times, mut sums) = (Random::new(1), Vec::new(), [0; 23]);
        let mut together = 0;
        for _ in 0..DRAWS {
            draw(23, 5, &mut random, &mut times);
            assert_eq!(times.iter().sum::<u32>(), 23);
            sums.iter_mut().zip(&times).for_each(|(sum, times)| *sum += times);
            together += times.windows(2).filter(|pair| pair[0] > 0 && pair[1] > 0).count();
        }
        // A count of 4,000 expected has a standard deviation of about 63.
        assert!(sums.iter().all(|sum| sum.abs_diff(DRAWS) < 320), "{sums:?}");
        // Of 22 pairs, independent draws would hold 22 · 0.64² = 9.
        assert!(together > 10 * DRAWS as usize, "{together}");
    }

    #[test]
    fn a_block_is_never_longer_than_what_there_is() {
        let mut times = Vec::new();
        draw(3, 5, &mut Random::new(1), &mut times);
        assert_eq!(times, [1, 1, 1]);
        draw(0, 5, &mut Random::new(1), &mut times);
        assert_eq!(times, [0; 0]);
    }

    #[test]
    fn the_middle_is_what_it_says() {
        let values: Vec<_> = (0..=1000).rev().map(f64::from).collect();
        assert_eq!(middle(values.clone(), 95.0), Some((25.0, 975.0)));
        assert_eq!(middle(values, 50.0), Some((250.0, 750.0)));
        assert_eq!(middle(vec![7.0], 95.0), Some((7.0, 7.0)));
        assert_eq!(middle(Vec::new(), 95.0), None);
    }

    #[test]
    fn few_blocks_widen_the_interval_as_students_distribution_does() {
        // Student's 97.5 % and 99.5 % quantiles for 11 and 5 degrees of freedom, from tables.
        let rows = [(12.0, 95.0, 2.201 / 1.96), (6.0, 95.0, 2.571 / 1.96), (12.0, 99.0, 3.106 / 2.576)];
        for (blocks, percent, ratio) in rows {
            let expected = ratio * f64::sqrt(blocks / (blocks - 1.0));
            let widening = widening(blocks, percent);
            assert!((widening / expected - 1.0).abs() < 0.01, "{blocks} {percent}: {widening} {expected}");
        }
        assert!((widening(1e6, 95.0) - 1.0).abs() < 1e-3);
    }

    #[test]
    fn a_seed_gives_the_same_numbers_everywhere() {
        // The reference values of SplitMix64 for the seed 1234567.
        let mut random = Random::new(1_234_567);
        assert_eq!([random.next(), random.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }
}
