//! What our tables of nf_tables do with packets that arrive: some are lost by chance, the others
//! wait in a queue for a program, and pass where none listens. Rules of others are not touched, and
//! they see what comes through.

use std::collections::BTreeSet;
use std::io;

use crate::nf_tables::{
    Compare, Header, Meta, Queueing, Table, Verdict, arrives_as, by_chance, compare, constant, meta, payload,
    queue, set_meta, verdict,
};

/// Chance is counted in millionths.
pub(crate) const MILLION: u32 = 1_000_000;
const TCP: u8 = 6;

/// What the table is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules<'a> {
    /// The table's name.
    pub(crate) table: &'a str,
    /// The names under which packets arrive.
    pub(crate) devices: &'a [String],
    /// TCP from or to these ports is let through.
    pub(crate) spared_ports: &'a BTreeSet<u16>,
    /// How many of a million packets are lost.
    pub(crate) loss_ppm: u32,
    /// Where the others wait.
    pub(crate) queue: Option<u16>,
}

impl Rules<'_> {
    /// Makes the table: all of it or nothing.
    ///
    /// # Errors
    /// What the kernel says; a table of this name may be there.
    pub(crate) fn make(&self) -> io::Result<()> {
        self.by_either(|table| table.make())
    }

    /// Asks the kernel whether it would make the table, without making it.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.by_either(|table| table.check())
    }

    fn by_either(&self, what: impl Fn(Table<'_>) -> io::Result<()>) -> io::Result<()> {
        let outcome = what(self.table(Queueing::Own));
        match (&outcome, self.queue) {
            (Err(error), Some(_)) if error.kind() == io::ErrorKind::NotFound => {
                what(self.table(Queueing::Iptables))
            }
            _ => outcome,
        }
    }

    fn table(&self, queueing: Queueing) -> Table<'_> {
        let mut table = Table::inet(self.table);
        for port in self.spared_ports {
            for offset in [0, 2] {
                let is_tcp = [meta(Meta::Layer4Protocol), compare(Compare::Equal, &[TCP])];
                let port =
                    [payload(Header::Transport, offset, 2), compare(Compare::Equal, &port.to_be_bytes())];
                table.rule(is_tcp.into_iter().chain(port).chain([verdict(Verdict::Accept)]));
            }
        }
        for device in self.devices {
            if self.loss_ppm >= MILLION {
                table.rule(arrives_as(device).into_iter().chain([verdict(Verdict::Drop)]));
            } else if self.loss_ppm > 0 {
                let chance = by_chance(self.loss_ppm, MILLION);
                table.rule(arrives_as(device).into_iter().chain(chance).chain([verdict(Verdict::Drop)]));
            }
            if let Some(number) = self.queue {
                table.rule(arrives_as(device).into_iter().chain([queue(number, queueing)]));
            }
        }
        table
    }
}

/// A table that lets in what arrives on a device for its own address but counts as somebody else's.
pub(crate) fn adoption<'a>(table: &'a str, device: &str, address: [u8; 6]) -> Table<'a> {
    const SOMEBODY_ELSES: u8 = 3;
    const OURS: u8 = 0;
    let mut table = Table::netdev(table, device);
    table.rule([
        meta(Meta::PacketKind),
        compare(Compare::Equal, &[SOMEBODY_ELSES]),
        payload(Header::Link, 0, 6),
        compare(Compare::Equal, &address),
        constant(&[OURS]),
        set_meta(Meta::PacketKind),
    ]);
    table
}
