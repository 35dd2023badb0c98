//! The handle that tests hold: a cluster of one node.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    acls::{Decision, Entries, Operation, Resource},
    cluster::ClusterBuilder,
    distribution::Distribution,
    error::LabError,
    jvm::Stopped,
    node::{Node, Plan},
    security::{Access, Login, Users},
    stat::Usage,
};

/// How long a broker may take to end after SIGTERM.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// A running Kafka broker. Dropping it kills the broker and removes its directory.
///
/// A handle may be kept in a static and shared by the tests of a binary: the end of the process ends the broker.
#[derive(Debug)]
pub struct Kafka {
    node: Node,
    version: String,
    bootstrap: String,
    users: Option<Users>,
}

/// How to start a broker; see [`Kafka::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct KafkaBuilder {
    pub(crate) version: String,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) config: Vec<(String, String)>,
    pub(crate) heap: Option<String>,
    pub(crate) c2: bool,
    pub(crate) ready_within: Option<Duration>,
    users: Option<Vec<String>>,
}

impl Kafka {
    /// Starts a small broker of this version (3.9 to 4.4) and returns when it is ready for clients.
    pub async fn start(version: &str) -> Result<Self, LabError> {
        Self::builder(version).start().await
    }

    /// Starts with more of a say.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), trogdor_lab::LabError> {
    /// let kafka = trogdor_lab::Kafka::builder("4.3.1").c2(true).heap("1g").config("num.partitions", "10").start();
    /// println!("{}", kafka.await?.bootstrap());
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(version: &str) -> KafkaBuilder {
        KafkaBuilder {
            version: version.to_owned(),
            directory: None,
            config: Vec::new(),
            heap: None,
            c2: false,
            ready_within: None,
            users: None,
        }
    }

    /// `127.0.0.1:PORT`, for `bootstrap.servers`. It stays the same over restarts.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// How a client logs in as one of the users of a [secured](KafkaBuilder::secured) broker.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), trogdor_lab::LabError> {
    /// use trogdor_lab::{Kafka, Login, Operation, Resource};
    ///
    /// let kafka = Kafka::builder("4.3.1").secured(["alice"]).start().await?;
    /// let access = kafka.access(Login::TlsScram512, "alice")?;
    /// println!("{} {:?}", access.bootstrap, access.properties);
    /// kafka.allow("alice", Resource::Topic("foo"), &[Operation::Create, Operation::Write]).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The broker is not secured, or has no such user.
    pub fn access(&self, login: Login, user: &str) -> Result<Access, LabError> {
        let secured = self.users.as_ref().zip(self.node.secured_ports());
        let (users, ports) = secured.ok_or(LabError::NotSecured)?;
        users.access(self.directory(), ports, login, user)
    }

    /// Allows a user of a secured broker to do something. At its start nobody may do anything. Returns once the
    /// broker heeds it.
    ///
    /// # Errors
    /// The broker is not secured, or does not answer.
    pub async fn allow(
        &self,
        user: &str,
        on: Resource<'_>,
        operations: &[Operation],
    ) -> Result<(), LabError> {
        self.entries(user, on)?.add(operations, Decision::Allow).await
    }

    /// Forbids a user of a secured broker something, whatever else allows it. Returns once the broker heeds it.
    ///
    /// # Errors
    /// As for [`allow`](Self::allow).
    pub async fn deny(&self, user: &str, on: Resource<'_>, operations: &[Operation]) -> Result<(), LabError> {
        self.entries(user, on)?.add(operations, Decision::Deny).await
    }

    /// Takes back everything that was allowed or forbidden to a user by this resource's name. Returns once the broker
    /// heeds it.
    ///
    /// # Errors
    /// As for [`allow`](Self::allow).
    pub async fn revoke(&self, user: &str, on: Resource<'_>) -> Result<(), LabError> {
        self.entries(user, on)?.remove().await
    }

    fn entries<'a>(&self, user: &'a str, on: Resource<'a>) -> Result<Entries<'a>, LabError> {
        match self.users {
            Some(_) => Ok(Entries { port: self.port(), user, on }),
            None => Err(LabError::NotSecured),
        }
    }

    /// The version that was asked for.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The port of [`bootstrap`](Self::bootstrap).
    pub fn port(&self) -> u16 {
        self.node.port()
    }

    /// The process id of the JVM; `None` when it was stopped by [`kill`](Self::kill).
    pub fn pid(&self) -> Option<u32> {
        self.node.jvm.pid()
    }

