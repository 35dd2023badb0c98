//! One broker process: its files, its ports, its start, and the wait until it answers. The only node of a cluster, on
//! loopback, or one of several, each in a network namespace. What depends on its place (addresses, voters) stands in
//! `properties.rs`.

use std::{ffi::OsString, net::SocketAddrV4, sync::Arc, time::Duration};

use crate::{
    distribution::{self, Distribution},
    error::LabError,
    java::{ARCHIVE, Archive, Program},
    jvm::Jvm,
    namespace::Namespace,
    ports::{free_port, random},
    probe::{self, Cluster, Door},
    properties::{self, Ports, Seat},
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
    /// Where it is one of several; `None` for the only node of a cluster, on loopback.
    pub(crate) place: Option<Place>,
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
            place: None,
            archive: None,
            ready_within: Duration::from_secs(30),
        }
    }
}

/// The place of a node among others.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) namespace: Arc<Namespace>,
    pub(crate) seat: Seat,
    pub(crate) cluster_id: String,
}

/// A started broker.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) jvm: Jvm,
    ports: Ports,
    door: Door,
    cluster: Cluster,
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
        self.wait_ready().await
    }

    /// Waits until a process that was started is ready.
    pub(crate) async fn wait_ready(&mut self) -> Result<(), LabError> {
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

    /// Where clients reach it.
    pub(crate) fn door(&self) -> &Door {
        &self.door
    }

    pub(crate) fn into_jvm(self) -> Jvm {
        self.jvm
    }

    /// A node in a fresh directory, not yet started.
    pub(crate) async fn prepare(plan: &Plan<'_>) -> Result<Self, LabError> {
        let distribution = plan.distribution;
        let scratch = Scratch::create("kafka").await?;
        let directory = scratch.path();
        let (seat, id, namespace) = match &plan.place {
            Some(place) => (place.seat.clone(), place.cluster_id.clone(), Some(place.namespace.clone())),
            None => (Seat::alone(free_ports(plan.users.is_some())?), random_cluster_id(), None),
        };
        let (mut config, mut formatted) = (Vec::new(), distribution.formatted());
        if let Some(users) = &plan.users {
            users.write_certificates(directory)?;
            config = users.config(directory);
            formatted = distribution.formatted_with(users).await?;
        }
        config.extend(plan.config.iter().cloned());
        properties::write(directory, &seat, &config)?;
        properties::format(directory, seat.id, &id, &formatted)?;
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
        // After the options, whose places counted from the program.
        let entry = namespace.iter().flat_map(|namespace| namespace.entry()).map(OsString::from);
        command.splice(0..0, entry);
        let address = SocketAddrV4::new(seat.address, seat.ports.data);
        let what = format!("kafka {} on {address}", distribution.version);
        let jvm = Jvm::prepare(what, scratch, &command, ["log", "log"])?;
        let cluster = Cluster { id, brokers: seat.voters.len() as i32 };
        let door = Door { address, namespace };
        Ok(Self { jvm, ports: seat.ports, door, cluster, ready_within: plan.ready_within })
    }

    /// Ready is: it answers on its port, as the cluster we made, and lists all of it.
    async fn ready(&mut self) -> Result<(), LabError> {
        loop {
            if !self.jvm.is_running() {
                return Err(self.jvm.died().await);
            }
            match probe::kafka(&self.door).await {
                Ok(cluster) if cluster == self.cluster => return Ok(()),
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
