//! The way from an accepted connection to one that requests are read from: as it is, or through a TLS
//! handshake. Whoever is not let in is told why as far as the protocol has words for it; we say it in
//! the log.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tracing::debug;

use super::Limits;
use super::door::{Door, Guest};
use super::errors::Refusal;
use super::places::Place;
use super::stalled::Impatient;
use crate::tls::{MaybeTls, Refused};

/// A connection, whichever way it came in.
pub(super) type Entered = MaybeTls<Impatient>;

/// The first byte of every TLS connection: a record of the handshake.
const HANDSHAKE: u8 = 22;

/// How much of what a refused client still sends is taken, and for how long, so that it gets to read
/// why: a connection that is closed with bytes unread is reset.
const LINGER_LEN: u64 = 64 << 10;
const LINGER_TIME: Duration = Duration::from_secs(2);

/// Lets a connection in, or not. Bounded in time as a whole.
pub(super) async fn enter(
    stream: TcpStream,
    address: SocketAddr,
    door: Door,
    limits: Limits,
    place: Place,
) -> Option<(Entered, Guest)> {
    // Without it an answer may wait for the client's acknowledgement; still an answer if it fails.
    let _ = stream.set_nodelay(true);
    if door.tls().is_none() {
        let stream = MaybeTls::Plain(Impatient::new(stream, limits.stall_time, place));
        return Some((stream, door.guest(address, None)));
    }
    let handshake = shake_hands(stream, address, &door, limits, place);
    tokio::time::timeout(limits.handshake_time, handshake).await.unwrap_or_else(|_| {
        debug!(peer = %address, "no TLS handshake in time");
        None
    })
}

async fn shake_hands(
    stream: TcpStream,
    address: SocketAddr,
    door: &Door,
    limits: Limits,
    place: Place,
) -> Option<(Entered, Guest)> {
    let party = door.tls()?;
    let mut first = [0];
    if stream.peek(&mut first).await.ok()? == 0 {
        return None;
    }
    if first != [HANDSHAKE] {
        door.complain(address, " without TLS");
        let mut stream = Impatient::new(stream, limits.stall_time, place);
        // Whether it is heard or not, that was all.
        let _ = stream.write_all(only_tls().as_bytes()).await;
        linger(stream).await;
        return None;
    }
    match party.accept(Impatient::new(stream, limits.stall_time, place)).await {
        Ok((stream, identity, standing)) => Some((stream, door.known_guest(address, identity, standing))),
        Err(Refused { reason, stream }) => {
            door.complain(address, &format!(": {reason}"));
            if let Some(stream) = stream {
                linger(stream).await;
            }
            None
        }
    }
}

/// What a client without TLS is told, a Java daemon for one, in the only form that it understands.
fn only_tls() -> String {
    let refusal =
        Refusal::new(StatusCode::BAD_REQUEST, "this daemon speaks TLS only; a client needs --tls DIR");
    let body = trogdor_core::json::to_java_string(&refusal.body());
    let len = body.len();
    format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// Ends our half of a connection and waits a little for the other.
async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let rest = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER_LEN), &mut tokio::io::sink()).await
    };
    // There is nobody left who could be told.
    let _ = tokio::time::timeout(LINGER_TIME, rest).await;
}
