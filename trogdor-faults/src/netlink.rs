//! Netlink as far as netfilter needs it: messages of nested attributes, to the kernel and back. The
//! programs that could do the same (`nft`, `iptables`) cannot queue packets from a table of their
//! own on every kernel, and cannot hold packets at all.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, netlink, recv, send, socket_with,
    sockopt,
};

/// Both parts of the head of a netfilter message: `nlmsghdr` and `nfgenmsg`.
const HEAD: usize = 20;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
/// The kind of a message that holds an error, or 0 as an acknowledgement.
const ERROR: u16 = 2;
const NESTED: u16 = 0x8000;
/// How long the kernel may take to answer; it does at once.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// A message under construction.
#[derive(Debug, Clone)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    /// A message of this kind; `resource` is what netfilter calls the resource id: a queue number,
    /// or a subsystem.
    pub(crate) fn new(kind: u16, family: u8, resource: u16) -> Message {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(REQUEST.to_ne_bytes());
        // Sequence number and port: the kernel fills in ours.
        bytes.extend([0; 8]);
        bytes.extend([family, 0]);
        bytes.extend(resource.to_be_bytes());
        Message(bytes)
    }

    /// With further flags, as `NLM_F_CREATE`.
    pub(crate) fn flags(mut self, flags: u16) -> Message {
        self.0[6..8].copy_from_slice(&(REQUEST | flags).to_ne_bytes());
        self
    }

    /// With a sequence number, by which an answer is known.
    pub(crate) fn sequence(mut self, number: u32) -> Message {
        self.0[8..12].copy_from_slice(&number.to_ne_bytes());
        self
    }

    pub(crate) fn attribute(mut self, kind: u16, value: &[u8]) -> Message {
        attribute(&mut self.0, kind, value);
        self
    }

    pub(crate) fn text(self, kind: u16, value: &str) -> Message {
        self.attribute(kind, &[value.as_bytes(), &[0]].concat())
    }

    pub(crate) fn number(self, kind: u16, value: u32) -> Message {
        self.attribute(kind, &value.to_be_bytes())
    }

    pub(crate) fn nested(self, kind: u16, value: &Attributes) -> Message {
        self.attribute(kind | NESTED, &value.0)
    }

    /// Its bytes.
    pub(crate) fn bytes(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(0);
        self.0[0..4].copy_from_slice(&length.to_ne_bytes());
        self.0
    }
}

/// Attributes that go into another one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attributes(Vec<u8>);

impl Attributes {
    pub(crate) fn attribute(mut self, kind: u16, value: &[u8]) -> Attributes {
        attribute(&mut self.0, kind, value);
        self
    }

    pub(crate) fn text(self, kind: u16, value: &str) -> Attributes {
        self.attribute(kind, &[value.as_bytes(), &[0]].concat())
    }

    pub(crate) fn number(self, kind: u16, value: u32) -> Attributes {
        self.attribute(kind, &value.to_be_bytes())
    }

    pub(crate) fn nested(self, kind: u16, value: &Attributes) -> Attributes {
        self.attribute(kind | NESTED, &value.0)
    }
}

fn attribute(to: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(0);
    to.extend(length.to_ne_bytes());
    to.extend(kind.to_ne_bytes());
    to.extend(value);
    to.resize(to.len().next_multiple_of(4), 0);
}

/// A message that came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received<'a> {
    pub(crate) kind: u16,
    pub(crate) sequence: u32,
    body: &'a [u8],
}

impl<'a> Received<'a> {
    /// The messages in what one read gave.
    pub(crate) fn all(mut bytes: &'a [u8]) -> impl Iterator<Item = Received<'a>> {
        std::iter::from_fn(move || {
            let length = u32_at(bytes, 0)? as usize;
            let message = bytes.get(..length).filter(|_| length >= 16)?;
            bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
            let kind = u16::from_ne_bytes([message[4], message[5]]);
            Some(Received { kind, sequence: u32_at(message, 8)?, body: &message[16..] })
        })
    }

    /// What the kernel says to a request; `None` if this is no such answer.
    pub(crate) fn outcome(&self) -> Option<io::Result<()>> {
        if self.kind != ERROR {
            return None;
        }
        let code = u32_at(self.body, 0)?.cast_signed();
        Some(if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) })
    }

    /// The value of an attribute of a netfilter message.
    pub(crate) fn attribute(&self, wanted: u16) -> Option<&'a [u8]> {
        let mut rest = self.body.get(HEAD - 16..)?;
        loop {
            let (length, kind) = (rest.get(..2)?, rest.get(2..4)?);
            let length = usize::from(u16::from_ne_bytes([length[0], length[1]]));
            let value = rest.get(4..length)?;
            if u16::from_ne_bytes([kind[0], kind[1]]) & !NESTED == wanted {
                return Some(value);
            }
            rest = rest.get(length.next_multiple_of(4)..)?;
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// A socket to netfilter in the network namespace of the calling thread.
#[derive(Debug)]
pub(crate) struct Netlink(OwnedFd);

impl Netlink {
    pub(crate) fn open() -> io::Result<Netlink> {
        let kind = SocketType::RAW;
        let socket =
            socket_with(AddressFamily::NETLINK, kind, SocketFlags::CLOEXEC, Some(netlink::NETFILTER))?;
        bind(&socket, &netlink::SocketAddrNetlink::new(0, 0))?;
        Ok(Netlink(socket))
    }

    /// Room for this many bytes of messages that were not read yet.
    pub(crate) fn make_room(&self, bytes: usize) -> io::Result<()> {
        Ok(sockopt::set_socket_recv_buffer_size_force(&self.0, bytes)?)
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        send(&self.0, bytes, SendFlags::empty()).map(drop).map_err(io::Error::from)
    }

    /// Reads what is there; `None` if nothing is.
    pub(crate) fn read<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Option<&'a [u8]>> {
        match recv(&self.0, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((length, _)) => Ok(buffer.get(..length)),
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends one request and waits for what the kernel says to it.
    pub(crate) fn request(&self, message: Message) -> io::Result<()> {
        const NUMBER: u32 = 1;
        self.send(&message.flags(ACK).sequence(NUMBER).bytes())?;
        self.answers(NUMBER)
    }

    /// Reads answers until the one with this sequence number; gives the first error.
    pub(crate) fn answers(&self, last: u32) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 16];
        sockopt::set_socket_timeout(&self.0, sockopt::Timeout::Recv, Some(ANSWER_LIMIT))?;
        let mut first_error = Ok(());
        loop {
            let (length, _) = recv(&self.0, &mut buffer[..], RecvFlags::empty())?;
            for answer in Received::all(buffer.get(..length).unwrap_or_default()) {
                if let Some(Err(error)) = answer.outcome() {
                    first_error = first_error.and(Err(error));
                }
                if answer.sequence == last {
                    return first_error;
                }
            }
        }
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
