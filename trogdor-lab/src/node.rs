//! One broker process: its files, its ports, its start, and the wait until it answers. Today the only node of a
//! cluster, on loopback. Everything that depends on the place (addresses, voters) stands in `properties.rs`, so that
//! nodes in network namespaces can be added without touching the start.

use std::{ffi::OsString, time::Duration};

use crate::{
    distribution::{self, Distribution},
    error::LabError,
    java::{ARCHIVE, Archive, Program},
    jvm::Jvm,
    ports::{free_port, random},
    probe,
    properties::{self, Ports},
    scratch::Scratch,
    security::{SecuredPorts, Users},
    wait::pause,
};

/// How often a start is tried when somebody else took a port meanwhile.
const ATTEMPTS: u32 = 5;

/// How to start a node.
#[derive(Clone, Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) distribution: &'a Distribution,
    pub(crate) config: Vec<(String, String)>,
    pub(crate) heap: String,
    pub(crate) c2: bool,
    /// Who may log in; `None` for a broker without logins.
    pub(crate) users: Option<Users>,
    /// `None`: the archive of the distribution.
    pub(crate) archive: Option<Archive<'a>>,
    pub(crate) ready_within: Duration,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(distribution: &'a Distribution) -> Self {
        Self {
            distribution,
            config: Vec::new(),
            heap: "128m".to_owned(),
            c2: false,
            users: None,
            archive: None,
            ready_within: Duration::from_secs(30),
        }
    }
}

/// A started broker.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) jvm: Jvm,
    ports: Ports,
    cluster_id: String,
    ready_within: Duration,
}

impl Node {
    /// Starts a node in a fresh directory and returns when it is ready.
    pub(crate) async fn start(plan: Plan<'_>) -> Result<Self, LabError> {
        properties::check(&plan.config)?;
        let mut attempt = 1;
        loop {
            let mut node = Self::prepare(&plan).await?;
            match node.launch().await {
                Ok(()) => return Ok(node),
                Err(error) if attempt == ATTEMPTS || !node.lost_a_port() => return Err(error),
                Err(_) => attempt += 1,
            }
        }
    }

    /// Starts the process, which must not run, in the same directory on the same ports, and waits until it is ready.
    pub(crate) async fn launch(&mut self) -> Result<(), LabError> {
        self.jvm.start().await?;
        match tokio::time::timeout(self.ready_within, self.ready()).await {
            Ok(ready) => ready,
            Err(_) => Err(self.jvm.not_ready(self.ready_within)),
        }
    }

    pub(crate) fn secured_ports(&self) -> Option<SecuredPorts> {
        self.ports.secured
    }

    pub(crate) fn port(&self) -> u16 {
        self.ports.data
    }

    pub(crate) fn into_jvm(self) -> Jvm {
        self.jvm
    }

    async fn prepare(plan: &Plan<'_>) -> Result<Self, LabError> {
        let distribution = plan.distribution;
        let scratch = Scratch::create("kafka").await?;
        let directory = scratch.path();
        let ports = free_ports(plan.users.is_some())?;
        let cluster_id = random_cluster_id();
        let (mut config, mut formatted) = (Vec::new(), distribution.formatted());
        if let Some(users) = &plan.users {
            users.write_certificates(directory)?;
            config = users.config(directory);
            formatted = distribution.formatted_with(users).await?;
        }
        config.extend(plan.config.iter().cloned());
        properties::write(directory, ports, &config)?;
        properties::format(directory, &cluster_id, &formatted)?;
        let archive = distribution.entry.path(ARCHIVE);
        let program = Program {
            class_path: &distribution.class_path,
            main_class: "kafka.Kafka",
            args: vec![directory.join(properties::FILE).into()],
            heap: &plan.heap,
            c2: plan.c2,
            archive: plan.archive.unwrap_or_else(|| distribution::archive(&archive)),
        };
        let mut command = distribution.java.command(&program, directory);
        // Only an unpacked Kafka has these loggers on its class path; the others do not look.
        let loggers =
            [("log4j.configuration", properties::LOG4J), ("log4j2.configurationFile", properties::LOG4J2)];
        command.splice(
            1..1,
            loggers.map(|(key, file)| {
                OsString::from(format!("-D{key}=file:{}", directory.join(file).display()))
            }),
        );
        let what = format!("kafka {} on port {}", distribution.version, ports.data);
        let jvm = Jvm::prepare(what, scratch, &command, ["log", "log"])?;
        Ok(Self { jvm, ports, cluster_id, ready_within: plan.ready_within })
    }

    /// Ready is: it answers on its port, as the cluster we made, and lists itself.
    async fn ready(&mut self) -> Result<(), LabError> {
        loop {
            if !self.jvm.is_running() {
                return Err(self.jvm.died().await);
            }
            match probe::kafka(self.ports.data).await {
                Ok(cluster) if cluster.id == self.cluster_id && cluster.brokers == 1 => return Ok(()),
                _ => pause().await,
            }
        }
    }

    fn lost_a_port(&self) -> bool {
        !self.jvm.is_running() && self.jvm.log_tail(usize::MAX).contains("Address already in use")
    }
}

/// All different.
fn free_ports(secured: bool) -> Result<Ports, LabError> {
    let mut taken = Vec::new();
    let mut next = || loop {
        let port = free_port()?;
        if !taken.contains(&port) {
            taken.push(port);
            return Ok::<_, LabError>(port);
        }
    };
    let mut with_logins =
        || Ok::<_, LabError>(SecuredPorts { sasl_plaintext: next()?, sasl_ssl: next()?, ssl: next()? });
    let secured = secured.then(&mut with_logins).transpose()?;
    Ok(Ports { data: next()?, controller: next()?, secured })
}

/// Of the form that Kafka's own tools make: 16 bytes in base64, which here are always letters and digits.
pub(crate) fn random_cluster_id() -> String {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let digit = |number: u64| char::from(digits[(number % digits.len() as u64) as usize]);
    // The last digit carries two bits only.
    (0..21).map(|_| digit(random())).chain(['A']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_ids_differ() {
        let (one, other) = (random_cluster_id(), random_cluster_id());
        assert_eq!(one.len(), 22);
        assert_ne!(one, other);
    }
}
