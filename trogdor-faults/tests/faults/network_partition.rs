//! NetworkPartition with every firewall that a node may have: what passes and what does not, seen by
//! both ends, and that nothing of the user's own rules has changed afterwards.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use serde_json::{Value, json};

use crate::firewalls::{ALL, Has, script};
use crate::lan::{CARRIERS, Carrier, Lan, exchange, in_net, link, patience, v4, v6};
use crate::node::{Node, NodeOptions};
use crate::space::{Space, until};

pub const KAFKA: u16 = 9092;
const AGENT: u16 = 8888;
const ADDRESSES: [fn(usize) -> IpAddr; 2] = [v4, v6];

/// An agent on node0 of a network of three, all of them known by their two addresses.
struct World {
    lan: Lan,
    node: Node,
    has: Has,
    before: String,
}

impl World {
    fn new(has: Has) -> anyhow::Result<World> {
        let lan = Lan::new(3)?;
        let space = lan.space(0);
        hosts(space, &(0..3).map(|node| (format!("host{node}"), node)).collect::<Vec<_>>())?;
        has.only(space)?;
        has.users_rules(space)?;
        let before = has.rules(space)?;
        let platform = Some(lan.platform(|node| format!("host{node}")));
        let (node, _) = Node::start(space, &NodeOptions { platform, ..NodeOptions::default() })?;
        Ok(World { lan, node, has, before })
    }

    fn start(&mut self, spec: &Value) -> anyhow::Result<i64> {
        let worker = self.node.create(spec)?;
        self.node.wait_for(worker, "created network partition")?;
        Ok(worker)
    }

    fn end(&mut self, worker: i64) -> anyhow::Result<()> {
        let state = self.node.end(worker)?;
        ensure!(state["error"] == "" || state["error"] == Value::Null, "{state}");
        ensure!(state["status"]["node"] == "clean", "{state}");
        ensure!(state["status"]["state"] == format!("removed network partition task{worker}"), "{state}");
        Ok(())
    }

    /// One port of another node, over both kinds of address.
    fn expect(&self, carrier: Carrier, way: (usize, usize), port: u16, open: bool) -> anyhow::Result<()> {
        for address in ADDRESSES {
            let probe = self.lan.reaches(carrier, way, address, port)?;
            probe.expect(open).with_context(|| format!("with {:?}", self.has))?;
        }
        Ok(())
    }

    /// Kafka's port between node0 and another node, both ways, all at once.
    fn expect_all(&self, other: usize, open: bool) -> anyhow::Result<()> {
        std::thread::scope(|scope| {
            let ways = CARRIERS.iter().flat_map(|carrier| [(carrier, (0, other)), (carrier, (other, 0))]);
            let tries: Vec<_> = ways
                .map(|(carrier, way)| scope.spawn(move || self.expect(*carrier, way, KAFKA, open)))
                .collect();
            tries.into_iter().try_for_each(|tried| tried.join().map_err(|_| anyhow!("it panicked"))?)
        })
    }

    fn is_as_before(&self) -> anyhow::Result<()> {
        let after = self.has.rules(self.lan.space(0))?;
        ensure!(after == self.before, "{:?}: rules were\n{}\nand are\n{after}", self.has, self.before);
        ensure!(self.node.journals().is_empty());
        Ok(())
    }
}

/// Gives names to nodes, for everybody in a space.
fn hosts(space: &Space, names: &[(String, usize)]) -> anyhow::Result<()> {
    let file = space.folder().join("hosts");
    let lines = names.iter().map(|(name, node)| format!("{} {name}\n{} {name}\n", v4(*node), v6(*node)));
    let is_new = !file.exists();
    std::fs::write(&file, lines.collect::<String>() + "127.0.0.1 localhost\n")?;
    if is_new {
        space.run(["mount", "--bind", &file.to_string_lossy(), "/etc/hosts"])?;
    }
    Ok(())
}

pub fn spec(partitions: Value) -> Value {
    json!({"class": trogdor_faults::NETWORK_PARTITION, "durationMs": 600_000, "partitions": partitions})
}

pub fn spec_with(partitions: Value, more: Value) -> Value {
    let mut spec = spec(partitions);
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    spec
}

