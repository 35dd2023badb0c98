//! A queue of nfnetlink_queue: the kernel holds the packets and tells their numbers, this program
//! says when each may go on. The packets themselves are never copied.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::netlink::{Message, Netlink};

const SUBSYSTEM: u16 = 3;
const PACKET: u16 = SUBSYSTEM << 8;
const VERDICT: u16 = (SUBSYSTEM << 8) | 1;
const CONFIG: u16 = (SUBSYSTEM << 8) | 2;

// Attributes of a configuration (linux/netfilter/nfnetlink_queue.h).
const COMMAND: u16 = 1;
const COPY: u16 = 2;
const MAX_LENGTH: u16 = 3;
const MASK: u16 = 4;
const FLAGS: u16 = 5;

/// A queue that is full lets packets pass instead of dropping them.
const FAIL_OPEN: u32 = 1;
/// Large packets, of which the device makes many, are queued as one.
const WHOLE: u32 = 4;
/// Packets that may wait: 10 Gbit/s for half a second, if each is as large as a frame.
const CAPACITY: u32 = 400_000;
/// Room for messages of packets that were not read yet, bytes; a message takes about 1 kB of it.
const ROOM: usize = 64 << 20;
const ACCEPT: u32 = 1;

/// A queue that this process listens to; closing it drops what waits in it.
#[derive(Debug)]
pub(crate) struct PacketQueue {
    netlink: Netlink,
    number: u16,
    buffer: Vec<u8>,
    verdicts: Vec<u8>,
}

impl PacketQueue {
    /// Listens to the queue of this number.
    pub(crate) fn open(number: u16) -> io::Result<PacketQueue> {
        const BIND: u8 = 1;
        const HEADS_ONLY: u8 = 1;
        let netlink = Netlink::open()?;
        netlink.make_room(ROOM)?;
        let config = || Message::new(CONFIG, 0, number);
        netlink.request(config().attribute(COMMAND, &[BIND, 0, 0, 0]))?;
        netlink.request(config().attribute(COPY, &[0, 0, 0, 0, HEADS_ONLY]))?;
        netlink.request(config().number(MAX_LENGTH, CAPACITY))?;
        let flags = FAIL_OPEN | WHOLE;
        netlink.request(config().number(FLAGS, flags).number(MASK, flags))?;
        Ok(PacketQueue { netlink, number, buffer: vec![0; 1 << 16], verdicts: Vec::new() })
    }

    /// The number of the next packet that has come; `None` if there is none at the moment.
    pub(crate) fn next(&mut self) -> io::Result<Option<u32>> {
        const PACKET_HEAD: u16 = 1;
        loop {
            let bytes = match self.netlink.read(&mut self.buffer) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return Ok(None),
                // Packets came faster than they were read; the kernel has let them pass.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {
                    continue;
                }
                Err(error) => return Err(error),
            };
            // The kernel sends one packet in a message, and one message at a time.
            let packet = crate::netlink::Received::all(bytes).find(|message| message.kind == PACKET);
            let head = packet.and_then(|packet| packet.attribute(PACKET_HEAD));
            if let Some(number) = head.and_then(|head| head.get(..4)?.try_into().ok()) {
                return Ok(Some(u32::from_be_bytes(number)));
            }
        }
    }

    /// Lets a packet go on, at the next [`PacketQueue::flush`].
    pub(crate) fn accept(&mut self, packet: u32) {
        const VERDICT_HEAD: u16 = 2;
        let value = [ACCEPT.to_be_bytes(), packet.to_be_bytes()].concat();
        self.verdicts.extend(Message::new(VERDICT, 0, self.number).attribute(VERDICT_HEAD, &value).bytes());
    }

    /// Tells the kernel what was accepted.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.verdicts.is_empty() {
            return Ok(());
        }
        let outcome = self.netlink.send(&self.verdicts);
        self.verdicts.clear();
        outcome
    }

    /// How many verdicts wait for [`PacketQueue::flush`], bytes.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.verdicts.len()
    }
}

impl AsFd for PacketQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.netlink.as_fd()
    }
}
