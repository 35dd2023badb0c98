//! What the brokers say before the first record and after the last outcome: the end of the book is compared with theirs.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::producer::Producer as _;

use super::Sender;
use crate::producing::broker_side::{self, Acks, ClientSide, Ends, Place, is_complete};

impl Sender<'_> {
    /// Where the logs end. A stop ends the question.
    pub(super) fn ends_before(&self) -> Ends {
        match self.job.messages_max {
            0 => Ends::new(),
            _ => self.ends(|sender| sender.flag.is_set(), is_complete),
        }
    }

    /// Asks again where the logs end, and compares. What was acknowledged may take a moment until it can be read.
    pub(super) fn reconcile(&mut self, before: &Ends) {
        if self.sent == 0 {
            return;
        }
        let client = self.client_side();
        let is_settled = |after: &Ends| broker_side::reconcile(before, after, &client).is_settled;
        let after = match broker_side::known(before) {
            0 => Ends::new(),
            _ => self.ends(Sender::grace_is_over, is_settled),
        };
        let found = broker_side::reconcile(before, &after, &client);
        self.publisher.broker_side = Some(found.side);
        self.publisher.warnings.extend(found.warning);
        self.loss = found.error;
    }

    fn ends(&self, is_over: impl Fn(&Self) -> bool, is_settled: impl Fn(&Ends) -> bool) -> Ends {
        let places: Vec<_> = self.places().collect();
        let serve = || {
            self.serve(Duration::ZERO);
            self.publish_if_due(self.watch.elapsed_ns());
            !is_over(self)
        };
        broker_side::read(self.producer.client(), places.iter(), serve, is_settled)
    }

    fn places(&self) -> impl Iterator<Item = Place> {
        self.job.targets.iter().map(|target| (target.topic.clone(), target.partition))
    }

    fn client_side(&self) -> ClientSide {
        let ledger = self.deliveries.ledger();
        let mut acknowledged = BTreeMap::new();
        for (place, count) in self.places().zip(ledger.acknowledged_by_target()) {
            *acknowledged.entry(place).or_default() += count;
        }
        let settings = &self.job.translated.librdkafka;
        let is_idempotent = settings.contains_key("transactional.id")
            || settings.get("enable.idempotence").is_some_and(|value| value == "true");
        ClientSide {
            acks: Acks::of(&self.job.translated),
            is_idempotent,
            acknowledged,
            unanswered: ledger.unanswered,
            transactions: ledger.committed + ledger.transactions_aborted,
        }
    }
}
