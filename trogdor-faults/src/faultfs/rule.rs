//! What a fault of files does, resolved from its JSON form: which operations it hits, and with what.
//! Whether the n-th operation is hit is a function of n and a seed.

use rustix::io::Errno;

use super::operation::Operations;

/// A fault, ready to be asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rule {
    /// Empty for a full disk, which looks at what an operation needs.
    pub(crate) operations: Operations,
    pub(crate) prefix: Vec<u8>,
    pub(crate) suffix: Vec<u8>,
    pub(crate) probability: f64,
    /// How many operations are hit at most.
    pub(crate) count: Option<u64>,
    pub(crate) seed: u64,
    pub(crate) effect: Effect,
}

/// What happens to an operation that is hit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    Fail(Errno),
    /// Milliseconds.
    Delay(u64),
    Corrupt {
        corruption: Corruption,
        /// After so many, bytes at the end are lost instead.
        before_drop: Option<u64>,
    },
    DiskFull {
        bytes: u64,
        errno: Errno,
    },
}

/// How bytes change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Corruption {
    /// This share of them becomes zero.
    Zeros(f64),
    /// This share of them becomes something else.
    Noise(f64),
    /// Zeros from somewhere to the end.
    ZeroTail,
    /// Random bytes from somewhere to the end.
    NoisyTail,
    /// Nothing from somewhere to the end.
    Drop,
}

impl Rule {
    /// Whether it is about files with this path.
    pub(crate) fn fits(&self, path: &[u8]) -> bool {
        // The kernel says so of paths that were removed while the file is still open.
        let without_mark = path.strip_suffix(b" (deleted)").unwrap_or(path);
        path.starts_with(&self.prefix)
            && (path.ends_with(&self.suffix) || without_mark.ends_with(&self.suffix))
    }

    /// Whether the n-th operation that fits is hit.
    pub(crate) fn hits(&self, n: u64) -> bool {
        self.probability >= 1.0 || unit(random(self.seed, n)) < self.probability
    }
}

impl Corruption {
    /// By Kibosh's numbers.
    pub(crate) fn of_mode(mode: i32, fraction: f64) -> Option<Corruption> {
        match mode {
            1000 => Some(Corruption::Zeros(fraction)),
            1001 => Some(Corruption::Noise(fraction)),
            1100 => Some(Corruption::ZeroTail),
            1101 => Some(Corruption::NoisyTail),
            1200 => Some(Corruption::Drop),
            _ => None,
        }
    }

    /// Changes bytes, the same way for the same seed; gives how many of them are left.
    pub(crate) fn change(self, bytes: &mut [u8], seed: u64) -> usize {
        let cut = usize::try_from(random(seed, 0) % (bytes.len() as u64 + 1)).unwrap_or(0);
        let (share, noisy, start) = match self {
            Corruption::Drop => return cut,
            Corruption::Zeros(share) => (share, false, 0),
            Corruption::Noise(share) => (share, true, 0),
            Corruption::ZeroTail => (1.0, false, cut),
            Corruption::NoisyTail => (1.0, true, cut),
        };
        for (at, byte) in bytes.iter_mut().enumerate().skip(start) {
            let random = random(seed, at as u64 + 1);
            if share >= 1.0 || unit(random) < share {
                *byte = if noisy { (random & 0xff) as u8 } else { 0 };
            }
        }
        bytes.len()
    }
}

/// The n-th number of a sequence (SplitMix64).
pub(crate) fn random(seed: u64, n: u64) -> u64 {
    let mut z = seed.wrapping_add(n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// As a number from 0 to 1, 1 excluded.
fn unit(random: u64) -> f64 {
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_operations_is_hit_and_always_the_same_ones() {
        let rule = |probability, seed| Rule {
            operations: Operations::default(),
            prefix: Vec::new(),
            suffix: Vec::new(),
            probability,
            count: None,
            seed,
            effect: Effect::Delay(0),
        };
        let hits = |rule: Rule| (0..10_000).filter(|n| rule.hits(*n)).collect::<Vec<u64>>();
        assert_eq!(hits(rule(1.0, 0)).len(), 10_000);
        assert_eq!(hits(rule(0.0, 0)).len(), 0);
        let some = hits(rule(0.25, 7));
        assert!((2_350..2_650).contains(&some.len()), "{}", some.len());
        assert_eq!(some, hits(rule(0.25, 7)));
        assert_ne!(some, hits(rule(0.25, 8)));
    }

    #[test]
    fn bytes_change_as_the_mode_says() {
        let change = |corruption: Corruption| {
            let mut bytes = [7_u8; 64];
            let left = corruption.change(&mut bytes, 3);
            bytes[..left].to_vec()
        };
        assert_eq!(change(Corruption::Zeros(1.0)), [0; 64]);
        assert_eq!(change(Corruption::Noise(0.0)), [7; 64]);
        let some = change(Corruption::Zeros(0.5));
        assert!(some.contains(&0) && some.contains(&7) && some.len() == 64, "{some:?}");
        let cut = change(Corruption::Drop).len();
        assert!(cut < 64);
        let tail = change(Corruption::ZeroTail);
        assert!(tail[..cut] == [7; 64][..cut] && tail[cut..].iter().all(|byte| *byte == 0), "{tail:?}");
        assert_ne!(change(Corruption::NoisyTail)[cut..], tail[cut..]);
        assert_eq!(Corruption::Drop.change(&mut [], 3), 0);
    }
}