    /// Whether the process exists (a paused one does).
    pub fn is_running(&self) -> bool {
        self.node.jvm.is_running()
    }

    /// The directory of this broker, which goes when the broker goes. Its log directory is `data` inside.
    pub fn directory(&self) -> &Path {
        self.node.jvm.directory()
    }

    /// The last `lines` of what the broker logged (warnings and errors).
    pub fn log_tail(&self, lines: usize) -> String {
        self.node.jvm.log_tail(lines)
    }

    /// Memory and CPU time of the process.
    pub fn usage(&self) -> Result<Usage, LabError> {
        self.node.jvm.usage()
    }

    /// Stops for good: SIGTERM, ten seconds, SIGKILL; then the directory is removed.
    pub async fn stop(mut self) -> Result<Stopped, LabError> {
        self.node.jvm.stop(GRACE).await
    }

    /// Kills the broker with SIGKILL and returns when the process is gone. The directory stays for
    /// [`restart`](Self::restart).
    pub async fn kill(&mut self) -> Result<(), LabError> {
        self.node.jvm.kill().await
    }

    /// Freezes the process with SIGSTOP and returns when all its threads stand still.
    pub async fn pause(&self) -> Result<(), LabError> {
        self.node.jvm.pause().await
    }

    /// Thaws a frozen process.
    pub async fn resume(&self) -> Result<(), LabError> {
        self.node.jvm.resume().await
    }

    /// Stops the broker if it runs, as [`stop`](Self::stop) does, and starts it again on the same directory and
    /// port. After a kill this takes some 10 s more than after a stop, because the old registration must expire
    /// first; the configuration `broker.session.timeout.ms` shortens that.
    pub async fn restart(&mut self) -> Result<(), LabError> {
        self.node.jvm.stop(GRACE).await?;
        self.node.launch().await
    }
}

impl KafkaBuilder {
    /// Sets a key of the broker's configuration. Listeners, roles and directories belong to the lab.
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.push((key.into(), value.into()));
        self
    }

    /// The largest heap, as in `-Xmx`; default `128m`, with [`c2`](Self::c2) `512m`.
    pub fn heap(mut self, heap: impl Into<String>) -> Self {
        self.heap = Some(heap.into());
        self
    }

    /// Keeps the JVM's optimizing compiler. For performance runs: the start takes longer, the run is faster.
    pub fn c2(mut self, c2: bool) -> Self {
        self.c2 = c2;
        self
    }

    /// Uses an unpacked Kafka (a folder with `libs/`) of the same version in place of Maven. It wins over
    /// `TROGDOR_KAFKA_DIR`, which is heeded only for the version it holds.
    pub fn distribution(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// A broker with logins: besides the plain listener, through which [`Kafka::bootstrap`] may do everything, it has
    /// listeners for each [`Login`], certificates made for it, and these users, of whom none may do anything yet.
    /// [`Kafka::access`] tells clients how to log in, [`Kafka::allow`] lets users do something.
    pub fn secured(mut self, users: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.users = Some(users.into_iter().map(Into::into).collect());
        self
    }

    /// So many brokers, each in a network namespace of its own, in place of one on loopback. Needs root. Logins are
    /// for single brokers.
    pub fn in_namespaces(self, nodes: u8) -> ClusterBuilder {
        ClusterBuilder::new(self, nodes)
    }

    /// How long the broker may take to be ready; default 30 s.
    pub fn ready_within(mut self, limit: Duration) -> Self {
        self.ready_within = Some(limit);
        self
    }

    /// Starts the broker and returns when it is ready for clients. The first start of a version fetches the jars and
    /// takes some 20 s longer.
    pub async fn start(self) -> Result<Kafka, LabError> {
        let users = self.users.map(Users::new).transpose()?;
        let distribution = Distribution::obtain(&self.version, self.directory.as_deref()).await?;
        let usual = Plan::new(&distribution);
        let default_heap = if self.c2 { "512m".to_owned() } else { usual.heap.clone() };
        let plan = Plan {
            config: self.config,
            heap: self.heap.unwrap_or(default_heap),
            c2: self.c2,
            users: users.clone(),
            ready_within: self.ready_within.unwrap_or(usual.ready_within),
            ..usual
        };
        let node = Node::start(plan).await?;
        let bootstrap = format!("127.0.0.1:{}", node.port());
        Ok(Kafka { node, version: self.version, bootstrap, users })
    }
}
