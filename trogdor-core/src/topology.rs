//! The platform file: which nodes there are and where their daemons listen. Same file, same keys
//! and same defaults as the original; comments are allowed. What a key means is decided here,
//! what is done with it elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::ids::NodeName;
use crate::json::{self, Kind, NoClasses, Problems};

/// The only platform of the original.
pub const BASIC_PLATFORM: &str = "org.apache.kafka.trogdor.basic.BasicPlatform";
/// Where an agent listens if the file does not say.
pub const DEFAULT_AGENT_PORT: u16 = 8888;
/// Where a coordinator listens if the file does not say.
pub const DEFAULT_COORDINATOR_PORT: u16 = 8889;
/// How often agents are asked if the file does not say.
pub const DEFAULT_HEARTBEAT_MS: u64 = 1000;

const AGENT_PORT: &str = "trogdor.agent.port";
const COORDINATOR_PORT: &str = "trogdor.coordinator.port";
const HEARTBEAT_MS: &str = "trogdor.coordinator.heartbeat.ms";

/// One machine (or one daemon) of the lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name in the file.
    pub name: NodeName,
    /// How it is reached.
    pub hostname: String,
    /// Free labels; stored, not used yet.
    pub tags: Vec<String>,
    /// All other keys, as text.
    pub config: BTreeMap<String, String>,
}

impl Node {
    /// A node on this host whose agent port is set.
    pub fn local(name: impl Into<NodeName>, agent_port: u16) -> Node {
        Node {
            name: name.into(),
            hostname: "localhost".to_owned(),
            tags: Vec::new(),
            config: BTreeMap::from([(AGENT_PORT.to_owned(), agent_port.to_string())]),
        }
    }

    /// The agent's port; `None` if the file excludes the node by a port of 0 or below.
    pub fn agent_port(&self) -> Option<u16> {
        self.port(AGENT_PORT, DEFAULT_AGENT_PORT)
    }

    /// The coordinator's port; `None` if the file gives one of 0 or below.
    pub fn coordinator_port(&self) -> Option<u16> {
        self.port(COORDINATOR_PORT, DEFAULT_COORDINATOR_PORT)
    }

    /// Whether the file gives an agent port: the nodes of a no-op task.
    pub fn names_agent_port(&self) -> bool {
        self.config.contains_key(AGENT_PORT)
    }

    /// Whether only a coordinator is expected here, so that a missing agent is nothing to report.
    pub fn is_coordinator_only(&self) -> bool {
        !self.names_agent_port() && self.config.contains_key(COORDINATOR_PORT)
    }

    /// How often a coordinator on this node asks the agents, milliseconds.
    pub fn heartbeat_ms(&self) -> u64 {
        self.number(HEARTBEAT_MS).and_then(|n| u64::try_from(n).ok()).unwrap_or(DEFAULT_HEARTBEAT_MS)
    }

    fn port(&self, key: &str, default: u16) -> Option<u16> {
        match self.number(key) {
            None => Some(default),
            Some(port) => u16::try_from(port).ok().filter(|port| *port > 0),
        }
    }

    /// The file was checked when it was read, so what is there is a number.
    fn number(&self, key: &str) -> Option<i64> {
        self.config.get(key).and_then(|text| text.trim().parse().ok())
    }
}

/// All nodes by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Topology {
    nodes: BTreeMap<NodeName, Node>,
}

impl Topology {
    /// A topology of these nodes; of two with one name the last one counts.
    pub fn new(nodes: impl IntoIterator<Item = Node>) -> Topology {
        Topology { nodes: nodes.into_iter().map(|node| (node.name.clone(), node)).collect() }
    }

    /// Reads a platform file.
    ///
    /// # Errors
    /// Everything that is wrong with it; the sentences are the original's where it has one.
    pub fn from_platform_file(text: &[u8]) -> Result<Arc<Topology>, Problems> {
        let root = json::read(text, &Kind::Any, &NoClasses)?;
        let mut problems = Vec::new();
        let mut refuse = |path: &str, text: String| problems.extend(Problems::one(path, text).0);
        match root.get("platform") {
            None => refuse(
                "",
                "Expected to find a 'platform' field in the root JSON configuration object".to_owned(),
            ),
            Some(platform) if platform != BASIC_PLATFORM => refuse(
                "/platform",
                format!("found {platform}, but the only platform is \"{BASIC_PLATFORM}\""),
            ),
            Some(_) => {}
        }
        let mut topology = Topology::default();
        match root.get("nodes") {
            None => refuse(
                "",
                "Expected to find a 'nodes' field in the root JSON configuration object".to_owned(),
            ),
            Some(Value::Object(nodes)) => {
                for (name, json) in nodes {
                    let node = read_node(name, json, &mut refuse);
                    topology.nodes.insert(node.name.clone(), node);
                }
            }
            Some(_) => refuse("/nodes", "Expected the 'nodes' element to be a JSON object.".to_owned()),
        }
        if problems.is_empty() { Ok(Arc::new(topology)) } else { Err(Problems(problems)) }
    }

    /// The node of this name.
    ///
    /// # Errors
    /// A sentence with the names that exist.
    pub fn node(&self, name: &NodeName) -> Result<&Node, String> {
        self.nodes.get(name).ok_or_else(|| {
            let names: Vec<_> = self.nodes.keys().map(NodeName::as_str).collect();
            format!("No node named {name} found in the cluster!  Cluster nodes are: {}", names.join(","))
        })
    }

    /// All nodes, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }
}

fn read_node(name: &str, json: &Value, refuse: &mut impl FnMut(&str, String)) -> Node {
    let path = format!("/nodes/{}", name.replace('~', "~0").replace('/', "~1"));
    let mut node = Node {
        name: NodeName::from(name),
        hostname: "localhost".to_owned(),
        tags: Vec::new(),
        config: BTreeMap::new(),
    };
    let Value::Object(fields) = json else {
        refuse(&path, format!("expected an object for the node {name:?}"));
        return node;
    };
    for (key, value) in fields {
        match (key.as_str(), value) {
            ("hostname", value) => node.hostname = as_text(value),
            ("tags", Value::Array(tags)) => node.tags = tags.iter().map(as_text).collect(),
            ("tags", _) => refuse(
                &format!("{path}/tags"),
                "Expected the 'tags' field to be an array of strings.".to_owned(),
            ),
            (AGENT_PORT | COORDINATOR_PORT | HEARTBEAT_MS, value) => {
                let text = as_text(value);
                match text.trim().parse::<i64>() {
                    Ok(number) if number <= 65535 || key == HEARTBEAT_MS => {}
                    _ => refuse(
                        &format!("{path}/{key}"),
                        format!("found {value}, expected a whole number of at most 65535"),
                    ),
                }
                node.config.insert(key.clone(), text);
            }
            (_, value) => drop(node.config.insert(key.clone(), as_text(value))),
        }
    }
    node
}

/// Jackson's `asText`: scalars become their text, the rest becomes empty.
fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Null => "null".to_owned(),
        Value::Array(_) | Value::Object(_) => String::new(),
    }
}
