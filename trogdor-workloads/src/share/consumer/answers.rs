//! What answers change: who leads what, what is assigned, what was lent, what became of verdicts.

use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::share_fetch_response::PartitionData;
use kafka_protocol::messages::{
    FindCoordinatorResponse, MetadataResponse, ShareAcknowledgeResponse, ShareFetchResponse,
    ShareGroupHeartbeatResponse,
};

use super::super::acknowledgements::Told;
use super::super::cluster::host_port;
use super::super::delivery::Delivery;
use super::super::failure::Failure;
use super::super::lines::{Call, Event};
use super::super::membership::Beat;
use super::super::records::Records;
use super::super::session::{Fate, Fates, Partition, Session};
use super::{End, Outcome, ShareConsumer};
use crate::client_config::HostPort;

/// How long a topic that was there may be missing.
const GONE_LIMIT: Duration = Duration::from_secs(5);

impl ShareConsumer {
    pub(super) fn happened(&mut self, event: Event) -> Result<(), Failure> {
        let now_ns = self.now_ns();
        self.lost_contact = event.is_lost().unwrap_or(self.lost_contact);
        match event {
            Event::Metadata(call) => self.heard_metadata(call, now_ns),
            Event::Coordinator(call) => self.heard_coordinator(call, now_ns),
            Event::Heartbeat { sent_ns, call } => self.heard_heartbeat(call, sent_ns, now_ns),
            Event::Left(call) => {
                self.coordinator_line.end(None);
                call.answer.map(drop)
            }
            Event::Fetched { leader, sent_ns, call } => self.fetched(leader, call, sent_ns, now_ns),
            Event::Acknowledged { leader, last, call } => self.acknowledged(leader, last, call, now_ns),
            Event::Aborted => Ok(()),
        }
    }

    /// Notes what passes, and passes on what does not.
    fn trouble_with(&mut self, failure: Failure) -> Result<(), Failure> {
        if let Failure::Final(_) = failure {
            return Err(failure);
        }
        let text = failure.to_string();
        if self.trouble.as_ref() != Some(&text) {
            tracing::warn!(client = self.settings.client_id, "the share consumer goes on: {text}");
            self.trouble = Some(text);
        }
        Ok(())
    }

    fn heard_metadata(&mut self, call: Call<MetadataResponse>, now_ns: u64) -> Result<(), Failure> {
        self.any.end(call.connection);
        match call.answer {
            Err(failure) => self.any_failed(failure, now_ns),
            Ok(answer) => {
                self.any.succeeded();
                self.cluster.learn(answer)?;
                self.metadata_ns = Some(now_ns);
                self.metadata_stale = false;
                // If it turns out to be of no help, the next question waits.
                self.metadata_backoff.failed(now_ns);
                self.miss_topics(now_ns)
            }
        }
    }

    /// A topic that is missing for a while was deleted; a broker that has just come back may not know it yet.
    fn miss_topics(&mut self, now_ns: u64) -> Result<(), Failure> {
        let Some(gone) = self.cluster.gone() else {
            self.gone_since_ns = None;
            return Ok(());
        };
        self.metadata_stale = true;
        let since_ns = *self.gone_since_ns.get_or_insert(now_ns);
        if Duration::from_nanos(now_ns - since_ns) < GONE_LIMIT {
            return Ok(());
        }
        Err(Failure::Final(format!("topic {gone:?} is not there any more: UnknownTopicOrPartition")))
    }

    fn any_failed(&mut self, failure: Failure, now_ns: u64) -> Result<(), Failure> {
        self.any.hang_up();
        self.any.failed(now_ns);
        self.any_turn = self.any_turn.wrapping_add(1);
        self.trouble_with(failure)
    }

    fn heard_coordinator(&mut self, call: Call<FindCoordinatorResponse>, now_ns: u64) -> Result<(), Failure> {
        self.any.end(call.connection);
        match call.answer.and_then(coordinator) {
            Err(failure) => self.any_failed(failure.context("looking for the group's coordinator"), now_ns),
            Ok(server) => {
                self.any.succeeded();
                self.coordinator_line.hang_up();
                self.coordinator = Some(server);
                Ok(())
            }
        }
    }

