//! NetworkPartition where it is not simple: an agent without rights, no firewall, names without an
//! address, nodes that share one.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::ensure;
use rustix::process::Signal;
use serde_json::json;

use crate::firewalls::{FIRST, Has, script};
use crate::lan::{Carrier, Lan, v4, v6};
use crate::network_partition::{KAFKA, spec, spec_with};
use crate::node::{Node, NodeOptions};
use crate::space::until;

pub fn an_agent_without_rights_asks_sudo() -> anyhow::Result<()> {
    let lan = Lan::new(2)?;
    let space = lan.space(0);
    let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
    // Somebody else than root must be able to run it, wherever it was built.
    let (program, bin) = (space.folder().join("agent"), space.folder().join("bin"));
    std::fs::create_dir(&bin)?;
    std::fs::copy(std::env::current_exe()?, &program)?;
    mode(&program, 0o755)?;
    mode(space.folder(), 0o777)?;
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", &program.to_string_lossy()];
    let options = NodeOptions {
        platform: Some(lan.platform(|node| v4(node).to_string())),
        program: nobody.map(str::to_owned).to_vec(),
        ..NodeOptions::default()
    };
    let (mut agent, _) = Node::start(space, &options)?;
    let worker = agent.create(&spec(json!([["node0"], ["node1"]])))?;
    let error = agent.wait_done(worker)?["error"].to_string();
    for part in ["nft: Operation not permitted", "sudo -n nft: ", "CAP_NET_ADMIN"] {
        ensure!(error.contains(part), "{part}\nis not in\n{error}");
    }

    std::fs::copy(&program, bin.join("sudo"))?;
    mode(&bin.join("sudo"), 0o4755)?;
    space.run(["mount", "--bind", &bin.to_string_lossy(), FIRST])?;
    let before = Has::Nft.rules(space)?;
    let kafka = |open| lan.reaches(Carrier::Tcp, (1, 0), v4, KAFKA)?.expect(open);
    for dies in [false, true] {
        let worker = agent.create(&spec(json!([["node0"], ["node1"]])))?;
        let status = agent.wait_for(worker, "created network partition")?;
        ensure!(status["steps"][0]["inForce"] == true, "{status}");
        kafka(false)?;
        if dies {
            agent.process().signal(Signal::KILL);
            until("the reaper", || Ok((Has::Nft.rules(space)? == before).then_some(())))?;
        } else {
            ensure!(agent.end(worker)?["status"]["node"] == "clean");
        }
        kafka(true)?;
        ensure!(Has::Nft.rules(space)? == before);
    }
    Ok(())
}

pub fn all_reasons_against_a_partition_are_told_at_once() -> anyhow::Result<()> {
    let lan = Lan::new(1)?;
    let space = lan.space(0);
    let node = |host: &str| json!({"hostname": host, "trogdor.agent.port": 8888});
    let own = v6(0).to_string();
    let platform = json!({
        "platform": "org.apache.kafka.trogdor.basic.BasicPlatform",
        "nodes": {"node0": node("10.66.0.1"), "mate": node("10.66.0.7"), "local": node("127.0.0.2"),
                  "self": node(&own), "lost": node("nobody.invalid"), "twin": node("10.66.0.7")}
    });
    let (mut agent, _) =
        Node::start(space, &NodeOptions { platform: Some(platform), ..NodeOptions::default() })?;
    let everybody = json!([["node0", "mate"], ["local", "self", "lost", "twin", "stranger"]]);
    let mut refused = |spec: &serde_json::Value| -> anyhow::Result<String> {
        let worker = agent.create(spec)?;
        let state = agent.wait_done(worker)?;
        ensure!(agent.journals().is_empty());
        Ok(state["error"].as_str().unwrap_or_default().to_owned())
    };
    let error = refused(&spec(everybody.clone()))?;
    for part in [
        "node \"local\" has an address of this node itself (127.0.0.2): their packets cannot be told apart",
        &format!("node \"self\" has an address of this node itself ({own})"),
        "the host name \"nobody.invalid\" of node \"lost\": ",
        "node \"twin\" has the same address as \"mate\" (10.66.0.7)",
        "No node named stranger found in the cluster!",
        "limit the partition with \"ports\"",
    ] {
        ensure!(error.contains(part), "{part}\nis not in\n{error}");
    }
    let error = refused(&spec_with(everybody, json!({"ports": [8888]})))?;
    ensure!(error.contains("port 8888 belongs to Trogdor's daemons"), "{error}");

    Has::IptablesNft.only(space)?;
    let sbin = space.folder().join("sbin");
    for program in ["iptables", "ip6tables"] {
        std::fs::remove_file(sbin.join(program))?;
        script(&sbin.join(program), "echo 'Permission denied (you must be root)' >&2; exit 4")?;
    }
    let error = refused(&spec(json!([["node0"], ["mate"]])))?;
    ensure!(
        error.contains("nft: nft: not on this node; iptables: Permission denied (you must be root)")
            && error.contains("CAP_NET_ADMIN"),
        "{error}"
    );
    Ok(())
}

pub fn nodes_on_one_address_are_told_apart_by_ports() -> anyhow::Result<()> {
    let lan = Lan::new(1)?;
    let platform = Some(json!({
        "platform": "org.apache.kafka.trogdor.basic.BasicPlatform",
        "nodes": {"node0": {"hostname": "localhost", "trogdor.agent.port": 8888},
                  "node1": {"hostname": "localhost", "trogdor.agent.port": 8890}}
    }));
    let (mut agent, _) = Node::start(lan.space(0), &NodeOptions { platform, ..NodeOptions::default() })?;
    let loopback = |_: usize| IpAddr::from([127, 0, 0, 1]);
    let worker = agent.create(&spec_with(json!([["node0"], ["node1"]]), json!({"ports": [9093]})))?;
    let status = agent.wait_for(worker, "created network partition")?;
    ensure!(status["remarks"].to_string().contains("the ports are cut for both"), "{status}");
    for (port, open) in [(9093, false), (9092, true), (8888, true), (8890, true)] {
        lan.reaches(Carrier::Tcp, (0, 0), loopback, port)?.expect(open)?;
    }
    let state = agent.end(worker)?;
    ensure!(state["status"]["node"] == "clean", "{state}");
    lan.reaches(Carrier::Tcp, (0, 0), loopback, 9093)?.expect(true)
}
