//! Waiting for what was handed over: for all of it, or until it is given up.

use std::time::Duration;

use rdkafka::producer::{Producer as _, PurgeConfig};

use super::Sender;

impl Sender<'_> {
    /// Whether a stop was asked for, and longer ago than the grace period.
    pub(super) fn grace_is_over(&self) -> bool {
        self.grace.is_over(self.flag, self.watch.elapsed_ns())
    }

    /// Serves reports until every record has an outcome. Without a limit the client's own delivery
    /// time-out ends it, and a stop bounds it by the grace period.
    pub(super) fn serve_until_delivered(&self, limit: Option<Duration>) {
        let since_ns = self.watch.elapsed_ns();
        let is_over = |limit| Duration::from_nanos(self.watch.elapsed_ns() - since_ns) >= limit;
        self.serve_until(|sender| sender.grace_is_over() || limit.is_some_and(is_over));
    }

    /// Serves reports until every record has an outcome, or nobody waits for it any more.
    pub(super) fn serve_until(&self, is_given_up: impl Fn(&Self) -> bool) {
        const LONGEST_WAIT: Duration = Duration::from_millis(20);
        self.producer.flush_during(|| {
            while self.deliveries.ledger().in_flight() > 0 && !is_given_up(self) {
                self.publish_if_due(self.watch.elapsed_ns());
                self.serve(LONGEST_WAIT);
            }
        });
    }

    pub(super) fn serve(&self, wait: Duration) {
        self.deliveries.serve(&self.producer, wait);
    }

    /// Waits for what is in flight; what is left then is given up, and its fate unknown.
    pub(super) fn drain(&mut self) {
        // Without a login there will be no answers.
        let limit = self.deliveries.troubles.is_final().then_some(Duration::from_secs(1));
        self.serve_until_delivered(limit);
        if self.deliveries.ledger().in_flight() > 0 {
            self.deliveries.ledger().given_up = true;
            self.producer.purge(PurgeConfig::default().queue().inflight());
            self.serve_purged();
        }
    }

    fn serve_purged(&self) {
        const LIMIT_NS: u64 = 1_000_000_000;
        let since_ns = self.watch.elapsed_ns();
        while self.deliveries.ledger().in_flight() > 0 && self.watch.elapsed_ns() - since_ns < LIMIT_NS {
            self.serve(Duration::from_millis(1));
        }
        self.deliveries.ledger().give_up_the_rest();
    }
}
