//! An open topic of a client.

#![expect(unsafe_code, reason = "calls of the C interface")]

use std::ffi::CString;
use std::ptr::{self, NonNull};

use rdkafka::bindings::{rd_kafka_topic_destroy, rd_kafka_topic_new, rd_kafka_topic_t};
use rdkafka::client::{Client, ClientContext};

/// A topic handle; closed when dropped, which must be before its client is.
pub(super) struct Topic(NonNull<rd_kafka_topic_t>);

// SAFETY: the C interface may be called from any thread.
unsafe impl Send for Topic {}

impl Topic {
    /// Opens a topic.
    ///
    /// # Errors
    /// A name that cannot be one.
    pub(super) fn open<C: ClientContext>(client: &Client<C>, name: &str) -> Result<Topic, String> {
        let refused = || format!("{name:?} is no name of a topic");
        let text = CString::new(name).map_err(|_| refused())?;
        // SAFETY: the handle is valid as long as the client, which is borrowed for the call; the name
        // ends with NUL, outlives the call and is copied by it; a null configuration stands for the
        // client's own.
        let topic = unsafe { rd_kafka_topic_new(client.native_ptr(), text.as_ptr(), ptr::null_mut()) };
        NonNull::new(topic).map(Topic).ok_or_else(refused)
    }

    pub(super) fn as_ptr(&self) -> *mut rd_kafka_topic_t {
        self.0.as_ptr()
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and the client is there. Records in flight hold the topic by
        // references of their own.
        unsafe { rd_kafka_topic_destroy(self.0.as_ptr()) }
    }
}
