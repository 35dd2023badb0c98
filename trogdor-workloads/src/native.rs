//! Calls into librdkafka that the binding does not offer in the form needed here. All `unsafe` of
//! the client code is in this module.

mod answers;
mod asking;
mod batches;
mod bell;
mod consumer;
mod event;
mod flusher;
mod log_ends;
mod queue;
mod raw;
mod reader;
#[cfg(test)]
mod scripted_broker;
mod settings;
mod topic;

use std::ffi::CString;
use std::time::Duration;

use rdkafka::bindings::{
    rd_kafka_error_destroy, rd_kafka_error_string, rd_kafka_flush, rd_kafka_message_t,
    rd_kafka_sasl_set_credentials,
};
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::RDKafkaErrorCode;

use crate::client_config::SaslCredentials;

pub(crate) use asking::Asking;
pub(crate) use batches::{BatchProducer, Failure, Record, TopicNumber};
pub(crate) use consumer::{BatchConsumer, Received};
pub(crate) use event::serve;
pub(crate) use log_ends::{Answer, LogEnd, LogEnds, TopicNow};
pub(crate) use reader::PartitionReader;
pub(crate) use settings::settings_in_force;

/// Lets waiting batches go without their linger, and waits at most this long, without serving
/// delivery reports. The binding's own flush serves them in steps of up to 100 ms.
pub(crate) fn flush<C: ClientContext>(client: &Client<C>, limit: Duration) {
    let limit_ms = limit.as_millis().min(1_000) as i32;
    #[expect(unsafe_code, reason = "a call of the C interface")]
    // SAFETY: the handle is valid as long as the client, which is borrowed for the call; the call
    // takes no other pointer. Its result says only whether something is still in flight.
    let _ = unsafe { rd_kafka_flush(client.native_ptr(), limit_ms) };
}

/// Sets user name and password as they are. Through the configuration librdkafka would drop leading
/// blanks.
///
/// # Errors
/// A value with a NUL character, or what librdkafka says. The values are not in the text.
#[expect(unsafe_code, reason = "calls of the C interface")]
pub(crate) fn set_credentials<C: ClientContext>(
    client: &Client<C>,
    credentials: &SaslCredentials,
) -> Result<(), String> {
    let text =
        |value: &str| CString::new(value).map_err(|_| "a NUL character in user name or password".to_owned());
    let (username, password) = (text(&credentials.username)?, text(&credentials.password)?);
    // SAFETY: the handle is valid as long as the client, which is borrowed for the call; both texts
    // end with NUL, outlive the call, and are copied by it.
    let error =
        unsafe { rd_kafka_sasl_set_credentials(client.native_ptr(), username.as_ptr(), password.as_ptr()) };
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: a result that is not null is an error object that is ours; its text lives until it is
    // destroyed, which happens once, after the text was copied.
    let text = unsafe {
        let text = std::ffi::CStr::from_ptr(rd_kafka_error_string(error)).to_string_lossy().into_owned();
        rd_kafka_error_destroy(error);
        text
    };
    Err(format!("user name and password cannot be set: {text}"))
}

/// What a message says went wrong. It is read as a number: a broker may name an error that this
/// version of the client does not know, and that is no value of the binding's enum.
///
/// # Safety
/// The message is valid.
#[expect(unsafe_code, reason = "a look at a C structure")]
unsafe fn error_code(message: *const rd_kafka_message_t) -> Option<RDKafkaErrorCode> {
    // SAFETY: by the caller; the enum is represented as an i32.
    raw::error_of(unsafe { (&raw const (*message).err).cast::<i32>().read() })
}

/// By syslog's numbers.
fn log_level(number: i32) -> RDKafkaLogLevel {
    match number {
        0 => RDKafkaLogLevel::Emerg,
        1 => RDKafkaLogLevel::Alert,
        2 => RDKafkaLogLevel::Critical,
        3 => RDKafkaLogLevel::Error,
        4 => RDKafkaLogLevel::Warning,
        5 => RDKafkaLogLevel::Notice,
        6 => RDKafkaLogLevel::Info,
        _ => RDKafkaLogLevel::Debug,
    }
}

#[cfg(test)]
mod tests;