    fn heard_heartbeat(
        &mut self,
        call: Call<ShareGroupHeartbeatResponse>,
        sent_ns: u64,
        now_ns: u64,
    ) -> Result<(), Failure> {
        self.coordinator_line.end(call.connection);
        // Other partitions are most often news of topics too.
        self.metadata_stale |= call.answer.as_ref().is_ok_and(|answer| answer.assignment.is_some());
        let beat = match call.answer {
            Ok(answer) => self.membership.heard(answer)?,
            Err(Failure::Passing(text)) => Beat::Moved(text),
            Err(failure) => return Err(failure),
        };
        let (why, moved) = match beat {
            Beat::Heard => {
                self.coordinator_line.succeeded();
                self.heartbeat_due_ns = sent_ns + self.membership.interval().as_nanos() as u64;
                return Ok(());
            }
            Beat::Rejoin(why) => {
                self.heartbeat_due_ns = now_ns;
                (why, false)
            }
            Beat::Moved(why) => (why, true),
            Beat::Later(why) => (why, false),
        };
        self.coordinator_line.failed(now_ns);
        if moved {
            self.coordinator_line.hang_up();
            self.coordinator = None;
        }
        self.trouble_with(Failure::Passing(why).context("the group's coordinator"))
    }

    fn fetched(
        &mut self,
        id: i32,
        call: Call<ShareFetchResponse>,
        sent_ns: u64,
        now_ns: u64,
    ) -> Result<(), Failure> {
        let answer = call.answer.and_then(|answer| {
            let refused = ResponseError::try_from_code(answer.error_code);
            let words = answer.error_message.as_deref();
            match refused {
                None => Ok(answer),
                Some(_) => Err(Failure::of_code(answer.error_code, words)),
            }
        });
        let refused = call.connection.is_some();
        let Some(leader) = self.leaders.get_mut(&id) else { return Ok(()) };
        leader.line.end(call.connection);
        let answer = match answer {
            Ok(answer) => answer,
            Err(failure) => return self.leader_failed(id, refused, failure, now_ns),
        };
        let fates = leader.session.fetched(&answer);
        self.note(fates);
        if answer.acquisition_lock_timeout_ms > 0 {
            self.lock = Duration::from_millis(answer.acquisition_lock_timeout_ms.unsigned_abs().into());
        }
        for node in &answer.node_endpoints {
            self.cluster.add_broker(node.node_id.0, &node.host, node.port);
        }
        let locked_until_ns = sent_ns + self.lock.as_nanos() as u64;
        let mut all_fine = true;
        for topic in answer.responses {
            for partition in topic.partitions {
                let of = (topic.topic_id, partition.partition_index);
                all_fine &= self.fetched_partition(of, id, partition, locked_until_ns)?;
            }
        }
        if let Some(leader) = self.leaders.get_mut(&id) {
            match all_fine {
                true => leader.line.succeeded(),
                false => leader.line.failed(now_ns),
            }
        }
        if all_fine {
            self.metadata_backoff.succeeded();
            self.trouble = None;
        }
        Ok(())
    }

