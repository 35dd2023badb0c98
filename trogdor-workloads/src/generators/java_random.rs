//! `java.util.Random`, bit for bit: payloads must be the same bytes as those of the Java original,
//! so that records written by one can be verified by the other. The algorithms are those that the
//! class documentation of `java.util.Random` specifies. This is no source of secrets, and it never
//! seeds itself: every seed comes from a spec.

use super::strict_log::strict_log;

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const INCREMENT: u64 = 0xB;
/// 2⁻⁵³, the spacing of the doubles that `nextDouble` draws.
const DOUBLE_UNIT: f64 = 1.0 / (1_u64 << 53) as f64;

/// A 48-bit linear congruential generator with the stream of `java.util.Random`.
#[derive(Debug, Clone, PartialEq)]
pub struct JavaRandom {
    /// Only the low 48 bits count; those above are left to run wild, which spares a mask per step.
    state: u64,
    stored_gaussian: Option<f64>,
}

impl JavaRandom {
    /// A generator with this seed.
    pub fn new(seed: i64) -> JavaRandom {
        JavaRandom { state: seed as u64 ^ MULTIPLIER, stored_gaussian: None }
    }

    /// Starts over with another seed; a stored gaussian is forgotten.
    pub fn set_seed(&mut self, seed: i64) {
        *self = JavaRandom::new(seed);
    }

    /// Any 32-bit number (`nextInt()`).
    pub fn next_int(&mut self) -> i32 {
        self.bits(32)
    }

    /// A number from 0 to below `bound` (`nextInt(bound)`). Java throws for a bound below 1; here it
    /// counts as 1.
    pub fn next_below(&mut self, bound: i32) -> i32 {
        let bound = bound.max(1);
        if bound & (bound - 1) == 0 {
            return ((i64::from(bound) * i64::from(self.bits(31))) >> 31) as i32;
        }
        loop {
            let drawn = self.bits(31);
            let rest = drawn % bound;
            // The last, incomplete stretch of the 31-bit range would favour small numbers.
            if (drawn - rest).checked_add(bound - 1).is_some() {
                return rest;
            }
        }
    }

    /// Any of 2⁴⁸ of the 64-bit numbers (`nextLong()`).
    pub fn next_long(&mut self) -> i64 {
        let high = i64::from(self.bits(32)) << 32;
        high.wrapping_add(i64::from(self.bits(32)))
    }

    /// A number from 0 to below 1 (`nextDouble()`).
    pub fn next_double(&mut self) -> f64 {
        let high = i64::from(self.bits(26)) << 27;
        (high + i64::from(self.bits(27))) as f64 * DOUBLE_UNIT
    }

    /// A number of the standard normal distribution (`nextGaussian()`), by the polar method of
    /// Marsaglia. Its magnitude is below 12.01, since the squared radius is at least 2⁻¹⁰⁴.
    pub fn next_gaussian(&mut self) -> f64 {
        if let Some(gaussian) = self.stored_gaussian.take() {
            return gaussian;
        }
        loop {
            let x = 2.0 * self.next_double() - 1.0;
            let y = 2.0 * self.next_double() - 1.0;
            let square = x * x + y * y;
            if 0.0 < square && square < 1.0 {
                let factor = (-2.0 * strict_log(square) / square).sqrt();
                self.stored_gaussian = Some(y * factor);
                return x * factor;
            }
        }
    }

    /// Fills the slice (`nextBytes`). A last group of one to three bytes uses up a whole number.
    pub fn next_bytes(&mut self, bytes: &mut [u8]) {
        let mut groups = bytes.chunks_exact_mut(4);
        for group in &mut groups {
            group.copy_from_slice(&self.next_int().to_le_bytes());
        }
        let rest = groups.into_remainder();
        if !rest.is_empty() {
            let last = self.next_int().to_le_bytes();
            rest.copy_from_slice(&last[..rest.len()]);
        }
    }

    /// The top `count` of the 48 bits, as Java's protected `next(count)`; `count` is 1 to 32.
    #[inline]
    fn bits(&mut self, count: u32) -> i32 {
        self.state = self.state.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT);
        ((self.state << 16 >> 32) as u32 >> (32 - count)) as i32
    }
}

