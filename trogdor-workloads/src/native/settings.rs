//! The settings that a client really runs with, defaults included, as it tells them itself.

#![expect(unsafe_code, reason = "calls of the C interface")]

use std::collections::BTreeMap;
use std::ffi::CStr;

use rdkafka::bindings::{rd_kafka_conf, rd_kafka_conf_dump, rd_kafka_conf_dump_free};
use rdkafka::client::{Client, ClientContext};

/// All settings with their values; those without a value are left out. May hold secrets.
pub(crate) fn settings_in_force<C: ClientContext>(client: &Client<C>) -> BTreeMap<String, String> {
    let mut count = 0;
    // SAFETY: the handle is valid as long as the client, which is borrowed for the call, and so is its
    // configuration, which is only read; the count is written once.
    let texts = unsafe { rd_kafka_conf_dump(rd_kafka_conf(client.native_ptr()).cast_mut(), &raw mut count) };
    if texts.is_null() {
        return BTreeMap::new();
    }
    let text = |at: usize| {
        // SAFETY: there are `count` pointers, each to a text that ends with NUL and lives until the whole is freed;
        // it is copied here.
        unsafe { CStr::from_ptr(*texts.add(at)) }.to_string_lossy().into_owned()
    };
    let settings = (0..count / 2).map(|pair| (text(2 * pair), text(2 * pair + 1)));
    let settings = settings.filter(|(_, value)| !value.is_empty() && !value.starts_with("0x")).collect();
    // SAFETY: the list is the one that was given, and is not used any more.
    unsafe { rd_kafka_conf_dump_free(texts, count) };
    settings
}