    /// Takes the records of a partition; false if the broker does not lend from it now.
    fn fetched_partition(
        &mut self,
        of: Partition,
        id: i32,
        data: PartitionData,
        locked_until_ns: u64,
    ) -> Result<bool, Failure> {
        let name = self.cluster.topic(of.0).cloned().unwrap_or_else(|| of.0.to_string().into());
        if let Some(error) = ResponseError::try_from_code(data.error_code) {
            let leads = &data.current_leader;
            let moved = self.cluster.moved(of, leads.leader_id, leads.leader_epoch);
            self.metadata_stale |= !moved;
            let failure = Failure::of_code(data.error_code, data.error_message.as_deref());
            let failure = match (error, failure) {
                // It may have been deleted, or moved away, just now.
                (ResponseError::UnknownTopicOrPartition | ResponseError::UnknownTopicId, failure) => {
                    Failure::Passing(failure.to_string())
                }
                (_, failure) => failure,
            };
            return self.trouble_with(failure.context(format_args!("{name}-{}", of.1))).map(|()| false);
        }
        if !data.acquired_records.is_empty() {
            let records = Records::new(data.records.unwrap_or_default(), self.settings.check_crcs);
            let acquired = &data.acquired_records;
            self.deliveries.push_back(Delivery::new(of, id, name, records, acquired, locked_until_ns));
        }
        Ok(true)
    }

    fn acknowledged(
        &mut self,
        id: i32,
        last: bool,
        call: Call<ShareAcknowledgeResponse>,
        now_ns: u64,
    ) -> Result<(), Failure> {
        let answer = call.answer.and_then(|answer| match answer.error_code {
            0 => Ok(answer),
            code => Err(Failure::of_code(code, answer.error_message.as_deref())),
        });
        let refused = call.connection.is_some();
        let Some(leader) = self.leaders.get_mut(&id) else { return Ok(()) };
        leader.line.end(call.connection);
        match answer {
            Err(failure) => self.leader_failed(id, refused, failure, now_ns),
            Ok(answer) => {
                leader.line.succeeded();
                let fates = leader.session.acknowledged(&answer);
                self.note(fates);
                if last {
                    self.session_ended(id, |session| session.lost("the session was closed"));
                }
                Ok(())
            }
        }
    }

    /// A request to a leader came to nothing: refused by the broker, or lost on the way.
    fn leader_failed(
        &mut self,
        id: i32,
        refused: bool,
        failure: Failure,
        now_ns: u64,
    ) -> Result<(), Failure> {
        let failure = match self.cluster.broker(id).filter(|_| refused) {
            Some(server) => failure.context(format_args!("broker {server}")),
            None => failure,
        };
        let why = failure.to_string();
        self.session_ended(id, |session| if refused { session.refused(&why) } else { session.lost(&why) });
        if let Some(leader) = self.leaders.get_mut(&id) {
            leader.line.failed(now_ns);
        }
        self.metadata_stale = true;
        self.trouble_with(failure)
    }

    /// What a broker had lent is lent no more.
    pub(super) fn session_ended(&mut self, id: i32, end: impl FnOnce(&mut Session) -> Fates) {
        let Some(leader) = self.leaders.get_mut(&id) else { return };
        leader.waiting_since_ns = None;
        let fates = end(&mut leader.session);
        self.deliveries.retain(|delivery| delivery.leader != id);
        self.note(fates);
    }

    pub(super) fn note(&mut self, fates: Fates) {
        for (partition, runs, fate) in fates {
            let Some(topic) = self.cluster.topic(partition.0) else { continue };
            let end = match &fate {
                Fate::Done => End::Done,
                Fate::Refused(why) => {
                    tracing::debug!(%topic, partition = partition.1, "acknowledgements were refused: {why}");
                    End::Refused
                }
                Fate::Unknown => End::Unknown,
            };
            for run in runs.iter() {
                if let Told::Verdict(verdict) = run.told {
                    self.outcomes.push(Outcome {
                        topic: topic.clone(),
                        partition: partition.1,
                        first: run.first,
                        last: run.last,
                        verdict,
                        end,
                    });
                }
            }
        }
    }
}

/// The coordinator in an answer.
pub(in crate::share) fn coordinator(answer: FindCoordinatorResponse) -> Result<HostPort, Failure> {
    let Some(found) = answer.coordinators.first() else {
        return Err(Failure::Passing("none was named".to_owned()));
    };
    if found.error_code != 0 {
        return Err(Failure::of_code(found.error_code, found.error_message.as_deref()));
    }
    host_port(&found.host, found.port).ok_or_else(|| Failure::Passing("none was named".to_owned()))
}
