//! The translation, checked against whole expected maps and whole sentences.

mod consumers;
mod groups;
mod jaas;
mod limits;
mod oauthbearer;
mod offset_reset;
mod references;
mod rows;
mod sasl;
mod shares;
mod tls;
mod values;

use std::collections::BTreeMap;
use std::io;

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

/// A build with what is always in it, and one with everything.
const PLAIN_BUILD: Features = Features { ssl: false, gssapi: false, curl: false, zstd: true, libz: true };
const FULL_BUILD: Features = Features { ssl: true, gssapi: true, curl: true, zstd: true, libz: true };

/// Files that are what their names say, without any file.
fn bytes_by_name(path: &str) -> io::Result<Vec<u8>> {
    match path.rsplit_once('.') {
        Some((_, "jks")) => Ok(vec![0xFE, 0xED, 0xFE, 0xED, 0]),
        Some((_, "p12")) => Ok(vec![0x30, 0x82, 9, 0xDA, 2]),
        Some((_, "pem")) => Ok(b"-----".to_vec()),
        Some((_, "txt")) => Ok(b"Keyst".to_vec()),
        Some((_, "empty")) => Ok(Vec::new()),
        _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
    }
}

fn client(role: Role, properties: Pairs, features: Features) -> Result<Translated, ConfigErrors> {
    translate_with(&java(properties), role, 1, features, &bytes_by_name)
}

fn producer(properties: Pairs) -> Translated {
    client(Role::Producer, properties, PLAIN_BUILD).expect("a valid producer")
}

fn consumer(properties: Pairs) -> Translated {
    client(Role::Consumer, properties, PLAIN_BUILD).expect("a valid consumer")
}

fn admin(properties: Pairs) -> Translated {
    client(Role::Admin, properties, PLAIN_BUILD).expect("a valid admin client")
}

/// A producer of a build with everything.
fn full_producer(properties: Pairs) -> Translated {
    client(Role::Producer, properties, FULL_BUILD).expect("a valid producer")
}

fn producer_problem(properties: Pairs) -> String {
    client(Role::Producer, properties, PLAIN_BUILD).expect_err("problems").to_string()
}

fn consumer_problem(properties: Pairs) -> String {
    client(Role::Consumer, properties, PLAIN_BUILD).expect_err("problems").to_string()
}

fn admin_problem(properties: Pairs) -> String {
    client(Role::Admin, properties, PLAIN_BUILD).expect_err("problems").to_string()
}

fn full_producer_problem(properties: Pairs) -> String {
    client(Role::Producer, properties, FULL_BUILD).expect_err("problems").to_string()
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

/// The settings of a consumer of group `g`, with more or other ones.
fn c(changes: Pairs) -> BTreeMap<String, String> {
    let base = [
        ("bootstrap.servers", "b:9092"),
        ("client.id", "consumer-g-1"),
        ("group.id", "g"),
        ("allow.auto.create.topics", "true"),
        ("check.crcs", "true"),
        ("connections.max.idle.ms", "540000"),
        ("isolation.level", "read_uncommitted"),
        ("partition.assignment.strategy", "range"),
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
        ("allow.auto.create.topics", "false"),
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
