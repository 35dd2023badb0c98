//! Where the callbacks of a consumer's client lead: to the log, and errors to the next batch too.

use std::collections::VecDeque;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::slice;
use std::sync::{Mutex, PoisonError};

use rdkafka::bindings::{rd_kafka_opaque, rd_kafka_t};
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::super::{log_level, raw};
use crate::client_config::Translated;
use crate::kafka::ClientLog;
use crate::leaders::LastStatistics;
use crate::trouble::{Trouble, Troubles};

/// Errors of the client that nobody has looked at yet; older ones are in the log only.
const TROUBLES_MAX: usize = 100;

/// What a client is made with.
pub(super) struct Context {
    group: String,
    unread: Mutex<VecDeque<Trouble>>,
    pub(super) troubles: Troubles,
    pub(super) statistics: LastStatistics,
}

impl Context {
    pub(super) fn of(translated: &Translated) -> Context {
        let group = translated.librdkafka.get("group.id").cloned().unwrap_or_default();
        Context {
            group,
            unread: Mutex::default(),
            troubles: Troubles::default(),
            statistics: LastStatistics::default(),
        }
    }

    /// What went wrong, with the name of the group if it is about that.
    pub(super) fn trouble(&self, code: RDKafkaErrorCode, reason: String) -> Trouble {
        use RDKafkaErrorCode as Code;
        match code {
            Code::GroupAuthorizationFailed | Code::FencedInstanceId | Code::Fatal => {
                Trouble { code, reason: format!("group {:?}: {reason}", self.group) }
            }
            _ => Trouble { code, reason },
        }
    }

    pub(super) fn unread(&self) -> VecDeque<Trouble> {
        std::mem::take(&mut self.unread.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Context {}

/// # Safety
/// librdkafka calls this with a client whose opaque is a [`Context`], and texts that end with NUL.
pub(super) unsafe extern "C" fn on_error(
    _client: *mut rd_kafka_t,
    code: c_int,
    reason: *const c_char,
    context: *mut c_void,
) {
    let code = raw::error_of(code).unwrap_or(RDKafkaErrorCode::NoError);
    // SAFETY: by the caller; the context lives as long as the client (invariant 3), and is shared.
    let (reason, context) = unsafe { (CStr::from_ptr(reason), &*context.cast::<Context>()) };
    let reason = reason.to_string_lossy().trim().to_owned();
    context.troubles.error(KafkaError::Global(code), &reason);
    let mut unread = context.unread.lock().unwrap_or_else(PoisonError::into_inner);
    if unread.len() < TROUBLES_MAX {
        unread.push_back(context.trouble(code, reason));
    }
}

/// # Safety
/// librdkafka calls this with `length` bytes, and a client whose opaque is a [`Context`].
pub(super) unsafe extern "C" fn on_statistics(
    _client: *mut rd_kafka_t,
    json: *mut c_char,
    length: usize,
    context: *mut c_void,
) -> c_int {
    // SAFETY: by the caller; the context lives as long as the client (invariant 3), and is shared.
    let (json, context) =
        unsafe { (slice::from_raw_parts(json.cast::<u8>(), length), &*context.cast::<Context>()) };
    context.statistics.put(json);
    // The text stays librdkafka's.
    0
}

/// # Safety
/// librdkafka calls this with a client whose opaque is a [`Context`], or none, and texts that end with NUL.
pub(super) unsafe extern "C" fn on_log(
    client: *const rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    text: *const c_char,
) {
    // SAFETY: by the caller.
    let (facility, text) = unsafe { (CStr::from_ptr(facility), CStr::from_ptr(text)) };
    let (facility, text) = (facility.to_string_lossy(), text.to_string_lossy());
    // There is no client yet where its settings are talked about.
    if client.is_null() {
        return ClientLog.log(log_level(level), facility.trim(), text.trim());
    }
    // SAFETY: by the caller; the context lives as long as the client (invariant 3), and is shared.
    let context = unsafe { &*rd_kafka_opaque(client).cast::<Context>() };
    context.troubles.log(log_level(level), facility.trim(), text.trim());
}
