//! The translation, checked against whole expected maps and whole sentences.

mod jaas;
mod limits;
mod rows;
mod values;

use std::collections::BTreeMap;

use super::*;

/// Names and values, as given or as expected.
type Pairs<'a> = &'a [(&'a str, &'a str)];

/// Properties by name and value; every client also gets `bootstrap.servers=b:9092`.
fn java(properties: Pairs) -> JavaProperties {
    [("bootstrap.servers", "b:9092")]
        .iter()
        .chain(properties)
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

fn producer(properties: Pairs) -> Translated {
    translate(&java(properties), Role::Producer, 1).expect("a valid producer")
}

fn admin(properties: Pairs) -> Translated {
    translate(&java(properties), Role::Admin, 1).expect("a valid admin client")
}

fn producer_problem(properties: Pairs) -> String {
    translate(&java(properties), Role::Producer, 1).expect_err("problems").to_string()
}

fn admin_problem(properties: Pairs) -> String {
    translate(&java(properties), Role::Admin, 1).expect_err("problems").to_string()
}

/// The settings of a producer without properties, with more or other ones.
fn p(changes: Pairs) -> BTreeMap<String, String> {
    let base = [
        ("bootstrap.servers", "b:9092"),
        ("client.id", "producer-1"),
        ("connections.max.idle.ms", "540000"),
        ("delivery.timeout.ms", "120000"),
        ("enable.idempotence", "true"),
        ("max.in.flight.requests.per.connection", "5"),
        ("message.max.bytes", "1048576"),
        ("partitioner", "murmur2_random"),
        ("queue.buffering.max.kbytes", "32768"),
        ("reconnect.backoff.max.ms", "1000"),
        ("reconnect.backoff.ms", "50"),
        ("socket.connection.setup.timeout.ms", "10000"),
        ("socket.timeout.ms", "30000"),
    ];
    settings(base.iter().chain(changes))
}

/// The settings of an admin client without properties, with more or other ones.
fn a(changes: Pairs) -> BTreeMap<String, String> {
    let base = [
        ("bootstrap.servers", "b:9092"),
        ("client.id", "adminclient-1"),
        ("connections.max.idle.ms", "300000"),
        ("enable.metrics.push", "false"),
        ("reconnect.backoff.max.ms", "1000"),
        ("reconnect.backoff.ms", "50"),
        ("socket.connection.setup.timeout.ms", "10000"),
        ("socket.timeout.ms", "30000"),
    ];
    settings(base.iter().chain(changes))
}

fn settings<'a>(pairs: impl Iterator<Item = &'a (&'a str, &'a str)>) -> BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// What a producer gets for one librdkafka property.
fn setting(given: Pairs, librdkafka_name: &str) -> Option<String> {
    producer(given).librdkafka.get(librdkafka_name).cloned()
}