/// A normally distributed whole number of at least 1, as the original draws them: the deviation is
/// cut towards zero before the average is added.
pub(super) fn gaussian_at_least_one(random: &mut JavaRandom, average: i32, deviation: f64) -> u64 {
    let distance = (random.next_gaussian() * deviation) as i32;
    u64::try_from(distance.saturating_add(average)).unwrap_or(0).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn<T>(seed: i64, count: usize, mut draw: impl FnMut(&mut JavaRandom) -> T) -> Vec<T> {
        let mut random = JavaRandom::new(seed);
        (0..count).map(|_| draw(&mut random)).collect()
    }

    #[test]
    fn whole_numbers_are_javas() {
        assert_eq!(drawn(0, 3, JavaRandom::next_int), [-1155484576, -723955400, 1033096058]);
        assert_eq!(drawn(42, 1, JavaRandom::next_int), [-1170105035]);
    }

    #[test]
    fn bounded_numbers_are_javas() {
        let rows = [
            (1, [0, 0, 0, 0, 0]),
            (2, [1, 0, 1, 0, 0]),
            (100, [30, 63, 48, 84, 70]),
            (1024, [745, 55, 699, 49, 316]),
            (1 << 30, [781215565, 58696381, 733605624, 51474442, 331484985]),
            ((1 << 30) + 1, [117392763, 102948884, 662969970, 595021505, 196118093]),
            (i32::MAX, [1562431130, 117392763, 1467211248, 102948884, 662969970]),
        ];
        for (bound, expected) in rows {
            assert_eq!(drawn(42, 5, |random| random.next_below(bound)), expected, "bound {bound}");
        }
    }

    #[test]
    fn bounds_below_one_count_as_one() {
        assert_eq!(drawn(42, 2, |random| random.next_below(0)), [0, 0]);
        assert_eq!(drawn(42, 2, |random| random.next_below(i32::MIN)), [0, 0]);
    }

    #[test]
    fn long_and_double_numbers_are_javas() {
        let mut random = JavaRandom::new(42);
        let drawn = (random.next_long(), random.next_long(), random.next_double(), random.next_double());
        let expected = (-5025562857975149833, -5843495416241995736, 0.30871945533265976, 0.27707849007413665);
        assert_eq!(drawn, expected);
    }

    #[test]
    fn gaussians_are_javas() {
        let expected = [1.1419053154730547, 0.9194079489827879, -0.9498666368908959];
        assert_eq!(drawn(42, 3, JavaRandom::next_gaussian), expected);
    }

    /// The digests are those of a Java 17: h = 31·h + bits of the gaussian, wrapping.
    #[test]
    fn a_million_gaussians_have_javas_bits() {
        for (seed, expected) in
            [(0, -3588495936292336562), (1, -3694104147427476003), (-7, -5990430064206757168)]
        {
            let mut random = JavaRandom::new(seed);
            let digest = (0..1_000_000).fold(0_i64, |digest, _| {
                digest.wrapping_mul(31).wrapping_add(random.next_gaussian().to_bits() as i64)
            });
            assert_eq!(digest, expected, "seed {seed}");
        }
    }

    #[test]
    fn a_new_seed_forgets_the_stored_gaussian() {
        let mut random = JavaRandom::new(42);
        random.next_gaussian();
        random.set_seed(42);
        assert_eq!(random.next_gaussian(), 1.1419053154730547);
    }

    #[test]
    fn bytes_are_javas_for_every_length_of_the_rest() {
        for length in 0..=5 {
            let mut bytes = [0; 5];
            JavaRandom::new(-1).next_bytes(&mut bytes[..length]);
            assert_eq!(bytes[..length], [0xb3, 0x6c, 0xd9, 0x44, 0xc3][..length]);
        }
    }

    #[test]
    fn a_short_rest_uses_up_a_whole_number() {
        let mut random = JavaRandom::new(0);
        random.next_bytes(&mut [0; 5]);
        assert_eq!(random.next_int(), 1033096058);
    }
}
