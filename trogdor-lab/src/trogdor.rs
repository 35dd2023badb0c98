//! The Java original of Trogdor, for tests in which ours and theirs talk to each other. The platform files are the
//! test's; pick ports for them with [`free_port`](crate::free_port).

use std::{
    ffi::OsString,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    time::Duration,
};

use crate::{
    cache::{Cache, Entry},
    distribution,
    error::{LabError, Trying},
    java::{ARCHIVE, Archive, Java, Program},
    jvm::{Jvm, Stopped},
    maven::{self, Artefact},
    ports::free_port,
    probe,
    scratch::Scratch,
    stat::Usage,
    tool::{self, JavaOutput},
    training,
    wait::pause,
};

/// The release we compare ourselves with.
const VERSION: &str = "4.3.1";
/// The platform file of the training run, in the cache.
const PLATFORM: &str = "platform.json";
/// As in Kafka's `kafka-run-class.sh`.
const HEAP: &str = "256m";
const READY_LIMIT: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(3);
const CLIENT_LIMIT: Duration = Duration::from_secs(60);

/// The Java Trogdor, ready to start.
#[derive(Clone, Debug)]
pub struct JavaTrogdor {
    java: Java,
    class_path: String,
    entry: Entry,
    heap: String,
    c2: bool,
}

/// A Java agent or coordinator. Dropping it kills it.
#[derive(Debug)]
pub struct JavaDaemon {
    jvm: Jvm,
    port: u16,
}

/// The two daemons.
#[derive(Clone, Copy)]
enum Role {
    Agent,
    Coordinator,
}

impl JavaTrogdor {
    /// Fetches the jars, once, and trains the JVM for fast starts.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), trogdor_lab::LabError> {
    /// use trogdor_lab::{JavaTrogdor, free_port};
    /// let (trogdor, port) = (JavaTrogdor::fetch().await?, free_port()?);
    /// // ... write "platform.json" with this port ...
    /// let coordinator = trogdor.coordinator("platform.json".as_ref(), "node0", port).await?;
    /// let output = trogdor.client(["uptime", "-t", &format!("localhost:{port}")]).await?;
    /// println!("{}", output.stdout);
    /// coordinator.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn fetch() -> Result<Self, LabError> {
        let cache = Cache::open()?;
        let java = Java::find().await?;
        let artefact = Artefact { name: "trogdor", version: VERSION };
        let (class_path, entry) = maven::class_path(&cache, &java, artefact).await?;
        let trogdor = Self { java, class_path, entry, heap: HEAP.to_owned(), c2: false };
        trogdor.train(&cache).await?;
        Ok(trogdor)
    }

    /// Sets `-Xmx` of what is started from now on. Unless told otherwise 256m, as in Kafka's scripts.
    pub fn heap(mut self, heap: impl Into<String>) -> Self {
        self.heap = heap.into();
        self
    }

    /// Whether what is started from now on has the slow, thorough compiler: on for measurements, off for a quick
    /// start unless told otherwise.
    pub fn c2(mut self, c2: bool) -> Self {
        self.c2 = c2;
        self
    }

    /// Starts the agent of `node` and returns when it answers on `port`, which the platform file must name.
    pub async fn agent(&self, config: &Path, node: &str, port: u16) -> Result<JavaDaemon, LabError> {
        self.daemon(Role::Agent, config, node, port).await
    }

    /// Starts the coordinator of `node` and returns when it answers on `port`, which the platform file must name.
    pub async fn coordinator(&self, config: &Path, node: &str, port: u16) -> Result<JavaDaemon, LabError> {
        self.daemon(Role::Coordinator, config, node, port).await
    }

    /// Runs `trogdor client ARGS` to its end, for a minute at most.
    pub async fn client(
        &self,
        args: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Result<JavaOutput, LabError> {
        self.run("org.apache.kafka.trogdor.coordinator.CoordinatorClient", args).await
    }

    /// Runs `trogdor agent-client ARGS` to its end, for a minute at most.
    pub async fn agent_client(
        &self,
        args: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Result<JavaOutput, LabError> {
        self.run("org.apache.kafka.trogdor.agent.AgentClient", args).await
    }

    async fn run(
        &self,
        main_class: &str,
        args: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Result<JavaOutput, LabError> {
        let archive = self.entry.path(ARCHIVE);
        let args = args.into_iter().map(Into::into).collect();
        let program = self.program(main_class, args, distribution::archive(&archive));
        tool::run(&self.java, &program, CLIENT_LIMIT).await
    }

    async fn daemon(&self, role: Role, config: &Path, node: &str, port: u16) -> Result<JavaDaemon, LabError> {
        let archive = self.entry.path(ARCHIVE);
        self.start(role, config, node, port, distribution::archive(&archive)).await
    }

    async fn start(
        &self,
        role: Role,
        config: &Path,
        node: &str,
        port: u16,
        archive: Archive<'_>,
    ) -> Result<JavaDaemon, LabError> {
        // The Java daemons live on without a server when the port is taken, and somebody else would answer us.
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(drop).trying(|| format!("use port {port}"))?;
        let config = config.canonicalize().trying(|| format!("find `{}`", config.display()))?;
        let scratch = Scratch::create("trogdor").await?;
        let args = vec![role.config_flag().into(), config.into(), "--node-name".into(), node.into()];
        let command = self.java.command(&self.program(role.main_class(), args, archive), scratch.path());
        let what = format!("the java {} of {node} on port {port}", role.name());
        let mut jvm = Jvm::prepare(what, scratch, &command, ["log", "log"])?;
        jvm.start().await?;
        let mut daemon = JavaDaemon { jvm, port };
        match tokio::time::timeout(READY_LIMIT, daemon.ready(role.status_path())).await {
            Ok(ready) => ready.map(|()| daemon),
            Err(_) => Err(daemon.jvm.not_ready(READY_LIMIT)),
        }
    }

    fn program<'a>(&'a self, main_class: &'a str, args: Vec<OsString>, archive: Archive<'a>) -> Program<'a> {
        Program { class_path: &self.class_path, main_class, args, heap: &self.heap, c2: self.c2, archive }
    }

    /// Writes the archive of loaded classes by running an agent once.
    async fn train(&self, cache: &Cache) -> Result<(), LabError> {
        let entry = &self.entry;
        let complete = || entry.path(ARCHIVE).exists();
        if complete() {
            return Ok(());
        }
        let _lock = cache.lock(entry).await?;
        if complete() {
            return Ok(());
        }
        tracing::info!("training the java trogdor for fast starts");
        let port = free_port()?;
        let platform = format!(
            r#"{{"platform": "org.apache.kafka.trogdor.basic.BasicPlatform",
                "nodes": {{"node0": {{"hostname": "localhost", "trogdor.agent.port": {port}}}}}}}"#
        );
        entry.write(PLATFORM, &platform)?;
        let config = entry.path(PLATFORM);
        let daemon = self.start(Role::Agent, &config, "node0", port, Archive::Train).await?;
        training::keep_archive(daemon.jvm, entry).await
    }
}

