//! Tables of nf_tables of our own: made in one transaction, known by their names, removed whole.
//! Spoken by netlink, since `nft` cannot say everything that the kernel can do (see [`queue`]).

use std::io;

use serde::{Deserialize, Serialize};

use crate::netlink::{Attributes, Message, Netlink};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const GET_TABLE: u16 = (SUBSYSTEM << 8) | 1;
const DELETE_TABLE: u16 = (SUBSYSTEM << 8) | 2;
const NEW_CHAIN: u16 = (SUBSYSTEM << 8) | 3;
const NEW_RULE: u16 = (SUBSYSTEM << 8) | 6;
const EXCLUSIVE: u16 = 0x200;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;
const ACK: u16 = 4;

/// The only chain of our tables.
const CHAIN: &str = "arrivals";
/// The first hook of both families: prerouting, and ingress.
const HOOK: u32 = 0;
/// The priority called `raw`: before connections are tracked.
const PRIORITY: i32 = -300;
/// Interface names are compared with all their 16 bytes.
const NAME_LENGTH: usize = 16;

/// Which packets a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Family {
    /// IPv4 and IPv6.
    Inet,
    /// What arrives on one device, whatever it is.
    Netdev,
}

impl Family {
    fn number(self) -> u8 {
        match self {
            Family::Inet => 1,
            Family::Netdev => 5,
        }
    }
}

/// A table under construction, with one chain for packets that arrive.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    name: &'a str,
    family: Family,
    batch: Batch,
}

impl<'a> Table<'a> {
    /// A table for packets of all devices.
    pub(crate) fn inet(name: &'a str) -> Table<'a> {
        Table::new(name, Family::Inet, None)
    }

    /// A table for packets of one device.
    pub(crate) fn netdev(name: &'a str, device: &str) -> Table<'a> {
        Table::new(name, Family::Netdev, Some(device))
    }

    fn new(name: &'a str, family: Family, device: Option<&str>) -> Table<'a> {
        let mut batch = Batch::default();
        let number = family.number();
        batch.add(Message::new(NEW_TABLE, number, 0).flags(CREATE | ACK | EXCLUSIVE).text(1, name));
        let hook = Attributes::default().number(1, HOOK).number(2, PRIORITY.cast_unsigned());
        let hook = device.iter().fold(hook, |hook, device| hook.text(3, device));
        let chain = Message::new(NEW_CHAIN, number, 0).flags(CREATE | ACK).text(1, name);
        batch.add(chain.text(3, CHAIN).nested(4, &hook).text(7, "filter"));
        Table { name, family, batch }
    }

    /// Adds a rule made of expressions.
    pub(crate) fn rule(&mut self, expressions: impl IntoIterator<Item = Attributes>) {
        let list = expressions.into_iter().fold(Attributes::default(), |list, one| list.nested(1, &one));
        let rule = Message::new(NEW_RULE, self.family.number(), 0).flags(CREATE | APPEND | ACK);
        self.batch.add(rule.text(1, self.name).text(2, CHAIN).nested(4, &list));
    }

    /// Makes it: all of it or nothing.
    ///
    /// # Errors
    /// What the kernel says; a table of this name may be there.
    pub(crate) fn make(self) -> io::Result<()> {
        self.batch.send(true)
    }

    /// Asks the kernel whether it would make it.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn check(self) -> io::Result<()> {
        self.batch.send(false)
    }
}

/// Removes a table of ours; one that is not there needs no removing.
///
/// # Errors
/// What the kernel says.
pub(crate) fn remove(family: Family, table: &str) -> io::Result<()> {
    let mut batch = Batch::default();
    batch.add(Message::new(DELETE_TABLE, family.number(), 0).flags(ACK).text(1, table));
    absent_is_fine(batch.send(true)).map(drop)
}

/// Whether a table of ours is there.
///
/// # Errors
/// What the kernel says.
pub(crate) fn is_there(family: Family, table: &str) -> io::Result<bool> {
    absent_is_fine(Netlink::open()?.request(Message::new(GET_TABLE, family.number(), 0).text(1, table)))
}

fn absent_is_fine(outcome: io::Result<()>) -> io::Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Messages that take effect together.
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    messages: u32,
}

impl Batch {
    fn add(&mut self, message: Message) {
        self.messages += 1;
        self.bytes.extend(message.sequence(self.messages).bytes());
    }

