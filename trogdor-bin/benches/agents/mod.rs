//! Agents as processes, ours and the Java original's.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

use trogdor_bin::http::{AgentClient, ClientOptions};
use trogdor_lab::{JavaDaemon, JavaTrogdor, free_port};

use crate::daemons::{Cost, Daemon, Failure, platform};

/// Whose agent it is.
pub enum Maker {
    /// Ours.
    Ours,
    /// The Java original's.
    Java(JavaTrogdor),
}

/// A running agent; ends when dropped.
pub struct Agent {
    process: Process,
    /// How it is talked to.
    pub client: AgentClient,
    _folder: tempfile::TempDir,
}

enum Process {
    Ours(Daemon),
    Java(JavaDaemon),
}

impl Maker {
    /// What it is called in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Maker::Ours => "ours",
            Maker::Java(_) => "Java",
        }
    }

    /// Starts an agent on any port.
    pub async fn start(&self) -> Result<Agent, Failure> {
        let folder = tempfile::tempdir()?;
        let (process, port) = match self {
            Maker::Ours => {
                let agent = Daemon::start("agent", &platform(folder.path(), None, None)?).await?;
                let port = agent.port();
                (Process::Ours(agent), port)
            }
            Maker::Java(java) => {
                let port = free_port()?;
                let agent = java.agent(&platform(folder.path(), Some(port), None)?, "node0", port).await?;
                (Process::Java(agent), port)
            }
        };
        let client = AgentClient::new(&format!("127.0.0.1:{port}"), ClientOptions::default());
        Ok(Agent { process, client, _folder: folder })
    }
}

impl Agent {
    /// Whether it is ours.
    pub fn is_ours(&self) -> bool {
        matches!(self.process, Process::Ours(_))
    }

    /// What it costs.
    pub fn cost(&self) -> Result<Cost, Failure> {
        match &self.process {
            Process::Ours(daemon) => daemon.cost(),
            Process::Java(daemon) => Cost::of(daemon.pid().ok_or("the agent has ended")?),
        }
    }
}
