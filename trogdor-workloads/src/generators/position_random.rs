//! Random numbers that are functions of a seed and a position, for what the original does not have: no draw
//! depends on the draws for other positions, and neighbouring positions and seeds have nothing in common,
//! which `java.util.Random` cannot say of itself. SplitMix64 (Steele, Lea and Flood, "Fast splittable
//! pseudorandom number generators", 2014), begun at a place of its own for each position.

/// The draws for one position.
#[derive(Debug, Clone, Copy)]
pub(super) struct PositionRandom(u64);

/// The golden ratio in 64 bits, odd: multiples of it visit all numbers.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl PositionRandom {
    /// Begins the draws for a position.
    pub(super) fn at(seed: i64, position: u64) -> PositionRandom {
        let of_seed = mixed(seed.cast_unsigned().wrapping_add(GAMMA));
        PositionRandom(mixed(of_seed.wrapping_add(position.wrapping_mul(GAMMA))))
    }

    /// Any number, all equally likely.
    pub(super) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        mixed(self.0)
    }

    /// A number below a bound above 0, all exactly equally likely (Lemire, "Fast random integer generation
    /// in an interval", 2019).
    pub(super) fn next_below(&mut self, bound: u64) -> u64 {
        // So many of the lowest products would be one too many for some numbers.
        let surplus = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(bound);
            if product as u64 >= surplus {
                return (product >> 64) as u64;
            }
        }
    }

    /// A number above 0 and below 1.
    pub(super) fn next_fraction(&mut self) -> f64 {
        const STEPS: f64 = (1_u64 << 52) as f64;
        ((self.next_u64() >> 12) as f64 + 0.5) / STEPS
    }
}

fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_those_of_splitmix64() {
        // The first draws of the reference program, begun at 0.
        let mut random = PositionRandom(0);
        let drawn = [(); 3].map(|()| random.next_u64());
        assert_eq!(drawn, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
    }

    /// Payloads are made of them, and a reader may be a later version.
    #[test]
    fn draws_for_a_position_never_change() {
        let first = |seed, position| PositionRandom::at(seed, position).next_u64();
        let rows = [first(0, 0), first(0, 1), first(1, 0), first(i64::MIN, u64::MAX)];
        assert_eq!(
            rows.map(|drawn| format!("{drawn:016x}")),
            ["568a9b0b1a2c05ec", "238275bc38fcbe91", "6ec85f1f8547bc0c", "21cbc4ee0ada0207"]
        );
    }

    /// The first draw for each position, and for each seed, is what payloads and gaps are made of.
    #[test]
    fn first_draws_of_neighbouring_positions_and_seeds_are_spread_evenly() {
        const BINS: usize = 64;
        const DRAWS: u64 = 64_000;
        let by_position = |n: u64| PositionRandom::at(7, n).next_u64();
        let by_seed = |n: u64| PositionRandom::at(n as i64, 7).next_u64();
        for (name, draw) in [("positions", &by_position as &dyn Fn(u64) -> u64), ("seeds", &by_seed)] {
            let mut single = [0_u64; BINS];
            let mut paired = [0_u64; BINS];
            for n in 0..DRAWS {
                single[(draw(n) >> 58) as usize] += 1;
                // Three bits of each of two neighbours.
                paired[(draw(n) >> 61 << 3 | draw(n + 1) >> 61) as usize] += 1;
            }
            for (kind, bins) in [("draws", single), ("pairs", paired)] {
                let expected = DRAWS as f64 / BINS as f64;
                let chi: f64 = bins.iter().map(|n| (*n as f64 - expected).powi(2) / expected).sum();
                // 63 degrees of freedom: 1 in 10,000 is above 113, and 1 in 10,000 below 29.
                assert!((29.0..113.0).contains(&chi), "{kind} over {name}: {chi}");
            }
        }
    }

    #[test]
    fn bounded_draws_stay_below_and_reach_all() {
        for bound in [1, 2, 3, 1000, 1 << 53, u64::MAX / 2 + 2, u64::MAX] {
            let drawn: Vec<_> = (0..200).map(|n| PositionRandom::at(5, n).next_below(bound)).collect();
            assert!(drawn.iter().all(|number| *number < bound), "{bound}");
            assert!(bound > 3 || (0..bound).all(|number| drawn.contains(&number)), "{bound}");
            // The mean of 200 is this close to the middle but once in some thousand seeds.
            let mean = drawn.iter().map(|n| *n as f64 / bound as f64).sum::<f64>() / 200.0;
            assert!(bound <= 3 || (mean - 0.5).abs() < 0.07, "{bound}: {mean}");
        }
    }
}
