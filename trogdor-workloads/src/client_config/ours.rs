//! What a workload has to do itself because librdkafka has no setting for it. Plain values and the sentences
//! that go with them; deliberately nothing that acts.

use std::fmt;
use std::time::Duration;

use super::HostPort;

/// Settings that our own code applies; the values are Java's, or Java's defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct Ours {
    /// The servers to resolve before the client is made; if none resolves, `NO_RESOLVABLE_BOOTSTRAP` is
    /// the error. librdkafka would wait for ever.
    pub bootstrap: Vec<HostPort>,
    /// Producer: the bound on waiting for metadata, for queue space, and for the calls of a transaction.
    /// 0 means to fail at once.
    pub max_block_ms: u64,
    /// Producer: the largest message; see [`Ours::oversize`].
    pub max_request_size_bytes: u64,
    /// Producer: the memory for unsent records; see [`Ours::oversize`].
    pub buffer_memory_bytes: u64,
    /// Producer: each record goes to the topic's next partition, whatever its key.
    pub round_robin_partitioner: bool,
    /// Consumer: the most records that are taken at once.
    pub max_poll_records: u32,
    /// Consumer: no `group.id` was given. librdkafka got a name because it does nothing without one, but
    /// nothing may subscribe or commit; see [`Ours::subscribe_problem`].
    pub no_group: bool,
    /// Consumer: where a partition has no valid position (librdkafka says `_AUTO_OFFSET_RESET`), go to the
    /// first record that is younger than this, or to the end. `None` then means `auto.offset.reset=none`:
    /// fail with [`Ours::NO_RESET_POLICY`]. For `earliest` and `latest` librdkafka does it and says nothing.
    pub reset_by: Option<Duration>,
    /// Admin: the time-out of a whole call including its retries. Consumer: that of each call that waits
    /// for a broker.
    pub default_api_timeout_ms: u64,
    /// Admin: how often a failed request is sent again.
    pub retries: u32,
    /// A PKCS12 store whose certificates are trusted: librdkafka reads none, so they become its `ssl.ca.pem`.
    pub trust_store: Option<TrustStore>,
    /// Credentials to hand to the finished client (`rd_kafka_sasl_set_credentials`), because a leading
    /// blank in one of them would be lost in the settings.
    pub sasl_credentials: Option<SaslCredentials>,
}

/// A user name and a password; `Debug` hides both.
#[derive(Clone, PartialEq)]
pub struct SaslCredentials {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: String,
}

/// A file of certificates and what opens it; `Debug` hides the password.
#[derive(Clone, PartialEq)]
pub struct TrustStore {
    /// The path, as given.
    pub location: String,
    /// The password; empty without one.
    pub password: String,
}

impl Ours {
    /// The start of Java's error for `auto.offset.reset=none`; the partitions follow, as in `[t-0, t-1]`.
    pub const NO_RESET_POLICY: &str = "Undefined offset with no reset policy for partitions: ";

    /// Java's error for a consumer without a group that is to subscribe or to commit.
    pub fn subscribe_problem(&self) -> Option<&'static str> {
        self.no_group.then_some(
            "To use the group management or offset commit APIs, you must provide a valid group.id in the \
             consumer configuration.",
        )
    }

    /// Java's error for a message that can never be sent, if this is one. `message_bytes` is the
    /// serialized size. librdkafka neither knows limits below 1000 bytes nor gives up on a message that is
    /// larger than its whole queue, so ask before producing.
    pub fn oversize(&self, message_bytes: u64) -> Option<String> {
        let max_bytes = self.max_request_size_bytes;
        let larger_than = if message_bytes > max_bytes {
            format!("{max_bytes}, which is the value of the max.request.size configuration.")
        } else if message_bytes > self.buffer_memory_bytes {
            "the total memory buffer you have configured with the buffer.memory configuration.".to_owned()
        } else {
            return None;
        };
        Some(format!(
            "The message is {message_bytes} bytes when serialized which is larger than {larger_than}"
        ))
    }
}

impl Default for Ours {
    fn default() -> Self {
        Ours {
            bootstrap: Vec::new(),
            max_block_ms: 60_000,
            max_request_size_bytes: 1_048_576,
            buffer_memory_bytes: 33_554_432,
            round_robin_partitioner: false,
            max_poll_records: 500,
            no_group: false,
            reset_by: None,
            default_api_timeout_ms: 60_000,
            retries: i32::MAX.unsigned_abs(),
            trust_store: None,
            sasl_credentials: None,
        }
    }
}

impl fmt::Debug for TrustStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustStore").field("location", &self.location).finish_non_exhaustive()
    }
}

impl fmt::Debug for SaslCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SaslCredentials([hidden])")
    }
}
