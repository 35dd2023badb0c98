//! A cluster of several real brokers, each in a network namespace of its own, with everything that can be done to
//! one of them. Needs root.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    path::Path,
    sync::Arc,
    time::Duration,
};

use crate::{
    distribution::Distribution,
    error::LabError,
    jvm::Stopped,
    kafka::{GRACE, KafkaBuilder},
    namespace::Namespace,
    network::{Network, Partition, address},
    node::{Node, Place, Plan, random_cluster_id},
    probe::{self, PartitionState},
    properties::{Ports, Seat},
    wait::pause,
};

const PORTS: Ports = Ports { data: 9092, controller: 9093, secured: None };

/// What makes a cluster out of small nodes: internal topics survive the loss of one.
const REPLICATED: [(&str, &str); 10] = [
    ("default.replication.factor", "3"),
    ("min.insync.replicas", "2"),
    ("offsets.topic.num.partitions", "3"),
    ("offsets.topic.replication.factor", "3"),
    ("share.coordinator.state.topic.min.isr", "2"),
    ("share.coordinator.state.topic.num.partitions", "3"),
    ("share.coordinator.state.topic.replication.factor", "3"),
    ("transaction.state.log.min.isr", "2"),
    ("transaction.state.log.num.partitions", "3"),
    ("transaction.state.log.replication.factor", "3"),
];

/// What makes brokers give each other up within seconds.
const IMPATIENT: [(&str, &str); 8] = [
    ("broker.heartbeat.interval.ms", "500"),
    ("broker.session.timeout.ms", "2000"),
    ("controller.quorum.election.backoff.max.ms", "500"),
    ("controller.quorum.election.timeout.ms", "600"),
    ("controller.quorum.fetch.timeout.ms", "1000"),
    ("controller.quorum.request.timeout.ms", "1000"),
    ("replica.lag.time.max.ms", "3000"),
    ("replica.socket.timeout.ms", "2000"),
];

/// How to start a cluster; see [`KafkaBuilder::in_namespaces`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ClusterBuilder {
    builder: KafkaBuilder,
    nodes: u8,
    impatient: bool,
}

/// Brokers with the ids 1, 2, 3 … that are controllers too, each in a namespace of its own. Dropping it kills them all
/// and removes everything.
#[derive(Debug)]
pub struct KafkaCluster {
    nodes: Vec<ClusterNode>,
    network: Network,
    bootstrap: String,
}

/// One broker of a cluster.
#[derive(Debug)]
pub struct ClusterNode {
    id: i32,
    node: Node,
    namespace: Arc<Namespace>,
}

impl ClusterBuilder {
    pub(crate) fn new(builder: KafkaBuilder, nodes: u8) -> Self {
        Self { builder, nodes, impatient: false }
    }

    /// Brokers that give up a silent one after two seconds, not nine, and controllers likewise: for tests that wait
    /// for a new leader. On a starved machine healthy brokers may be given up too.
    pub fn impatient(mut self) -> Self {
        self.impatient = true;
        self
    }

    /// Starts all brokers and returns when each of them knows all others.
    ///
    /// # Errors
    /// This user is not root, or a broker does not start.
    pub async fn start(self) -> Result<KafkaCluster, LabError> {
        let Self { builder, nodes: count, impatient } = self;
        let distribution = Distribution::obtain(&builder.version, builder.directory.as_deref()).await?;
        let network = tokio::task::spawn_blocking(move || Network::new(count)).await;
        let network = network.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        let hasty = if impatient { &IMPATIENT[..] } else { &[] };
        let ours =
            REPLICATED.iter().chain(hasty).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let usual = Plan::new(&distribution);
        let mut plan = Plan {
            config: ours.chain(builder.config).collect(),
            heap: builder
                .heap
                .unwrap_or_else(|| if builder.c2 { "512m".to_owned() } else { usual.heap.clone() }),
            c2: builder.c2,
            ready_within: builder.ready_within.unwrap_or(usual.ready_within * 2),
            ..usual
        };
        let controller = |id: u8| (i32::from(id), SocketAddrV4::new(address(id), PORTS.controller));
        let voters: Vec<_> = (1..=count).map(controller).collect();
        let cluster_id = random_cluster_id();
        let mut nodes = Vec::new();
        for last in 1..=count {
            let id = i32::from(last);
            let namespace = network.find(id).ok_or(LabError::UnknownNode { id })?.clone();
            let seat = Seat { id, address: address(last), ports: PORTS, voters: voters.clone() };
            plan.place = Some(Place { namespace: namespace.clone(), seat, cluster_id: cluster_id.clone() });
            // All at once: none is ready before the others are there.
            let mut node = Node::prepare(&plan).await?;
            node.jvm.start().await?;
            nodes.push(ClusterNode { id, node, namespace });
        }
        for node in &mut nodes {
            node.node.wait_ready().await?;
        }
        let brokers: Vec<_> = nodes.iter().map(|node| node.listener().to_string()).collect();
        Ok(KafkaCluster { nodes, network, bootstrap: brokers.join(",") })
    }
}

