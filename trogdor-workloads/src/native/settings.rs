//! The settings that a client really runs with, defaults included, as it tells them itself.

#![expect(unsafe_code, reason = "calls of the C interface")]

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};

use rdkafka::bindings::{
    rd_kafka_conf, rd_kafka_conf_dump, rd_kafka_conf_dump_free, rd_kafka_default_topic_conf_dup,
    rd_kafka_topic_conf_destroy, rd_kafka_topic_conf_dump,
};
use rdkafka::client::{Client, ClientContext};

/// All settings with their values, those of topics too; those without a value are left out. May hold secrets.
pub(crate) fn settings_in_force<C: ClientContext>(client: &Client<C>) -> BTreeMap<String, String> {
    let (mut count, mut topic_count) = (0, 0);
    // SAFETY: the handle is valid as long as the client, which is borrowed for the calls, and so is its
    // configuration, which is only read; the copy of the one of topics is ours and destroyed once, after its texts were
    // copied into a list of their own. The counts are written once.
    let (texts, topic_texts) = unsafe {
        let texts = rd_kafka_conf_dump(rd_kafka_conf(client.native_ptr()).cast_mut(), &raw mut count);
        let of_topics = rd_kafka_default_topic_conf_dup(client.native_ptr());
        let topic_texts = rd_kafka_topic_conf_dump(of_topics, &raw mut topic_count);
        rd_kafka_topic_conf_destroy(of_topics);
        (texts, topic_texts)
    };
    // SAFETY: both lists are as they were given, and not used afterwards.
    let (mut settings, of_topics) = unsafe { (take(texts, count), take(topic_texts, topic_count)) };
    settings.extend(of_topics);
    settings
}

/// The pairs of a list, which is freed.
///
/// # Safety
/// The list is one that a dump gave, with the count that it told, and nobody uses it afterwards.
unsafe fn take(texts: *mut *const c_char, count: usize) -> BTreeMap<String, String> {
    if texts.is_null() {
        return BTreeMap::new();
    }
    let text = |at: usize| {
        // SAFETY: there are `count` pointers, each to a text that ends with NUL and lives until the whole is freed;
        // it is copied here.
        unsafe { CStr::from_ptr(*texts.add(at)) }.to_string_lossy().into_owned()
    };
    let settings = (0..count / 2).map(|pair| (text(2 * pair), text(2 * pair + 1)));
    // Addresses of callbacks are nobody's settings.
    let settings = settings.filter(|(_, value)| !value.is_empty() && !value.starts_with("0x")).collect();
    // SAFETY: by the caller.
    unsafe { rd_kafka_conf_dump_free(texts, count) };
    settings
}