pub fn nodes_of_other_partitions_are_cut_off_and_trogdors_ports_are_not() -> anyhow::Result<()> {
    for has in ALL {
        let mut world = World::new(has)?;
        world.expect_all(1, true)?;
        let control = world.lan.connection((1, 0), v6, AGENT)?;
        let data = world.lan.connection((0, 1), v4, KAFKA)?;

        let worker = world.start(&spec(json!([["node0"], ["node1"]])))?;
        world.expect_all(1, false)?;
        // Nodes in no partition are not affected.
        world.expect_all(2, true)?;
        // The open port needs its neighbours to be found, too.
        world.lan.space(0).run(["ip", "neigh", "flush", "all"])?;
        world.lan.space(1).run(["ip", "neigh", "flush", "all"])?;
        world.expect(Carrier::Tcp, (1, 0), AGENT, true)?;
        world.expect(Carrier::Tcp, (0, 1), AGENT, true)?;
        world.expect(Carrier::Tcp, (0, 1), 8889, true)?;
        world.expect(Carrier::Udp, (0, 1), AGENT, false)?;
        ensure!(exchange(&control.0, &control.1, patience(true))?);
        ensure!(!exchange(&data.0, &data.1, patience(false))?);
        for address in ADDRESSES {
            let ping = ["ping", "-c", "1", "-W", "0.3", &address(0).to_string()];
            let answer = world.lan.space(1).ask(ping)?;
            ensure!(answer.status.code() == Some(1), "{answer:?}");
        }
        let told = until("the packets", || {
            let status = world.node.state(worker)?["status"].clone();
            let told = status["remarks"].to_string();
            Ok((!told.contains(": 0 that") && told.contains("dropped so far")).then_some(status))
        })?;
        ensure!(told["remarks"].to_string().contains("8888, 8889 stays open"), "{told}");
        ensure!(
            told["steps"].as_array().is_some_and(|steps| steps.iter().all(|step| step["inForce"] == true))
        );

        world.end(worker)?;
        world.expect_all(1, true)?;
        ensure!(exchange(&data.0, &data.1, patience(true))?);
        world.is_as_before()?;
    }
    Ok(())
}

pub fn a_partition_may_be_one_way_or_for_some_ports_only() -> anyhow::Result<()> {
    for has in ALL {
        let mut world = World::new(has)?;
        let partitions = json!([["node0"], ["node1"]]);
        let rows = [("in", partitions.clone(), true), ("out", partitions.clone(), false)];
        // Listed the other way round, the words mean the other node.
        let swapped = json!([["node1"], ["node0"]]);
        let rows = rows.into_iter().chain([("in", swapped.clone(), false), ("out", swapped, true)]);
        for (direction, partitions, node0_is_deaf) in rows {
            let worker = world.start(&spec_with(partitions, json!({"direction": direction})))?;
            world.expect(Carrier::Udp, (1, 0), KAFKA, !node0_is_deaf)?;
            world.expect(Carrier::Udp, (0, 1), KAFKA, node0_is_deaf)?;
            world.end(worker)?;
        }

        let worker = world.start(&spec_with(partitions, json!({"ports": [KAFKA, AGENT, 7]})))?;
        world.expect_all(1, false)?;
        for carrier in CARRIERS {
            world.expect(carrier, (0, 1), 7, false)?;
            world.expect(carrier, (0, 1), KAFKA + 1, true)?;
            world.expect(carrier, (1, 0), KAFKA + 1, true)?;
        }
        world.expect(Carrier::Tcp, (1, 0), AGENT, true)?;
        world.end(worker)?;
        world.is_as_before()?;
    }
    Ok(())
}

pub fn overlapping_partitions_end_in_any_order() -> anyhow::Result<()> {
    for has in ALL {
        let mut world = World::new(has)?;
        for first_ends_first in [true, false] {
            let narrow = world.start(&spec(json!([["node0"], ["node1"]])))?;
            let wide = world.start(&spec(json!([["node0"], ["node1", "node2"]])))?;
            world.expect_all(1, false)?;
            world.expect_all(2, false)?;
            if first_ends_first {
                world.end(narrow)?;
                world.expect_all(2, false)?;
                world.expect_all(1, false)?;
                world.end(wide)?;
            } else {
                world.end(wide)?;
                world.expect_all(2, true)?;
                world.expect_all(1, false)?;
                world.end(narrow)?;
            }
            world.expect_all(1, true)?;
            world.is_as_before()?;
        }
    }
    Ok(())
}

