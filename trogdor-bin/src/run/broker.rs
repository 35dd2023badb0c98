//! Where the tasks of a run go: the cluster that the user names, a real broker that is started for
//! the run, the clusters that the specs name themselves, or, with none of them, the embedded one.

use std::sync::Arc;

use trogdor_core::Extensions;
use trogdor_lab::Kafka;
use trogdor_workloads::EmbeddedBroker;

use super::RunArgs;
use super::plan::Plan;

/// The broker of a run.
pub(super) enum Broker {
    /// Each spec's own.
    OfTheSpecs,
    /// The user's.
    Named(String),
    /// Started for the run.
    Started(Box<Kafka>),
    /// librdkafka's mock cluster.
    Embedded(Arc<EmbeddedBroker>),
}

impl Broker {
    /// Finds one, and starts it if need be.
    pub(super) async fn find(args: &RunArgs, plan: &Plan) -> Result<Broker, String> {
        match (&args.bootstrap, &args.kafka) {
            (Some(bootstrap), _) => Ok(Broker::Named(bootstrap.clone())),
            (None, Some(version)) => {
                let kafka = Kafka::start(version).await.map_err(|error| error.to_string())?;
                Ok(Broker::Started(Box::new(kafka)))
            }
            (None, None) if plan.names_its_clusters() => Ok(Broker::OfTheSpecs),
            (None, None) => EmbeddedBroker::start().map(|broker| Broker::Embedded(Arc::new(broker))),
        }
    }

    /// What goes into the specs; `None` leaves their own.
    pub(super) fn bootstrap(&self) -> Option<&str> {
        match self {
            Broker::OfTheSpecs => None,
            Broker::Named(bootstrap) => Some(bootstrap),
            Broker::Started(kafka) => Some(kafka.bootstrap()),
            Broker::Embedded(broker) => Some(broker.bootstrap()),
        }
    }

    pub(super) fn is_embedded(&self) -> bool {
        matches!(self, Broker::Embedded(_))
    }

    /// Lends workers what they need to know of it.
    pub(super) fn lend(&self, extensions: Extensions) -> Extensions {
        match self {
            Broker::Embedded(broker) => extensions.with(broker.clone()),
            _ => extensions,
        }
    }

    /// What it is, in a line.
    pub(super) fn describe(&self) -> String {
        match self {
            Broker::OfTheSpecs => "the specs' own bootstrapServers".to_owned(),
            Broker::Named(bootstrap) => bootstrap.clone(),
            Broker::Started(kafka) => {
                format!("Apache Kafka {} at {}, started for this run", kafka.version(), kafka.bootstrap())
            }
            Broker::Embedded(_) => {
                "embedded (librdkafka's mock cluster, not Apache Kafka; it keeps the last \
                5 MiB of a partition; use --kafka or --bootstrap for a real one)"
                    .to_owned()
            }
        }
    }

    /// Ends what was started for the run.
    pub(super) async fn stop(self) {
        if let Broker::Started(kafka) = self
            && let Err(error) = kafka.stop().await
        {
            tracing::warn!(%error, "the broker did not stop in order");
        }
    }
}
