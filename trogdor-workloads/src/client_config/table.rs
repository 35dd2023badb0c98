//! The properties of Kafka's Java clients: for each its name, the clients that know it, what it holds and
//! what becomes of it. The table holds no defaults (those that librdkafka does not share are the base maps
//! of the roles) and no logic beyond single values (that is in `rules` and `security`).

use super::Role::{self, Admin, Consumer, Producer, ShareConsumer};
use super::draft::Draft;
use super::parse::Kind::{self, *};
use super::parse::Value;
use super::parse::Width::{Int, Long, Short};
use super::{consumer, offset_reset, rules, share};
use How::*;

/// What becomes of a given property.
#[derive(Clone, Copy)]
pub(super) enum How {
    /// librdkafka's property of the same name, printed canonically.
    Same,
    /// A number under librdkafka's name, moved into its range; a note says so.
    Clamped { to: &'static str, min: i64, max: i64 },
    /// The function sets what the value means, in librdkafka or in our own code.
    Converted(fn(&mut Draft, &str, &Value)),
    /// A rule sets what it means together with other properties.
    ByRule,
    /// It has no effect here, and nobody would miss it.
    Ignored,
    /// It has no effect here, and a note says so: the text follows the name. Not if it is empty.
    Noted(&'static str),
    /// It cannot be had: the text follows the name. Not if it is empty or false.
    Refused(&'static str),
}

/// A row of the table.
pub(super) struct Property {
    pub(super) name: &'static str,
    pub(super) roles: &'static [Role],
    pub(super) kind: Kind,
    pub(super) how: How,
}

/// The row of a property, if this role knows it.
pub(super) fn find(name: &str, role: Role) -> Option<&'static Property> {
    TABLE.iter().find(|property| property.name == name && property.roles.contains(&role))
}

/// The names that a role knows.
pub(super) fn names(role: Role) -> impl Iterator<Item = &'static str> {
    TABLE.iter().filter(move |property| property.roles.contains(&role)).map(|property| property.name)
}

const ALL: &[Role] = &[Producer, Consumer, ShareConsumer, Admin];
const NO_CONSUMER: &[Role] = &[Producer, Admin];
const NO_ADMIN: &[Role] = &[Producer, Consumer];
const PRODUCER: &[Role] = &[Producer];
const CONSUMER: &[Role] = &[Consumer];
const SHARE: &[Role] = &[ShareConsumer];
const CONSUMERS: &[Role] = &[Consumer, ShareConsumer];
const ADMIN: &[Role] = &[Admin];

const INT: Kind = Number(Int, None, None);
const INT_FROM_0: Kind = Number(Int, Some(0), None);
const LONG: Kind = Number(Long, None, None);
const LONG_FROM_0: Kind = Number(Long, Some(0), None);
const LIST: Kind = List { empty_allowed: true };
const INT_MAX: i64 = i32::MAX as i64;

const NO_JAVA: How = Refused(" names Java classes, which cannot run here");
const NO_TWO_PHASE: How = Refused(": librdkafka has no two-phase commit");
const NOT_LOADED: How = Noted("names Java classes and is ignored");
const RETRY_BACKOFF: How = Clamped { to: "retry.backoff.ms", min: 1, max: 300_000 };
const RETRY_BACKOFF_MAX: How = Clamped { to: "retry.backoff.max.ms", min: 1, max: 300_000 };
const METADATA_AGE: How = Clamped { to: "topic.metadata.refresh.interval.ms", min: 100, max: 3_600_000 };
const SETUP_TIMEOUT: How = Clamped { to: "socket.connection.setup.timeout.ms", min: 1000, max: INT_MAX };
const REBOOTSTRAP: How = Clamped { to: "metadata.recovery.rebootstrap.trigger.ms", min: 0, max: INT_MAX };
const IN_FLIGHT: How = Clamped { to: "max.in.flight.requests.per.connection", min: 1, max: 1_000_000 };

const POLL_INTERVAL: How = Clamped { to: "max.poll.interval.ms", min: 1, max: 86_400_000 };
const FETCH_WAIT: How = Clamped { to: "fetch.wait.max.ms", min: 0, max: 300_000 };

const DNS_LOOKUP: Kind = OneOf(&["use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"]);
const RECOVERY: Kind = OneOfAnyCase(&["REBOOTSTRAP", "NONE"]);
const PROTOCOL: Kind = OneOfAnyCase(&["SASL_SSL", "PLAINTEXT", "SSL", "SASL_PLAINTEXT"]);
const GROUP_PROTOCOL: Kind = OneOfAnyCase(&["CONSUMER", "CLASSIC"]);
const COMPRESSION: Kind = OneOf(&["none", "gzip", "snappy", "lz4", "zstd"]);

#[rustfmt::skip]
const TABLE: &[Property] = &[
    // All clients.
    row("bootstrap.servers", ALL, LIST, ByRule),
    row("client.id", ALL, Text, ByRule),
    row("client.dns.lookup", ALL, DNS_LOOKUP, Same),
    row("request.timeout.ms", ALL, INT_FROM_0, ByRule),
    row("metadata.max.age.ms", ALL, LONG_FROM_0, METADATA_AGE),
    row("metadata.recovery.strategy", ALL, RECOVERY, Same),
    row("metadata.recovery.rebootstrap.trigger.ms", ALL, LONG_FROM_0, REBOOTSTRAP),
    row("connections.max.idle.ms", ALL, LONG, Converted(rules::connections_max_idle)),
    row("reconnect.backoff.ms", ALL, LONG_FROM_0, ByRule),
    row("reconnect.backoff.max.ms", ALL, LONG_FROM_0, ByRule),
    row("retry.backoff.ms", NO_CONSUMER, LONG_FROM_0, RETRY_BACKOFF),
    row("retry.backoff.ms", CONSUMERS, LONG_FROM_0, Converted(consumer::retry_backoff)),
    row("retry.backoff.max.ms", ALL, LONG_FROM_0, RETRY_BACKOFF_MAX),
    row("receive.buffer.bytes", ALL, Number(Int, Some(-1), None), Converted(rules::socket_buffer)),
    row("send.buffer.bytes", ALL, Number(Int, Some(-1), None), Converted(rules::socket_buffer)),
    row("socket.connection.setup.timeout.ms", ALL, LONG, SETUP_TIMEOUT),
    row("socket.connection.setup.timeout.max.ms", ALL, LONG, Ignored),
    row("enable.metrics.push", ALL, Boolean, Same),
    row("metric.reporters", ALL, LIST, Converted(rules::metric_reporters)),
    row("metrics.num.samples", ALL, Number(Int, Some(1), None), Ignored),
    row("metrics.recording.level", ALL, OneOf(&["INFO", "DEBUG", "TRACE"]), Ignored),
    row("metrics.sample.window.ms", ALL, LONG_FROM_0, Ignored),
    row("config.providers", ALL, LIST, Converted(rules::config_providers)),
    row("interceptor.classes", NO_ADMIN, LIST, NO_JAVA),

    // Producer.
    row("acks", PRODUCER, OneOf(&["all", "-1", "0", "1"]), Same),
    row("enable.idempotence", PRODUCER, Boolean, ByRule),
    row("max.in.flight.requests.per.connection", PRODUCER, Number(Int, Some(1), None), IN_FLIGHT),
    row("retries", PRODUCER, INT_FROM_0, Same),
    row("transactional.id", PRODUCER, NonEmptyText, Same),
    row("transaction.timeout.ms", PRODUCER, INT, Converted(rules::transaction_timeout)),
    row("transaction.two.phase.commit.enable", PRODUCER, Boolean, NO_TWO_PHASE),
    row("delivery.timeout.ms", PRODUCER, INT_FROM_0, ByRule),
    row("linger.ms", PRODUCER, LONG_FROM_0, Converted(rules::linger)),
    row("batch.size", PRODUCER, INT_FROM_0, Converted(rules::batch_size)),
    row("buffer.memory", PRODUCER, LONG_FROM_0, Converted(rules::buffer_memory)),
    row("max.block.ms", PRODUCER, LONG_FROM_0, Converted(rules::max_block)),
    row("max.request.size", PRODUCER, INT_FROM_0, Converted(rules::max_request_size)),
    row("compression.type", PRODUCER, COMPRESSION, Same),
    row("compression.gzip.level", PRODUCER, GzipLevel, ByRule),
    row("compression.lz4.level", PRODUCER, Number(Int, Some(1), Some(17)), ByRule),
    row("compression.zstd.level", PRODUCER, Number(Int, Some(-131_072), Some(22)), ByRule),
    row("partitioner.class", PRODUCER, Class, ByRule),
    row("partitioner.ignore.keys", PRODUCER, Boolean, ByRule),
    row("partitioner.adaptive.partitioning.enable", PRODUCER, Boolean, Ignored),
    row("partitioner.availability.timeout.ms", PRODUCER, LONG_FROM_0, Ignored),
    row("metadata.max.idle.ms", PRODUCER, Number(Long, Some(5000), None), Ignored),
    row("key.serializer", PRODUCER, Text, Ignored),
    row("value.serializer", PRODUCER, Text, Ignored),

    // Consumer.
    row("group.id", CONSUMERS, Text, ByRule),
    row("group.instance.id", CONSUMER, NonEmptyText, Converted(consumer::group_instance_id)),
    row("group.protocol", CONSUMER, GROUP_PROTOCOL, Same),
    row("group.remote.assignor", CONSUMER, Text, Same),
    row("partition.assignment.strategy", CONSUMER, LIST, ByRule),
    row("session.timeout.ms", CONSUMER, INT, ByRule),
    row("heartbeat.interval.ms", CONSUMER, INT, ByRule),
    row("max.poll.interval.ms", CONSUMER, Number(Int, Some(1), None), POLL_INTERVAL),
    row("max.poll.records", CONSUMERS, Number(Int, Some(1), None), Converted(consumer::max_poll_records)),
    row("enable.auto.commit", CONSUMER, Boolean, Same),
    row("auto.commit.interval.ms", CONSUMER, INT_FROM_0, Converted(consumer::auto_commit_interval)),
    row("auto.offset.reset", CONSUMER, Text, Converted(offset_reset::auto_offset_reset)),
    row("isolation.level", CONSUMER, OneOf(&["read_committed", "read_uncommitted"]), Same),
    row("check.crcs", CONSUMERS, Boolean, Same),
    row("allow.auto.create.topics", CONSUMER, Boolean, Same),
    row("fetch.min.bytes", CONSUMERS, INT_FROM_0, Converted(consumer::fetch_min_bytes)),
    row("fetch.max.wait.ms", CONSUMERS, INT_FROM_0, FETCH_WAIT),
    row("fetch.max.bytes", CONSUMERS, INT_FROM_0, Converted(consumer::fetch_max_bytes)),
    row("max.partition.fetch.bytes", CONSUMER, INT_FROM_0, Converted(consumer::max_partition_fetch_bytes)),
    row("client.rack", CONSUMERS, Text, Same),
    row("default.api.timeout.ms", CONSUMERS, INT_FROM_0, Converted(consumer::default_api_timeout)),
    row("exclude.internal.topics", CONSUMERS, Boolean, Ignored),
    row("internal.throw.on.fetch.stable.offset.unsupported", CONSUMERS, Boolean, Ignored),
    row("key.deserializer", CONSUMERS, Text, Ignored),
    row("value.deserializer", CONSUMERS, Text, Ignored),
    row("share.acknowledgement.mode", CONSUMER, OneOf(&["implicit", "explicit"]), ByRule),
    row("share.acquire.mode", CONSUMER, Text, ByRule),

    // Share consumer.
    row("share.acknowledgement.mode", SHARE, Text, Converted(share::acknowledgement_mode)),
    row("share.acquire.mode", SHARE, Text, Converted(share::acquire_mode)),
    row("max.poll.interval.ms", SHARE, Number(Int, Some(1), None), Ignored),
    row("allow.auto.create.topics", SHARE, Boolean, Ignored),
    row("auto.commit.interval.ms", SHARE, INT_FROM_0, Ignored),
    row("max.partition.fetch.bytes", SHARE, INT_FROM_0, Ignored),
    row("auto.offset.reset", SHARE, Text, ByRule),
    row("enable.auto.commit", SHARE, Text, ByRule),
    row("group.instance.id", SHARE, Text, ByRule),
    row("isolation.level", SHARE, Text, ByRule),
    row("partition.assignment.strategy", SHARE, Text, ByRule),
    row("interceptor.classes", SHARE, Text, ByRule),
    row("session.timeout.ms", SHARE, Text, ByRule),
    row("heartbeat.interval.ms", SHARE, Text, ByRule),
    row("group.protocol", SHARE, Text, ByRule),
    row("group.remote.assignor", SHARE, Text, ByRule),

    // Admin client.
    row("default.api.timeout.ms", ADMIN, INT_FROM_0, ByRule),
    row("retries", ADMIN, INT_FROM_0, Converted(rules::admin_retries)),
    row("bootstrap.controllers", ADMIN, LIST, ByRule),

    // Security. Without its protocol Java reads an ssl or sasl property but does not use it, and a build
    // of librdkafka without TLS refuses even its name. So only the security rule emits any of them.
    row("security.protocol", ALL, PROTOCOL, ByRule),
    row("security.providers", ALL, Text, NOT_LOADED),
    row("ssl.cipher.suites", ALL, LIST, ByRule),
    row("ssl.enabled.protocols", ALL, LIST, ByRule),
    row("ssl.endpoint.identification.algorithm", ALL, Text, ByRule),
    row("ssl.engine.factory.class", ALL, Class, ByRule),
    row("ssl.key.password", ALL, Text, ByRule),
    row("ssl.keymanager.algorithm", ALL, Text, ByRule),
    row("ssl.keystore.certificate.chain", ALL, Text, ByRule),
    row("ssl.keystore.key", ALL, Text, ByRule),
    row("ssl.keystore.location", ALL, Text, ByRule),
    row("ssl.keystore.password", ALL, Text, ByRule),
    row("ssl.keystore.type", ALL, Text, ByRule),
    row("ssl.protocol", ALL, Text, ByRule),
    row("ssl.provider", ALL, Text, ByRule),
    row("ssl.secure.random.implementation", ALL, Text, ByRule),
    row("ssl.trustmanager.algorithm", ALL, Text, ByRule),
    row("ssl.truststore.certificates", ALL, Text, ByRule),
    row("ssl.truststore.location", ALL, Text, ByRule),
    row("ssl.truststore.password", ALL, Text, ByRule),
    row("ssl.truststore.type", ALL, Text, ByRule),
    row("sasl.mechanism", ALL, Text, ByRule),
    row("sasl.jaas.config", ALL, Text, ByRule),
    row("sasl.client.callback.handler.class", ALL, Class, ByRule),
    row("sasl.login.callback.handler.class", ALL, Class, ByRule),
    row("sasl.login.class", ALL, Class, ByRule),
    row("sasl.login.connect.timeout.ms", ALL, INT, ByRule),
    row("sasl.login.read.timeout.ms", ALL, INT, ByRule),
    row("sasl.login.refresh.buffer.seconds", ALL, Number(Short, Some(0), Some(3600)), ByRule),
    row("sasl.login.refresh.min.period.seconds", ALL, Number(Short, Some(0), Some(900)), ByRule),
    row("sasl.login.refresh.window.factor", ALL, Double(Some(0.5), Some(1.0)), ByRule),
    row("sasl.login.refresh.window.jitter", ALL, Double(Some(0.0), Some(0.25)), ByRule),
    row("sasl.login.retry.backoff.max.ms", ALL, LONG, ByRule),
    row("sasl.login.retry.backoff.ms", ALL, LONG, ByRule),
    row("sasl.kerberos.kinit.cmd", ALL, Text, ByRule),
    row("sasl.kerberos.min.time.before.relogin", ALL, LONG, ByRule),
    row("sasl.kerberos.service.name", ALL, Text, ByRule),
    row("sasl.kerberos.ticket.renew.jitter", ALL, Double(None, None), ByRule),
    row("sasl.kerberos.ticket.renew.window.factor", ALL, Double(None, None), ByRule),
    row("sasl.oauthbearer.assertion.algorithm", ALL, OneOfAnyCase(&["ES256", "RS256"]), ByRule),
    row("sasl.oauthbearer.assertion.claim.aud", ALL, Text, ByRule),
    row("sasl.oauthbearer.assertion.claim.exp.seconds", ALL, Number(Int, Some(0), Some(86_400)), ByRule),
    row("sasl.oauthbearer.assertion.claim.iss", ALL, Text, ByRule),
    row("sasl.oauthbearer.assertion.claim.jti.include", ALL, Boolean, ByRule),
    row("sasl.oauthbearer.assertion.claim.nbf.seconds", ALL, Number(Int, Some(0), Some(3600)), ByRule),
    row("sasl.oauthbearer.assertion.claim.sub", ALL, Text, ByRule),
    row("sasl.oauthbearer.assertion.file", ALL, Text, ByRule),
    row("sasl.oauthbearer.assertion.private.key.file", ALL, Text, ByRule),
    row("sasl.oauthbearer.assertion.private.key.passphrase", ALL, Text, ByRule),
    row("sasl.oauthbearer.assertion.template.file", ALL, Text, ByRule),
    row("sasl.oauthbearer.client.credentials.client.id", ALL, Text, ByRule),
    row("sasl.oauthbearer.client.credentials.client.secret", ALL, Text, ByRule),
    row("sasl.oauthbearer.clock.skew.seconds", ALL, INT, ByRule),
    row("sasl.oauthbearer.expected.audience", ALL, LIST, ByRule),
    row("sasl.oauthbearer.expected.issuer", ALL, Text, ByRule),
    row("sasl.oauthbearer.header.urlencode", ALL, Boolean, ByRule),
    row("sasl.oauthbearer.jwks.endpoint.refresh.ms", ALL, LONG, ByRule),
    row("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", ALL, LONG, ByRule),
    row("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", ALL, LONG, ByRule),
    row("sasl.oauthbearer.jwks.endpoint.url", ALL, Text, ByRule),
    row("sasl.oauthbearer.jwt.retriever.class", ALL, Class, ByRule),
    row("sasl.oauthbearer.jwt.validator.class", ALL, Class, ByRule),
    row("sasl.oauthbearer.scope", ALL, Text, ByRule),
    row("sasl.oauthbearer.scope.claim.name", ALL, Text, ByRule),
    row("sasl.oauthbearer.sub.claim.name", ALL, Text, ByRule),
    row("sasl.oauthbearer.token.endpoint.url", ALL, Text, ByRule),
];

const fn row(name: &'static str, roles: &'static [Role], kind: Kind, how: How) -> Property {
    Property { name, roles, kind, how }
}
