//! Just enough to ask "are you ready?", over Kafka's protocol and over HTTP: one connection, a few bytes, no retry.
//! The caller polls.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    namespace::Namespace,
    wire::{Fields, call, put_string},
};

const API_VERSIONS: (i16, i16) = (18, 0);
const METADATA: (i16, i16) = (3, 2);
/// No answer of a ready server takes this long on loopback.
const ANSWER: Duration = Duration::from_secs(2);

/// What a broker says of its cluster.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cluster {
    pub(crate) id: String,
    pub(crate) brokers: i32,
}

/// One partition of a topic, as a broker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    /// Its number.
    pub partition: i32,
    /// The id of its leader; -1 if it has none.
    pub leader: i32,
    /// The ids of all brokers that have it.
    pub replicas: Vec<i32>,
    /// The ids of those that are in sync.
    pub isr: Vec<i32>,
}

/// Where a broker is reached.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) address: SocketAddrV4,
    /// From where; `None` for the test's own network.
    pub(crate) namespace: Option<Arc<Namespace>>,
}

impl Door {
    async fn connect(&self) -> io::Result<TcpStream> {
        let Some(namespace) = self.namespace.clone() else { return TcpStream::connect(self.address).await };
        let address = self.address.into();
        let connect = move || std::net::TcpStream::connect_timeout(&address, ANSWER);
        let connected = tokio::task::spawn_blocking(move || namespace.inside(connect)).await;
        let stream = connected.map_err(io::Error::other)?.map_err(io::Error::other)??;
        stream.set_nonblocking(true)?;
        TcpStream::from_std(stream)
    }
}

/// Asks a broker for the partitions of a topic.
pub(crate) async fn topic(door: &Door, topic: &str) -> io::Result<Vec<PartitionState>> {
    within(async {
        let mut stream = door.connect().await?;
        let mut request = 1_i32.to_be_bytes().to_vec();
        put_string(&mut request, topic);
        let metadata = call(&mut stream, METADATA, &request).await?;
        parse_topic(&metadata)
            .ok_or(io::ErrorKind::InvalidData)?
            .map_err(|code| io::Error::other(format!("the broker answers with error {code}")))
    })
    .await
}

/// Asks a broker for its API versions and then for its cluster.
pub(crate) async fn kafka(door: &Door) -> io::Result<Cluster> {
    within(async {
        let mut stream = door.connect().await?;
        let versions = call(&mut stream, API_VERSIONS, &[]).await?;
        if !versions.starts_with(&[0, 0]) {
            return Err(io::Error::other("ApiVersions was answered with an error"));
        }
        // An empty list of topics asks for none.
        let metadata = call(&mut stream, METADATA, &0_i32.to_be_bytes()).await?;
        parse_cluster(&mut Fields(&metadata)).ok_or_else(|| io::ErrorKind::InvalidData.into())
    })
    .await
}

/// Asks an HTTP server for a path and gives the status code.
pub(crate) async fn http(port: u16, path: &str) -> io::Result<u16> {
    within(async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await?;
        let code = std::str::from_utf8(&head[9..]).ok().and_then(|code| code.parse().ok());
        code.ok_or_else(|| io::ErrorKind::InvalidData.into())
    })
    .await
}

async fn within<T>(asking: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(ANSWER, asking).await?
}

fn parse_topic(body: &[u8]) -> Option<Result<Vec<PartitionState>, i16>> {
    let mut fields = Fields(body);
    let _cluster = parse_cluster(&mut fields)?;
    let _controller = fields.int32()?;
    let _topics = fields.int32()?;
    let code = fields.int16()?;
    if code != 0 {
        return Some(Err(code));
    }
    let _name = fields.string()?;
    let _is_internal = fields.int8()?;
    let count = fields.int32()?;
    let mut partition = || {
        // A partition without a leader is an answer too.
        let _code = fields.int16()?;
        let (partition, leader) = (fields.int32()?, fields.int32()?);
        Some(PartitionState { partition, leader, replicas: fields.int32s()?, isr: fields.int32s()? })
    };
    (0..count).map(|_| partition()).collect::<Option<_>>().map(Ok)
}

fn parse_cluster(fields: &mut Fields<'_>) -> Option<Cluster> {
    let brokers = fields.int32()?;
    for _ in 0..brokers {
        let _node_id = fields.int32()?;
        let _host = fields.string()?;
        let _port = fields.int32()?;
        let _rack = fields.string()?;
    }
    let id = fields.string()?.to_owned();
    Some(Cluster { id, brokers })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_read_and_a_cut_one_refused() {
        let body = b"\0\0\0\x01\0\0\0\x05\0\x02ab\0\0\x23\x84\xff\xff\0\x03xyz\0\0\0\x01\0\0\0\0";
        assert_eq!(parse_cluster(&mut Fields(body)), Some(Cluster { id: "xyz".to_owned(), brokers: 1 }));
        assert_eq!(parse_cluster(&mut Fields(&body[..20])), None);
    }

    #[test]
    fn partitions_are_read_and_errors_given() {
        let head = b"\0\0\0\0\0\x03xyz\0\0\0\x01\0\0\0\x01";
        let topic =
            b"\0\0\0\x01t\0\0\0\0\x01\0\x05\0\0\0\x07\xff\xff\xff\xff\0\0\0\x02\0\0\0\x01\0\0\0\x02\0\0\0\0";
        let body = [&head[..], topic].concat();
        let state = PartitionState { partition: 7, leader: -1, replicas: vec![1, 2], isr: Vec::new() };
        assert_eq!(parse_topic(&body), Some(Ok(vec![state])));
        assert_eq!(parse_topic(&body[..body.len() - 1]), None);
        assert_eq!(parse_topic(&[&head[..], b"\0\x03"].concat()), Some(Err(3)));
    }
}
