//! Calls into librdkafka that the binding does not offer in the form needed here. All `unsafe` of
//! the client code is in this file.

use std::time::Duration;

use rdkafka::bindings::rd_kafka_flush;
use rdkafka::client::{Client, ClientContext};

/// Lets waiting batches go without their linger, and waits at most this long, without serving
/// delivery reports. The binding's own flush serves them in steps of up to 100 ms.
pub(crate) fn flush<C: ClientContext>(client: &Client<C>, limit: Duration) {
    let limit_ms = limit.as_millis().min(1_000) as i32;
    #[expect(unsafe_code, reason = "a call of the C interface")]
    // SAFETY: the handle is valid as long as the client, which is borrowed for the call; the call
    // takes no other pointer. Its result says only whether something is still in flight.
    let _ = unsafe { rd_kafka_flush(client.native_ptr(), limit_ms) };
}
