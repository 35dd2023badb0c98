//! The files that a broker finds in its directory: configuration, `meta.properties`, logging. All of a small, fast
//! node; no defaults of Kafka are changed that a test would want to observe.

use std::{
    fmt::Write,
    fs,
    net::{Ipv4Addr, SocketAddrV4},
    path::Path,
};

use crate::{
    cache::copy_tree,
    error::{LabError, Trying},
    security::SecuredPorts,
};

/// The configuration, in the directory of the node.
pub(crate) const FILE: &str = "server.properties";
/// The log directory, in the directory of the node.
pub(crate) const DATA: &str = "data";
/// The identity of a node, in its log directory.
pub(crate) const IDENTITY: &str = "meta.properties";
/// A formatted log directory without identity, in the cache.
pub(crate) const FORMATTED: &str = "formatted";
pub(crate) const LOG4J: &str = "log4j.properties";
pub(crate) const LOG4J2: &str = "log4j2.properties";

/// What the lab decides and nobody else.
const RESERVED: [&str; 9] = [
    "advertised.listeners",
    "controller.listener.names",
    "controller.quorum.bootstrap.servers",
    "controller.quorum.voters",
    "listeners",
    "log.dir",
    "log.dirs",
    "node.id",
    "process.roles",
];

/// What makes a node small and a cluster of one possible.
const SMALL: [(&str, &str); 16] = [
    ("auto.create.topics.enable", "false"),
    ("background.threads", "2"),
    ("group.initial.rebalance.delay.ms", "0"),
    // The default touches 128 MB of heap.
    ("log.cleaner.dedupe.buffer.size", "2097152"),
    ("log.cleaner.io.buffer.size", "65536"),
    ("num.io.threads", "2"),
    ("num.network.threads", "2"),
    ("offsets.topic.num.partitions", "1"),
    ("offsets.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("share.coordinator.state.topic.num.partitions", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.state.log.num.partitions", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT"),
];

/// Where a node listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) data: u16,
    pub(crate) controller: u16,
    /// The listeners with logins, if it has any.
    pub(crate) secured: Option<SecuredPorts>,
}

/// What a node is in its cluster.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) id: i32,
    pub(crate) address: Ipv4Addr,
    pub(crate) ports: Ports,
    /// Every controller.
    pub(crate) voters: Vec<(i32, SocketAddrV4)>,
}

impl Seat {
    /// The only node of a cluster, on loopback.
    pub(crate) fn alone(ports: Ports) -> Self {
        let address = Ipv4Addr::LOCALHOST;
        Self { id: 1, address, ports, voters: vec![(1, SocketAddrV4::new(address, ports.controller))] }
    }
}

/// Refuses keys that would pull the node out of the lab's hands.
pub(crate) fn check(config: &[(String, String)]) -> Result<(), LabError> {
    match config.iter().find(|(key, _)| RESERVED.contains(&key.as_str())) {
        Some((key, _)) => Err(LabError::ReservedConfig { key: key.clone() }),
        None => Ok(()),
    }
}

/// Writes configuration and logging; `config` wins over what is only a default of the lab.
pub(crate) fn write(directory: &Path, seat: &Seat, config: &[(String, String)]) -> Result<(), LabError> {
    let Seat { id, address, ports: Ports { data, controller, secured }, voters } = seat;
    let voters: Vec<_> = voters.iter().map(|(id, address)| format!("{id}@{address}")).collect();
    let secured = secured.map(|ports| format!(",{}", ports.listeners())).unwrap_or_default();
    let own = [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", id.to_string()),
        ("listeners", format!("PLAINTEXT://{address}:{data},CONTROLLER://{address}:{controller}{secured}")),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("controller.quorum.voters", voters.join(",")),
        ("log.dirs", directory.join(DATA).display().to_string()),
    ];
    let own = own.iter().map(|(key, value)| (*key, value.as_str()));
    let config = config.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    // In a properties file the last line of a key counts.
    put(directory, FILE, &render(own.chain(SMALL).chain(config)))?;
    put(directory, LOG4J, LOG4J_TEXT)?;
    put(directory, LOG4J2, LOG4J2_TEXT)
}

/// Does what Kafka's format tool would do: the identity of the node, and the cached feature levels. (A broker without
/// those starts too, but with all features at level 0.)
pub(crate) fn format(directory: &Path, id: i32, cluster_id: &str, formatted: &Path) -> Result<(), LabError> {
    let data = directory.join(DATA);
    fs::create_dir_all(&data).trying(|| format!("make `{}`", data.display()))?;
    copy_tree(formatted, &data, &|_| false).trying(|| format!("copy `{}`", formatted.display()))?;
    put(&data, IDENTITY, &format!("version=1\nnode.id={id}\ncluster.id={cluster_id}\n"))
}

fn put(directory: &Path, name: &str, text: &str) -> Result<(), LabError> {
    let path = directory.join(name);
    fs::write(&path, text).trying(|| format!("write `{}`", path.display()))
}

fn render<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    entries.fold(String::new(), |mut text, (key, value)| {
        let _infallible = writeln!(text, "{}={}", escape(key), escape(value));
        text
    })
}

fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, char| {
        match char {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\\' | ' ' | '=' | ':' | '#' | '!' => escaped.extend(['\\', char]),
            _ => escaped.push(char),
        }
        escaped
    })
}

/// For an unpacked Kafka of the 3.x line, whose logger would else print nothing.
const LOG4J_TEXT: &str = "\
log4j.rootLogger=WARN, out
log4j.logger.kafka.server.KafkaRaftServer=INFO
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.target=System.err
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d{HH:mm:ss.SSS} %p %c %m%n
";

/// For an unpacked Kafka of the 4.x line.
const LOG4J2_TEXT: &str = "\
appender.out.type=Console
appender.out.name=out
appender.out.target=SYSTEM_ERR
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{HH:mm:ss.SSS} %p %c %m%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=info
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_mean_something_to_java_are_escaped() {
        let entries = [("a", "b=c d"), ("path", "C:\\x\n#!")];
        assert_eq!(render(entries.into_iter()), "a=b\\=c\\ d\npath=C\\:\\\\x\\n\\#\\!\n");
    }

    #[test]
    fn a_key_of_the_lab_is_refused_by_name() {
        let config = [("listeners".to_owned(), "PLAINTEXT://:1".to_owned())];
        assert_eq!(
            check(&config).unwrap_err().to_string(),
            "the lab sets `listeners` itself; leave it out of the configuration"
        );
    }
}
