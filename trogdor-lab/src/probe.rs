//! Just enough of the Kafka protocol and of HTTP to ask "are you ready?": one connection, a few bytes, no retry. The
//! caller polls.

use std::{io, net::Ipv4Addr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const API_VERSIONS: (i16, i16) = (18, 0);
const METADATA: (i16, i16) = (3, 2);
/// No answer of a ready server takes this long on loopback.
const ANSWER: Duration = Duration::from_secs(2);
/// Far more than any answer to these requests.
const LARGEST: i32 = 1 << 20;

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

/// Sends one request and gives the body of the response, without the correlation id.
async fn call(stream: &mut TcpStream, (api, version): (i16, i16), body: &[u8]) -> io::Result<Vec<u8>> {
    let client = b"trogdor-lab";
    let mut request = Vec::new();
    request.extend(api.to_be_bytes());
    request.extend(version.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend((client.len() as i16).to_be_bytes());
    request.extend(client);
    request.extend(body);
    stream.write_i32(request.len() as i32).await?;
    stream.write_all(&request).await?;
    let length = stream.read_i32().await?;
    if !(4..LARGEST).contains(&length) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut response = vec![0; length as usize];
    stream.read_exact(&mut response).await?;
    Ok(response.split_off(4))
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

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn int32(&mut self) -> Option<i32> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i32::from_be_bytes(*head))
    }

    /// A string; a null is read as an empty one.
    fn string(&mut self) -> Option<&'a str> {
        let (head, rest) = self.0.split_first_chunk()?;
        let length = usize::try_from(i16::from_be_bytes(*head)).unwrap_or(0);
        let (text, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }
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
