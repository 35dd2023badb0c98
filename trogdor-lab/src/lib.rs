//! Real Kafka brokers for tests, without Docker, and the Java Trogdor for interop tests.
//!
//! The jars come from Maven once and are cached outside the repository; after that a broker takes a produce about
//! a second after [`Kafka::start`]. Every JVM is the child of a small shell script that holds a pipe from the test
//! process: when the test process ends, however it ends, the script kills the JVM and removes its directory.
//!
//! This crate has no Kafka client. Use the one under test, or any other, with [`Kafka::bootstrap`]. It knows no
//! other crate of this workspace. Without root it starts one combined broker and controller on loopback, on request
//! with TLS, SASL and an authorizer ([`KafkaBuilder::secured`]); with root also several of them, each in a network
//! namespace of its own, which can be cut off from each other ([`KafkaBuilder::in_namespaces`]).
//!
//! ```no_run
//! # async fn example() -> Result<(), trogdor_lab::LabError> {
//! use trogdor_lab::Kafka;
//!
//! let kafka = Kafka::builder("4.3.1").config("auto.create.topics.enable", "true").start().await?;
//! println!("connect a client to {}", kafka.bootstrap());
//! kafka.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! | variable | meaning |
//! |---|---|
//! | `TROGDOR_LAB_CACHE` | where class paths and archives are kept; default `$XDG_CACHE_HOME/trogdor-lab` or `~/.cache/trogdor-lab` |
//! | `TROGDOR_KAFKA_DIR` | an unpacked Kafka (a folder with `libs/`), used in place of Maven for its own version |
//! | `JAVA_HOME` | whose `bin/java` to use; default: the `java` of the `PATH` |
//! | `TMPDIR` | where the brokers keep their data; a tmpfs is fine for small topics |

#[cfg(not(target_os = "linux"))]
compile_error!("trogdor-lab watches its processes through /proc and so needs Linux");

mod acls;
mod cache;
mod certificates;
mod cluster;
mod distribution;
mod error;
mod java;
mod jvm;
mod kafka;
mod maven;
mod namespace;
mod network;
mod node;
mod ports;
mod probe;
mod properties;
mod scratch;
mod security;
mod stalls;
mod stat;
mod tool;
mod training;
mod trogdor;
mod wait;
mod wire;

pub use acls::{Operation, Resource};
pub use certificates::{Authority, Identity};
pub use cluster::{ClusterBuilder, ClusterNode, KafkaCluster};
pub use error::LabError;
pub use jvm::Stopped;
pub use kafka::{Kafka, KafkaBuilder};
pub use namespace::Namespace;
pub use network::{Network, Partition};
pub use ports::free_port;
pub use probe::PartitionState;
pub use security::{Access, Login};
pub use stalls::{StallPlan, Stalls};
pub use stat::Usage;
pub use tool::{JavaOutput, JavaTool};
pub use trogdor::{JavaDaemon, JavaTrogdor};
pub use wait::wait_until;
