//! ShareRoundTrip: RoundTrip with a member of a share group in the place of the consumer. Its spec has exactly the
//! fields of [`RoundTripSpec`], and its worker is that of RoundTrip.

use serde::{Deserialize, Serialize};
use trogdor_core::json::Object;
use trogdor_core::{NodeName, Schedule, TaskClass, TaskController, TaskId, TaskSpec, Worker};

use crate::round_trip::{FIELDS, Reader, RoundTripSpec};

/// The class name of [`ShareRoundTripSpec`].
pub const SHARE_ROUND_TRIP: &str = "org.apache.kafka.trogdor.workload.ShareRoundTripWorkloadSpec";

pub(crate) const CLASS: TaskClass = TaskClass {
    class: SHARE_ROUND_TRIP,
    summary: "sends records, reads them back through a share group, and checks that none is lost, doubled or changed",
    example: r#"{
  "class": "org.apache.kafka.trogdor.workload.ShareRoundTripWorkloadSpec",
  "durationMs": 60000,
  "clientNode": "node0",
  "bootstrapServers": "localhost:9092",
  "targetMessagesPerSec": 1000,
  "maxMessages": 10000,
  "activeTopics": {"round_trip_topic[0-1]": {"numPartitions": 2, "replicationFactor": 1}}
}"#,
    fields: &TABLE,
};

static TABLE: Object = Object::new("ShareRoundTripWorkloadSpec", FIELDS);

/// What to send and read back through a share group, and how fast.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShareRoundTripSpec(
    /// All there is to say.
    pub RoundTripSpec,
);

#[typetag::serde(name = "org.apache.kafka.trogdor.workload.ShareRoundTripWorkloadSpec")]
impl TaskSpec for ShareRoundTripSpec {
    fn schedule(&self) -> Schedule {
        self.0.schedule()
    }

    fn controller(&self) -> Result<Box<dyn TaskController>, String> {
        self.0.controller()
    }

    fn worker(&self, _task: &TaskId) -> Result<Box<dyn Worker>, String> {
        Ok(self.0.worker_of(Reader::ShareGroup))
    }

    fn named_nodes(&self) -> Vec<NodeName> {
        self.0.named_nodes()
    }

    fn problems(&self) -> Vec<String> {
        self.0.problems_of(Reader::ShareGroup)
    }
}
