//! Just enough to ask "are you ready?", over Kafka's protocol and over HTTP: one connection, a few bytes, no retry.
//! The caller polls.

use std::{io, net::Ipv4Addr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::wire::{Fields, call};

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

/// Asks a broker for its API versions and then for its cluster.
pub(crate) async fn kafka(port: u16) -> io::Result<Cluster> {
    within(async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let versions = call(&mut stream, API_VERSIONS, &[]).await?;
        if !versions.starts_with(&[0, 0]) {
            return Err(io::Error::other("ApiVersions was answered with an error"));
        }
        // An empty list of topics asks for none.
        let metadata = call(&mut stream, METADATA, &0_i32.to_be_bytes()).await?;
        parse_metadata(&metadata).ok_or_else(|| io::ErrorKind::InvalidData.into())
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

fn parse_metadata(body: &[u8]) -> Option<Cluster> {
    let mut fields = Fields(body);
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
        assert_eq!(parse_metadata(body), Some(Cluster { id: "xyz".to_owned(), brokers: 1 }));
        assert_eq!(parse_metadata(&body[..20]), None);
    }
}
