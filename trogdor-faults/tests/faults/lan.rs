//! A network of spaces: each has an address of both kinds, and all hang on one bridge. What passes
//! between them is tried with sockets that belong to a space and are held by the test.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::sched::{CloneFlags, setns};
use serde_json::{Value, json};

use crate::space::Space;

/// How long something is tried that must work: as long as a busy machine may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long something is tried that must not work.
const BRIEFLY: Duration = Duration::from_millis(150);

/// Spaces on one bridge. The first is called node0, the next one node1.
#[derive(Debug)]
pub struct Lan {
    spaces: Vec<Space>,
    _bridge: Space,
}

/// What carries a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    Tcp,
    Udp,
}

pub const CARRIERS: [Carrier; 2] = [Carrier::Tcp, Carrier::Udp];

impl Lan {
    pub fn new(nodes: usize) -> anyhow::Result<Lan> {
        let bridge = Space::new()?;
        bridge.run(["ip", "link", "add", "br0", "type", "bridge"])?;
        bridge.run(["ip", "link", "set", "br0", "up"])?;
        let mut spaces = Vec::new();
        for node in 0..nodes {
            let space = Space::new()?;
            let port = format!("port{node}");
            link(&space, &bridge, "eth0", &port)?;
            bridge.run(["ip", "link", "set", &port, "master", "br0", "up"])?;
            space.run(["ip", "address", "add", &format!("{}/24", v4(node)), "dev", "eth0"])?;
            space.run(["ip", "address", "add", &format!("{}/64", v6(node)), "dev", "eth0", "nodad"])?;
            space.run(["ip", "link", "set", "eth0", "up"])?;
            spaces.push(space);
        }
        Ok(Lan { spaces, _bridge: bridge })
    }

    pub fn space(&self, node: usize) -> &Space {
        &self.spaces[node]
    }

    /// A platform file in which each node's host name is what `host` says.
    pub fn platform(&self, host: impl Fn(usize) -> String) -> Value {
        let nodes = (0..self.spaces.len())
            .map(|node| (format!("node{node}"), json!({"hostname": host(node), "trogdor.agent.port": 8888})));
        json!({"platform": "org.apache.kafka.trogdor.basic.BasicPlatform",
               "nodes": nodes.collect::<serde_json::Map<_, _>>()})
    }

    /// Does something with the network of a node: sockets made there stay there.
    pub fn inside<T: Send>(&self, node: usize, act: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        in_net(self.spaces[node].pid(), act)
    }

    /// Whether one node reaches another on a port, over IPv4 or IPv6.
    pub fn reaches(
        &self,
        carrier: Carrier,
        (from, to): (usize, usize),
        address: fn(usize) -> IpAddr,
        port: u16,
    ) -> anyhow::Result<Probe<'_>> {
        Ok(Probe { lan: self, carrier, from, to, target: SocketAddr::new(address(to), port) })
    }

    /// A connection from one node to another that is open already.
    pub fn connection(
        &self,
        (from, to): (usize, usize),
        address: fn(usize) -> IpAddr,
        port: u16,
    ) -> anyhow::Result<(TcpStream, TcpStream)> {
        let target = SocketAddr::new(address(to), port);
        let listener = self.inside(to, || TcpListener::bind(target))??;
        let near = self.inside(from, || TcpStream::connect_timeout(&target, PATIENCE))??;
        Ok((near, listener.accept()?.0))
    }
}

/// A cable between two spaces, and what each calls its end.
pub fn link(one: &Space, other: &Space, ones: &str, others: &str) -> anyhow::Result<()> {
    // Only the network of the one is entered: the other's pid is one of the host.
    let status = Command::new("nsenter")
        .args(["--target", &one.pid().to_string(), "--net", "--", "ip", "link", "add", ones])
        .args(["type", "veth", "peer", "name", others, "netns", &other.pid().to_string()])
        .status()?;
    ensure!(status.success(), "no link {ones}");
    Ok(())
}

/// Does something with the network of a process.
pub fn in_net<T: Send>(pid: u32, act: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
    let space = File::open(format!("/proc/{pid}/ns/net"))?;
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            setns(space, CloneFlags::CLONE_NEWNET)?;
            anyhow::Ok(act())
        });
        thread.join().map_err(|_| anyhow::anyhow!("it panicked"))?
    })
}

pub fn v4(node: usize) -> IpAddr {
    IpAddr::from([10, 66, 0, u8::try_from(node + 1).unwrap_or(0)])
}

pub fn v6(node: usize) -> IpAddr {
    IpAddr::from([0xfd66, 0, 0, 0, 0, 0, 0, u16::try_from(node + 1).unwrap_or(0)])
}

/// One way from one node to another.
#[derive(Debug)]
pub struct Probe<'a> {
    lan: &'a Lan,
    carrier: Carrier,
    from: usize,
    to: usize,
    target: SocketAddr,
}

impl Probe<'_> {
    /// Fails unless the way is as it should be. TCP: a byte goes there and one comes back. UDP: a
    /// packet arrives.
    pub fn expect(&self, open: bool) -> anyhow::Result<()> {
        let limit = if open { PATIENCE } else { BRIEFLY };
        let arrived = match self.carrier {
            Carrier::Tcp => self.tcp(limit)?,
            Carrier::Udp => self.udp(limit)?,
        };
        let (from, to) = (self.from, self.to);
        ensure!(
            arrived == open,
            "{:?} from node{from} to node{to} at {} {}",
            self.carrier,
            self.target,
            if open { "does not pass" } else { "passes" }
        );
        Ok(())
    }

    fn tcp(&self, limit: Duration) -> anyhow::Result<bool> {
        let listener = self.lan.inside(self.to, || TcpListener::bind(self.target))??;
        let connected = self.lan.inside(self.from, || TcpStream::connect_timeout(&self.target, limit))?;
        let Ok(near) = connected else { return Ok(false) };
        exchange(&near, &listener.accept()?.0, limit)
    }

    fn udp(&self, limit: Duration) -> anyhow::Result<bool> {
        let far = self.lan.inside(self.to, || UdpSocket::bind(self.target))??;
        let any: IpAddr = if self.target.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
        let near = self.lan.inside(self.from, || UdpSocket::bind((any, 0)))??;
        far.set_read_timeout(Some(limit))?;
        // A sender's own firewall may tell it so; then nothing will come.
        let _ = near.send_to(b"x", self.target);
        Ok(far.recv(&mut [0; 1]).is_ok())
    }
}

/// Whether a byte passes from the one end of a connection to the other, and one back.
pub fn exchange(mut near: &TcpStream, mut far: &TcpStream, limit: Duration) -> anyhow::Result<bool> {
    near.set_read_timeout(Some(limit))?;
    far.set_read_timeout(Some(limit))?;
    near.write_all(b"x").context("the connection broke")?;
    let there_and_back = far
        .read_exact(&mut [0; 1])
        .and_then(|()| far.write_all(b"y"))
        .and_then(|()| near.read_exact(&mut [0; 1]));
    match there_and_back {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// How long an open connection is tried.
pub fn patience(open: bool) -> Duration {
    if open { PATIENCE } else { BRIEFLY }
}
