//! The transactions of a run: begun and committed as the generator says, the last one ended.

use std::cell::Cell;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{Producer as _, PurgeConfig};

use super::Sender;
use crate::generators::TransactionAction;

/// How long one blocking transaction call may take before the stop flag is looked at again.
const TRANSACTION_STEP: Duration = Duration::from_millis(500);

impl Sender<'_> {
    pub(super) fn init_transactions(&self) -> Result<(), String> {
        let called = self.transaction_call("initTransactions", |step| self.producer.init_transactions(step));
        let id = self.job.translated.librdkafka.get("transactional.id").map_or("", String::as_str);
        called.map_err(|error| format!("transactional.id {id:?}: {error}"))
    }

    /// Begins and commits as the generator says, until it asks for a record.
    pub(super) fn step_transaction(&mut self) -> Result<(), String> {
        loop {
            let now_ms = (self.watch.elapsed_ns() / 1_000_000) as i64;
            let Some(transactions) = &mut self.job.transactions else { return Ok(()) };
            match transactions.next(now_ms) {
                TransactionAction::NoOp => return Ok(()),
                TransactionAction::Begin => {
                    self.producer.begin_transaction().map_err(|error| text("beginTransaction", &error))?;
                    self.in_transaction.set(true);
                    self.deliveries.ledger().transaction_begun();
                }
                TransactionAction::Commit => self.in_standstill(Sender::commit)?,
                TransactionAction::Abort => self.in_standstill(Sender::abort)?,
            }
        }
    }

    /// Nothing is sent until a transaction has ended, whatever is due.
    fn in_standstill(&self, end: impl Fn(&Self) -> Result<(), String>) -> Result<(), String> {
        let since_ns = self.watch.elapsed_ns();
        let ended = end(self);
        self.deliveries.ledger().punctuality.stood_still(self.watch.elapsed_ns() - since_ns);
        ended
    }

    /// The last transaction: committed when all records were sent, aborted on a stop or an error.
    /// An abort that fails after an error must not hide that error, so it is only logged.
    pub(super) fn end_transaction(&mut self, sent_well: bool) -> Result<(), String> {
        match self.in_transaction.get() {
            false => Ok(()),
            true if sent_well && self.sent >= self.job.messages_max => {
                self.commit().inspect_err(|_| self.abort_or_give_up())
            }
            true if sent_well => self.abort(),
            true => {
                self.abort_or_give_up();
                Ok(())
            }
        }
    }

    /// Why the open transaction takes no more records: it can only be aborted. The client tells that in the
    /// answer to a commit alone.
    pub(super) fn transaction_error(&self) -> String {
        self.commit().err().unwrap_or_else(|| "the transaction took no more records".to_owned())
    }

    fn abort_or_give_up(&self) {
        if let Err(error) = self.abort() {
            tracing::warn!(error, "the transaction could not be aborted either");
        }
    }

    fn commit(&self) -> Result<(), String> {
        // Reports must be served before the call, which waits for all of them.
        self.serve_until_delivered(None);
        let in_flight = self.deliveries.ledger().in_flight();
        if in_flight > 0 {
            return Err(self.too_late("commitTransaction", &format!("{in_flight} records have no answer")));
        }
        self.transaction_call("commitTransaction", |step| self.producer.commit_transaction(step))?;
        self.in_transaction.set(false);
        self.deliveries.ledger().transaction_committed();
        Ok(())
    }

    /// An abort that fails leaves the outcome of the transaction unknown.
    fn abort(&self) -> Result<(), String> {
        self.in_transaction.set(false);
        self.producer.purge(PurgeConfig::default().queue().inflight());
        self.serve_until_delivered(Some(Duration::from_secs(1)));
        let knows_none = Cell::new(false);
        let aborted = self.transaction_call("abortTransaction", |step| {
            self.producer.abort_transaction(step).inspect_err(|error| {
                knows_none
                    .set(error.rdkafka_error_code() == Some(RDKafkaErrorCode::InvalidTransactionalState));
            })
        });
        let mut ledger = self.deliveries.ledger();
        match aborted {
            // The broker has no transaction to end, if nothing of it was ever sent.
            Err(_) if knows_none.get() && ledger.is_transaction_unsent() => {
                ledger.transaction_aborted();
                return Ok(());
            }
            Ok(()) => ledger.transaction_aborted(),
            Err(_) => ledger.transaction_unknown(),
        }
        aborted
    }

    /// Repeats a blocking call in short steps until it succeeds, fails for good, or takes longer
    /// than Java's `max.block.ms`, or than the grace period once a stop was asked for.
    fn transaction_call(
        &self,
        name: &str,
        call: impl Fn(Duration) -> Result<(), KafkaError>,
    ) -> Result<(), String> {
        let limit_ms = self.job.translated.ours.max_block_ms;
        let since_ns = self.watch.elapsed_ns();
        loop {
            let error = match call(TRANSACTION_STEP) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let may_pass = matches!(&error, KafkaError::Transaction(native) if native.is_retriable());
            let waited_ms = (self.watch.elapsed_ns() - since_ns) / 1_000_000;
            if !may_pass {
                return Err(text(name, &error));
            }
            if waited_ms >= limit_ms {
                let late =
                    format!("{name} took longer than max.block.ms ({limit_ms}): {}", text(name, &error));
                return Err(self.deliveries.troubles.explain(late));
            }
            if self.grace_is_over() {
                return Err(self.too_late(name, &text(name, &error)));
            }
            self.deliveries.troubles.check()?;
            self.publish_if_due(self.watch.elapsed_ns());
            self.serve(Duration::from_millis(1));
        }
    }

    fn too_late(&self, name: &str, reason: &str) -> String {
        let late = format!("{name} did not end within the grace period: {reason}");
        self.deliveries.troubles.explain(late)
    }
}

fn text(call: &str, error: &KafkaError) -> String {
    match error {
        KafkaError::Transaction(native) => match native.code() {
            RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::ProducerFenced
            | RDKafkaErrorCode::InvalidProducerEpoch => {
                format!(
                    "{call}: the producer was fenced by another one with the same transactional.id ({native})"
                )
            }
            _ => format!("{call}: {native}"),
        },
        other => format!("{call}: {other}"),
    }
}