    /// Without its end a batch is checked and dropped.
    fn send(self, is_meant: bool) -> io::Result<()> {
        let edge = |kind| Message::new(kind, 0, SUBSYSTEM).bytes();
        let mut bytes = edge(BATCH_BEGIN);
        bytes.extend(self.bytes);
        if is_meant {
            bytes.extend(edge(BATCH_END));
        }
        let netlink = Netlink::open()?;
        netlink.send(&bytes)?;
        netlink.answers(self.messages)
    }
}

/// The register that all expressions here use.
const REGISTER: u32 = 1;
const VERDICT_REGISTER: u32 = 0;

/// What a packet comes with, besides its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Meta {
    InputName = 6,
    Layer4Protocol = 16,
    PacketKind = 19,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Compare {
    Equal = 0,
    Less = 2,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Verdict {
    Drop = 0,
    Accept = 1,
}

/// Which header an offset counts from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Header {
    Link = 0,
    Transport = 2,
}

fn expression(name: &str, data: &Attributes) -> Attributes {
    Attributes::default().text(1, name).nested(2, data)
}

pub(crate) fn meta(key: Meta) -> Attributes {
    expression("meta", &Attributes::default().number(1, REGISTER).number(2, key as u32))
}

pub(crate) fn set_meta(key: Meta) -> Attributes {
    expression("meta", &Attributes::default().number(2, key as u32).number(3, REGISTER))
}

pub(crate) fn constant(value: &[u8]) -> Attributes {
    let value = Attributes::default().attribute(1, value);
    expression("immediate", &Attributes::default().number(1, REGISTER).nested(2, &value))
}

pub(crate) fn compare(how: Compare, value: &[u8]) -> Attributes {
    let value = Attributes::default().attribute(1, value);
    expression("cmp", &Attributes::default().number(1, REGISTER).number(2, how as u32).nested(3, &value))
}

/// Whether a packet arrives under this name.
pub(crate) fn arrives_as(device: &str) -> [Attributes; 2] {
    let mut name = device.as_bytes().to_vec();
    name.resize(NAME_LENGTH, 0);
    [meta(Meta::InputName), compare(Compare::Equal, &name)]
}

pub(crate) fn payload(header: Header, offset: u32, length: u32) -> Attributes {
    let place = Attributes::default().number(1, REGISTER).number(2, header as u32);
    expression("payload", &place.number(3, offset).number(4, length))
}

/// Passes a share of all packets, chosen by chance: so many of a number.
pub(crate) fn by_chance(share: u32, of: u32) -> [Attributes; 3] {
    const RANDOM: u32 = 1;
    const HOST_TO_NETWORK: u32 = 1;
    let random = Attributes::default().number(1, REGISTER).number(2, of).number(3, RANDOM);
    // Numbers are compared as bytes.
    let order = Attributes::default().number(1, REGISTER).number(2, REGISTER).number(3, HOST_TO_NETWORK);
    let order = order.number(4, 4).number(5, 4);
    let below = compare(Compare::Less, &share.to_be_bytes());
    [expression("numgen", &random), expression("byteorder", &order), below]
}

pub(crate) fn verdict(code: Verdict) -> Attributes {
    let verdict = Attributes::default().nested(2, &Attributes::default().number(1, code as u32));
    expression("immediate", &Attributes::default().number(1, VERDICT_REGISTER).nested(2, &verdict))
}

/// How packets are put into a queue. Kernels have either or both.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Queueing {
    /// The expression of nf_tables.
    Own,
    /// The target of iptables, which `nft` cannot say.
    Iptables,
}

/// Where nobody listens to the queue, packets pass.
pub(crate) fn queue(number: u16, queueing: Queueing) -> Attributes {
    const PASS_IF_NOBODY_LISTENS: u16 = 1;
    match queueing {
        Queueing::Own => {
            let attributes = Attributes::default().attribute(1, &number.to_be_bytes());
            let attributes = attributes.attribute(2, &1_u16.to_be_bytes());
            expression("queue", &attributes.attribute(3, &PASS_IF_NOBODY_LISTENS.to_be_bytes()))
        }
        Queueing::Iptables => {
            const REVISION: u32 = 3;
            // `struct xt_NFQ_info_v3`, filled up to eight bytes.
            let info = [number, 1, PASS_IF_NOBODY_LISTENS, 0].map(u16::to_ne_bytes).concat();
            let attributes = Attributes::default().text(1, "NFQUEUE").number(2, REVISION);
            expression("target", &attributes.attribute(3, &info))
        }
    }
}