impl KafkaCluster {
    /// For `bootstrap.servers`, of clients that run in one of the namespaces: usually [`client`](Self::client).
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Where clients can reach all brokers, and no partition cuts them off.
    pub fn client(&self) -> &Namespace {
        self.network.client()
    }

    /// The address of the clients' namespace, for what listens there.
    pub fn client_address(&self) -> Ipv4Addr {
        self.network.client_address()
    }

    /// All brokers, by id.
    pub fn nodes(&self) -> impl Iterator<Item = &ClusterNode> {
        self.nodes.iter()
    }

    /// A broker, by its id from 1.
    ///
    /// # Panics
    /// There is none of this id.
    pub fn node(&self, id: i32) -> &ClusterNode {
        self.nodes.iter().find(|node| node.id == id).unwrap_or_else(|| panic!("there is no broker {id}"))
    }

    /// The same, for what changes it.
    ///
    /// # Panics
    /// There is none of this id.
    pub fn node_mut(&mut self, id: i32) -> &mut ClusterNode {
        self.nodes.iter_mut().find(|node| node.id == id).unwrap_or_else(|| panic!("there is no broker {id}"))
    }

    /// Cuts groups of brokers off from each other: no packet passes between two groups, until the result is healed
    /// or dropped. Clients still reach everybody, and partitions may overlap.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), trogdor_lab::LabError> {
    /// let cluster = trogdor_lab::Kafka::builder("4.3.1").in_namespaces(3).impatient().start().await?;
    /// let partition = cluster.partition(&[&[1], &[2, 3]])?;
    /// // … node 1 is alone …
    /// partition.heal()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// There is no such broker, or no program `nft`.
    pub fn partition(&self, groups: &[&[i32]]) -> Result<Partition, LabError> {
        self.network.partition(groups)
    }

    /// The partitions of a topic, as one broker sees them. One that is cut off does not know it: ask another one.
    ///
    /// # Errors
    /// It does not answer, or does not know the topic.
    pub async fn topic(&self, asked: i32, topic: &str) -> Result<Vec<PartitionState>, LabError> {
        let answer = probe::topic(self.node(asked).node.door(), topic).await;
        answer.map_err(|source| LabError::Io { what: format!("ask broker {asked} about {topic:?}"), source })
    }

    /// Waits until one broker sees a topic as wanted.
    ///
    /// # Errors
    /// It takes longer than `limit`.
    pub async fn wait_topic(
        &self,
        asked: i32,
        topic: &str,
        limit: Duration,
        is_so: impl Fn(&[PartitionState]) -> bool,
    ) -> Result<Vec<PartitionState>, LabError> {
        let mut last = None;
        let asking = async {
            loop {
                match self.topic(asked, topic).await {
                    Ok(partitions) if is_so(&partitions) => return partitions,
                    Ok(partitions) => last = Some(partitions),
                    Err(_) => {}
                }
                pause().await;
            }
        };
        let found = tokio::time::timeout(limit, asking).await;
        found.map_err(|_| LabError::TimedOut { what: format!("{topic:?} as wanted, not {last:?}"), limit })
    }
}

impl ClusterNode {
    /// Its id in the cluster.
    pub fn id(&self) -> i32 {
        self.id
    }

    /// Where it listens for clients.
    pub fn listener(&self) -> SocketAddrV4 {
        self.node.door().address
    }

    /// Its network.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The process id of the JVM; `None` when it was killed.
    pub fn pid(&self) -> Option<u32> {
        self.node.jvm.pid()
    }

    /// Whether the process exists (a paused one does).
    pub fn is_running(&self) -> bool {
        self.node.jvm.is_running()
    }

    /// Its directory, which no other process names on its command line.
    pub fn directory(&self) -> &Path {
        self.node.jvm.directory()
    }

    /// The last `lines` of what it logged (warnings and errors).
    pub fn log_tail(&self, lines: usize) -> String {
        self.node.jvm.log_tail(lines)
    }

    /// Kills it with SIGKILL and returns when the process is gone.
    ///
    /// # Errors
    /// It cannot be killed.
    pub async fn kill(&mut self) -> Result<(), LabError> {
        self.node.jvm.kill().await
    }

    /// Freezes it with SIGSTOP.
    ///
    /// # Errors
    /// It does not stand still.
    pub async fn pause(&self) -> Result<(), LabError> {
        self.node.jvm.pause().await
    }

    /// Thaws it.
    ///
    /// # Errors
    /// It does not go on.
    pub async fn resume(&self) -> Result<(), LabError> {
        self.node.jvm.resume().await
    }

    /// Stops it if it runs (SIGTERM, ten seconds, SIGKILL) and starts it again on the same directory.
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn restart(&mut self) -> Result<Stopped, LabError> {
        let stopped = self.node.jvm.stop(GRACE).await?;
        self.node.launch().await?;
        Ok(stopped)
    }
}
