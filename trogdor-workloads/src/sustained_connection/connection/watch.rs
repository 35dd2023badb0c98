//! What a client says beside its answers, and waiting for those.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;

use super::{Gone, PATIENCE};
use crate::clock::Stopwatch;
use crate::hot_thread::StopFlag;
use crate::native::Asking;
use crate::trouble::Troubles;

/// Listens to what a client says beside its answers.
pub(super) struct Watch {
    pub(super) troubles: Troubles,
    /// How often a connection broke, of all clients of this kind.
    pub(super) lost: Arc<AtomicU64>,
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.troubles.log(level, facility, text);
        if facility == "FAIL" && text.contains("in state UP") {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.troubles.error(error, reason);
    }
}

impl ProducerContext for Watch {
    type DeliveryOpaque = usize;

    /// Reports are read where the record was sent; those that come while the client ends are too late.
    fn delivery(&self, _result: &DeliveryResult<'_>, _slot: usize) {}
}

/// What the client had to say before does not explain what comes.
pub(super) fn begin(asking: &Asking<Watch>) -> Stopwatch {
    asking.serve();
    asking.context().troubles.forget();
    Stopwatch::start()
}

/// The answer to a question that was asked a while ago, if it comes before a thread's patience is
/// over. The client ends the wait when the time of the question is over.
pub(super) fn answer(asking: &Asking<Watch>, asked: Stopwatch, flag: &StopFlag) -> Result<Option<i64>, Gone> {
    let troubles = &asking.context().troubles;
    loop {
        let patience = PATIENCE.saturating_sub(Duration::from_nanos(asked.elapsed_ns()));
        match asking.answer(patience) {
            Some(Ok(answer)) => return Ok(Some(answer)),
            Some(Err(cause)) => return Err(troubles.explain(cause).into()),
            None => troubles.check()?,
        }
        if flag.is_set() {
            return Err(Gone::Stopped);
        }
        if patience.is_zero() {
            return Ok(None);
        }
    }
}
