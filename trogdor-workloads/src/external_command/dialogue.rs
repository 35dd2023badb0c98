//! The conversation with a process: its start line goes in, lines come out and have their effects.
//! Every method here can be dropped while it waits, and nothing is lost: bytes are taken and acted
//! on in one go. Knows nothing of signals and ends.

use std::convert::Infallible;
use std::future::pending;
use std::io::Cursor;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::select;
use tracing::debug;
use trogdor_core::{Clock, StatusSlot, WorkerContext};

use super::lines::{Line, Lines};
use super::log::{Entry, Log, SHOWN_BYTES_MAX, Source};
use super::message::{Message, unread_message};
use super::process::Pipes;

/// How much is read at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// The longest line that can be a message.
pub(super) const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// One conversation. Standard input stays open until this is dropped.
pub(super) struct Dialogue {
    stdin: ChildStdin,
    unsent: Cursor<Vec<u8>>,
    stdout: Stream<ChildStdout>,
    stderr: Stream<ChildStderr>,
    listener: Listener,
}

enum Heard {
    Stdout(usize),
    Stderr(usize),
    /// Something of the start line was taken, or it never will be.
    Sent,
}

impl Dialogue {
    pub(super) fn new(pipes: Pipes, start_line: String, ctx: &WorkerContext) -> Dialogue {
        Dialogue {
            stdin: pipes.stdin,
            unsent: Cursor::new(start_line.into_bytes()),
            stdout: Stream::new(pipes.stdout, MESSAGE_BYTES_MAX),
            stderr: Stream::new(pipes.stderr, SHOWN_BYTES_MAX),
            listener: Listener {
                status: ctx.status.clone(),
                clock: ctx.clock.clone(),
                log: Log::default(),
                error: None,
            },
        }
    }

    /// Returns after an error line; never, if there is none.
    pub(super) async fn until_error(&mut self) {
        while self.listener.error.is_none() {
            self.hear().await;
        }
    }

    /// Returns when both outputs are closed.
    pub(super) async fn until_closed(&mut self) {
        while self.stdout.pipe.is_some() || self.stderr.pipe.is_some() {
            self.hear().await;
        }
    }

    /// Listens until it is dropped.
    pub(super) async fn listen(&mut self) -> Infallible {
        loop {
            self.hear().await;
        }
    }

    /// Takes what was not complete, and gives the first error.
    pub(super) fn close(mut self) -> Option<String> {
        self.stdout.lines.finish(|line| self.listener.stdout(line));
        self.stderr.lines.finish(|line| self.listener.stderr(line));
        self.listener.log.end().iter().for_each(Entry::emit);
        self.listener.error
    }

    /// Waits for something and acts on it. The order is left to chance, so that neither output can
    /// keep the other from being heard.
    async fn hear(&mut self) {
        let heard = select! {
            bytes = self.stdout.read() => Heard::Stdout(bytes),
            bytes = self.stderr.read() => Heard::Stderr(bytes),
            () = send(&mut self.stdin, &mut self.unsent) => Heard::Sent,
        };
        match heard {
            Heard::Stdout(bytes) => self.stdout.take(bytes, |line| self.listener.stdout(line)),
            Heard::Stderr(bytes) => self.stderr.take(bytes, |line| self.listener.stderr(line)),
            Heard::Sent => {}
        }
    }
}

/// Sends some of the start line; waits for ever when all of it is sent.
async fn send(stdin: &mut ChildStdin, unsent: &mut Cursor<Vec<u8>>) {
    if unsent.position() == unsent.get_ref().len() as u64 {
        return pending().await;
    }
    if let Err(error) = stdin.write_buf(unsent).await {
        debug!("the command does not read its start line: {error}");
        *unsent = Cursor::default();
    }
}

/// One output of a process.
struct Stream<R> {
    /// `None` once it is closed.
    pipe: Option<R>,
    chunk: Box<[u8]>,
    lines: Lines,
}

impl<R: AsyncRead + Unpin> Stream<R> {
    fn new(pipe: R, line_bytes_max: usize) -> Stream<R> {
        Stream {
            pipe: Some(pipe),
            chunk: vec![0; CHUNK_BYTES].into_boxed_slice(),
            lines: Lines::new(line_bytes_max),
        }
    }

    /// Reads into the chunk; 0 is the end. Waits for ever after that.
    async fn read(&mut self) -> usize {
        match &mut self.pipe {
            // A pipe that cannot be read any more is at its end.
            Some(pipe) => pipe.read(&mut self.chunk).await.unwrap_or(0),
            None => pending().await,
        }
    }

    fn take(&mut self, bytes: usize, mut each: impl FnMut(Line<'_>)) {
        self.lines.push(&self.chunk[..bytes], &mut each);
        if bytes == 0 {
            self.pipe = None;
            self.lines.finish(each);
        }
    }
}

/// What lines have an effect on.
struct Listener {
    status: StatusSlot,
    clock: Arc<dyn Clock>,
    log: Log,
    /// The first one counts.
    error: Option<String>,
}

impl Listener {
    fn stdout(&mut self, line: Line<'_>) {
        match Message::read(line) {
            Some(message) => self.message(message),
            None => {
                if let Some(status) = unread_message(line) {
                    self.status.set(status);
                }
                self.log(Source::Stdout, line.bytes, line.cut);
            }
        }
    }

    fn stderr(&mut self, line: Line<'_>) {
        self.log(Source::Stderr, line.bytes, line.cut);
    }

    fn log(&mut self, source: Source, bytes: &[u8], cut: u64) {
        let entries = self.log.line(self.clock.now().mono_ms, source, bytes, cut);
        entries.iter().for_each(Entry::emit);
    }

    fn message(&mut self, message: Message) {
        if let Some(status) = message.status {
            self.status.set(status);
        }
        if let Some(text) = message.log {
            self.log(Source::Log, text.as_bytes(), 0);
        }
        if let Some(text) = message.error {
            self.log(Source::Error, text.as_bytes(), 0);
            self.error.get_or_insert(text);
        }
    }
}