impl JavaDaemon {
    /// The port it answers on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the JVM; `None` when it was killed.
    pub fn pid(&self) -> Option<u32> {
        self.jvm.pid()
    }

    /// Whether the process exists.
    pub fn is_running(&self) -> bool {
        self.jvm.is_running()
    }

    /// The last `lines` of what it printed and logged.
    pub fn log_tail(&self, lines: usize) -> String {
        self.jvm.log_tail(lines)
    }

    /// Memory and CPU time of the process.
    pub fn usage(&self) -> Result<Usage, LabError> {
        self.jvm.usage()
    }

    /// Kills it with SIGKILL and returns when the process is gone.
    pub async fn kill(&mut self) -> Result<(), LabError> {
        self.jvm.kill().await
    }

    /// SIGTERM, three seconds, SIGKILL. Either end is normal: now and then the original waits in its shutdown
    /// hook for a web server (`Server.join`) that never ends.
    pub async fn stop(mut self) -> Result<Stopped, LabError> {
        self.jvm.stop(GRACE).await
    }

    async fn ready(&mut self, path: &str) -> Result<(), LabError> {
        loop {
            if !self.jvm.is_running() {
                return Err(self.jvm.died().await);
            }
            match probe::http(self.port, path).await {
                Ok(200) => return Ok(()),
                _ => pause().await,
            }
        }
    }
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Coordinator => "coordinator",
        }
    }

    fn main_class(self) -> &'static str {
        match self {
            Self::Agent => "org.apache.kafka.trogdor.agent.Agent",
            Self::Coordinator => "org.apache.kafka.trogdor.coordinator.Coordinator",
        }
    }

    fn config_flag(self) -> &'static str {
        match self {
            Self::Agent => "--agent.config",
            Self::Coordinator => "--coordinator.config",
        }
    }

    fn status_path(self) -> &'static str {
        match self {
            Self::Agent => "/agent/status",
            Self::Coordinator => "/coordinator/status",
        }
    }
}