pub fn containers_behind_a_node_are_cut_off_with_it() -> anyhow::Result<()> {
    for has in ALL {
        let mut world = World::new(has)?;
        let (host, container) = (world.lan.space(0), Space::new()?);
        link(host, &container, "inner0", "eth0")?;
        host.run(["ip", "address", "add", "172.31.0.1/24", "dev", "inner0"])?;
        host.run(["ip", "link", "set", "inner0", "up"])?;
        container.run(["ip", "address", "add", "172.31.0.2/24", "dev", "eth0"])?;
        container.run(["ip", "link", "set", "eth0", "up"])?;
        container.run(["ip", "route", "add", "default", "via", "172.31.0.1"])?;
        host.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])?;
        // What container engines do: the port is published, and what leaves has the node's address.
        let published =
            "-t nat -A PREROUTING -p tcp --dport 9092 ! -i inner0 -j DNAT --to-destination 172.31.0.2:9092";
        host.run(["iptables"].into_iter().chain(published.split(' ')))?;
        host.run(["iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "eth0", "-j", "MASQUERADE"])?;
        world.before = has.rules(world.lan.space(0))?;

        let inside = SocketAddr::from(([172, 31, 0, 2], KAFKA));
        let listener = in_net(container.pid(), || TcpListener::bind(inside))??;
        let reaches_container = |node: usize, limit: Duration| {
            let published = SocketAddr::new(v4(0), KAFKA);
            let near = world.lan.inside(node, || TcpStream::connect_timeout(&published, limit))?;
            let far = near.is_ok().then(|| listener.accept()).transpose()?;
            anyhow::Ok(far.is_some_and(|(_, from)| from.ip() == v4(node)))
        };
        let reached_by_container = |node: usize, limit: Duration| {
            let target = SocketAddr::new(v4(node), KAFKA);
            let _listener = world.lan.inside(node, || TcpListener::bind(target))??;
            anyhow::Ok(in_net(container.pid(), || TcpStream::connect_timeout(&target, limit))?.is_ok())
        };
        let expect = |node: usize, open: bool| {
            let limit = patience(open);
            ensure!(reaches_container(node, limit)? == open, "{has:?}: node{node} to the container");
            ensure!(reached_by_container(node, limit)? == open, "{has:?}: the container to node{node}");
            Ok(())
        };
        expect(1, true)?;
        let node = &mut world.node;
        let worker = node.create(&spec(json!([["node0"], ["node1"]])))?;
        node.wait_for(worker, "created network partition")?;
        expect(1, false)?;
        expect(2, true)?;
        node.end(worker)?;
        expect(1, true)?;
        world.is_as_before()?;
    }
    Ok(())
}

pub fn names_that_mean_something_else_at_the_end_change_nothing() -> anyhow::Result<()> {
    let mut world = World::new(Has::Nft)?;
    let worker = world.start(&spec(json!([["node0"], ["node1"]])))?;
    hosts(world.lan.space(0), &[("host1".to_owned(), 2)])?;
    world.expect_all(1, false)?;
    world.end(worker)?;
    world.expect_all(1, true)?;
    world.is_as_before()
}

pub fn a_command_that_fails_half_way_leaves_nothing() -> anyhow::Result<()> {
    let mut world = World::new(Has::IptablesNft)?;
    // The chains for IPv4 are complete by then, and one for IPv6 is half made.
    let failing = world.lan.space(0).folder().join("sbin/ip6tables");
    std::fs::remove_file(&failing)?;
    script(
        &failing,
        "case \"$*\" in *POSTROUTING*-j*) echo 'no more rules today' >&2; exit 4;; esac\n\
         exec /usr/sbin/ip6tables-nft \"$@\"",
    )?;
    let worker = world.node.create(&spec(json!([["node0"], ["node1"]])))?;
    let state = world.node.wait_done(worker)?;
    ensure!(state["error"].as_str().is_some_and(|error| error.contains("no more rules today")), "{state}");
    ensure!(!state["error"].to_string().contains("not clean"), "{state}");
    world.expect_all(1, true)?;
    world.is_as_before()
}

pub fn what_others_do_to_the_rules_is_told() -> anyhow::Result<()> {
    let mut world = World::new(Has::Nft)?;
    let table = |world: &World| -> anyhow::Result<String> {
        let tables = world.lan.space(0).run(["nft", "list", "tables"])?;
        let own = tables.lines().find(|line| line.contains("trogdor_")).context("no table")?;
        Ok(own.trim_start_matches("table ").to_owned())
    };
    let worker = world.start(&spec(json!([["node0"], ["node1"]])))?;
    let name = table(&world)?;
    world.lan.space(0).run(["nft", &format!("flush chain {name} arriving")])?;
    until("the loss of a chain", || {
        let step = world.node.state(worker)?["status"]["steps"][0].clone();
        Ok((step["detail"] == "only in part: 2 of 4 rules").then_some(()))
    })?;
    world.end(worker)?;
    world.is_as_before()?;

    let worker = world.start(&spec(json!([["node0"], ["node1"]])))?;
    let name = table(&world)?;
    world.lan.space(0).run(["nft", &format!("delete table {name}")])?;
    let state = world.node.end(worker)?;
    ensure!(state["error"].as_str().is_some_and(|error| error.contains("in force any more")), "{state}");
    ensure!(state["status"]["node"] == "clean", "{state}");
    world.is_as_before()
}

pub fn one_partition_cuts_nothing() -> anyhow::Result<()> {
    let mut world = World::new(Has::Nft)?;
    let worker = world.start(&spec(json!([["node0", "node1"]])))?;
    world.expect_all(1, true)?;
    let state = world.node.end(worker)?;
    ensure!(state["error"] == "" || state["error"] == Value::Null, "{state}");
    ensure!(state["status"]["remarks"].to_string().contains("no other partition"), "{state}");
    world.is_as_before()
}
