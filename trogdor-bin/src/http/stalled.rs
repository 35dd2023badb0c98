//! A stream whose writes fail once the peer has taken nothing, or next to nothing, for a while. hyper bounds how long a
//! request head may take, but not how long an answer may wait for a client that does not read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::STALL_LEN;
use super::places::Place;

/// A connection that gives up on a peer that takes longer than `limit` for [`STALL_LEN`] bytes, or for the rest.
#[derive(Debug)]
pub(super) struct Impatient {
    stream: TcpStream,
    limit: Duration,
    place: Place,
    /// Runs from when a write had to wait until enough was taken.
    patience: Option<Pin<Box<Sleep>>>,
    /// What was taken meanwhile, bytes.
    taken: usize,
}

impl Impatient {
    pub(super) fn new(stream: TcpStream, limit: Duration, place: Place) -> Impatient {
        Impatient { stream, limit, place, patience: None, taken: 0 }
    }

    fn watched(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = poll {
            self.taken += written.as_ref().map_or(0, |len| *len);
            if self.taken >= STALL_LEN {
                self.patience = None;
            }
            return Poll::Ready(written);
        }
        if self.patience.is_none() {
            self.taken = 0;
        }
        let limit = self.limit;
        let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(limit)));
        patience.as_mut().poll(cx).map(|()| {
            // What the system holds for the peer goes, too; if it does not, the peer takes it some time.
            let _ = self.stream.set_zero_linger();
            Err(io::ErrorKind::TimedOut.into())
        })
    }
}

impl AsyncRead for Impatient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watched(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watched(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Who writes flushes when nothing is left: it is all taken.
        self.patience = None;
        self.place.flushed();
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
