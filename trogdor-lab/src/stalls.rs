//! Brokers that stand still for a while, again and again, with the times for which they really did, and how long a
//! steady flow of records waits for them, by arithmetic alone. No record is sent or measured here.

use std::time::Duration;

use crate::{error::LabError, kafka::Kafka, wait::Stopwatch};

/// When a broker is to stand still.
#[derive(Clone, Copy, Debug)]
pub struct StallPlan {
    /// How long it runs before the first stall.
    pub first_after: Duration,
    /// From the beginning of one stall to that of the next.
    pub every: Duration,
    /// How many there are.
    pub count: usize,
    /// For how long it stands still.
    pub length: Duration,
}

/// For how long a broker stood still, each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stalls {
    lengths: Vec<Duration>,
    slowest_freeze: Duration,
}

impl Kafka {
    /// Freezes the broker again and again, and tells for how long it really stood still: from before SIGSTOP to before
    /// SIGCONT, which a busy machine makes longer than planned.
    pub async fn stall(&self, plan: StallPlan) -> Result<Stalls, LabError> {
        tokio::time::sleep(plan.first_after).await;
        let mut beginnings = tokio::time::interval(plan.every);
        let mut stalls = Stalls::from(Vec::new());
        for _ in 0..plan.count {
            beginnings.tick().await;
            let watch = Stopwatch::start();
            self.pause().await?;
            stalls.slowest_freeze = stalls.slowest_freeze.max(watch.elapsed());
            tokio::time::sleep(plan.length.saturating_sub(watch.elapsed())).await;
            stalls.lengths.push(watch.elapsed());
            self.resume().await?;
        }
        Ok(stalls)
    }
}

impl Stalls {
    /// Each of them.
    pub fn lengths(&self) -> &[Duration] {
        &self.lengths
    }

    /// The longest time in which a broker was seen to obey SIGSTOP. Its threads stand still when they get their turn, so
    /// on a busy machine a stall may be shorter than told, by as much.
    pub fn slowest_freeze(&self) -> Duration {
        self.slowest_freeze
    }

    /// The wait that this share of all records does not exceed, 0 to 1, where records are due evenly for the time of
    /// `flow` and all stalls lie within it: one that is due in a stall waits for the rest of it, the others do not wait.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use trogdor_lab::Stalls;
    ///
    /// // One second in ten: a tenth of the records waits for anything up to a second.
    /// let stalls = Stalls::from(vec![Duration::from_secs(1)]);
    /// let wait = |share| stalls.wait_at(share, Duration::from_secs(10)).as_millis();
    /// assert_eq!([0.9, 0.95, 0.99, 1.0].map(wait), [0, 500, 900, 1000]);
    /// ```
    #[must_use]
    pub fn wait_at(&self, share: f64, flow: Duration) -> Duration {
        let mut longest_first: Vec<_> = self.lengths.iter().map(Duration::as_secs_f64).collect();
        longest_first.sort_by(|one, other| other.total_cmp(one));
        // Records that wait for more than w are due in the stalls longer than w, but not in the last w of them.
        let waiting = (1.0 - share).max(0.0) * flow.as_secs_f64();
        let mut sum = 0.0;
        let mut wait: f64 = 0.0;
        for (before, length) in longest_first.iter().enumerate() {
            // As if only the longest ones were there; the wait is the highest that any number of them gives.
            sum += length;
            wait = wait.max((sum - waiting) / (before + 1) as f64);
        }
        // Nanoseconds, so that shares that are not exact in binary make round times.
        Duration::from_nanos((wait * 1e9).round() as u64)
    }
}

impl From<Vec<Duration>> for Stalls {
    fn from(lengths: Vec<Duration>) -> Self {
        Self { lengths, slowest_freeze: Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_those_of_records_that_are_counted_one_by_one() {
        let rows: [&[u64]; 5] = [&[], &[1000], &[1000, 1000], &[200, 1500, 700], &[900, 100, 100, 100]];
        for lengths_ms in rows {
            const FLOW_MS: u64 = 20_000;
            let mut waits: Vec<_> = lengths_ms.iter().flat_map(|length| 1..=*length).collect();
            waits.resize(FLOW_MS as usize, 0);
            waits.sort_unstable();
            let lengths: Vec<_> = lengths_ms.iter().copied().map(Duration::from_millis).collect();
            let stalls = Stalls::from(lengths);
            for percent in 0..=100 {
                let counted = waits[(percent * waits.len()).div_ceil(100).max(1) - 1];
                let found = stalls.wait_at(percent as f64 / 100.0, Duration::from_millis(FLOW_MS));
                assert!(
                    found.as_millis().abs_diff(counted.into()) <= 1,
                    "{lengths_ms:?}, p{percent}: {found:?}"
                );
            }
        }
    }
}
