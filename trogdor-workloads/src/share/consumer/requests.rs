//! What a member asks for, and when: metadata, its coordinator, heartbeats, records, acknowledgements, its leave.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::{AbortHandle, AbortRegistration, Abortable};
use kafka_protocol::messages::FindCoordinatorRequest;

use super::super::cluster::Cluster;
use super::super::lines::{Event, Line, call};
use super::super::session::{FetchLimits, Partition, Session};
use super::{Leader, ShareConsumer};
use crate::client_config::HostPort;

/// FindCoordinator: the key is that of a group.
const OF_GROUP: i8 = 0;

/// How long a verdict waits for a fetch to carry it.
const TELL_WITHIN: Duration = Duration::from_secs(1);

impl ShareConsumer {
    /// When something may begin that could not before.
    pub(super) fn next_due_ns(&self, now_ns: u64) -> u64 {
        let lines = [&self.any, &self.coordinator_line].into_iter();
        let lines = lines.chain(self.leaders.values().map(|leader| &leader.line));
        let waits = lines.filter(|line| !line.is_busy()).map(Line::not_before_ns);
        let told = self.leaders.values().filter_map(|leader| leader.waiting_since_ns);
        let told = told.map(|since_ns| since_ns + TELL_WITHIN.as_nanos() as u64);
        let others = [self.heartbeat_due_ns, self.metadata_backoff.not_before_ns()];
        waits.chain(told).chain(others).filter(|due_ns| *due_ns > now_ns).min().unwrap_or(u64::MAX)
    }

    pub(super) fn begin(&mut self, now_ns: u64) {
        if self.any.is_free(now_ns) {
            if self.needs_metadata(now_ns) {
                self.ask_for_metadata();
            } else if self.coordinator.is_none() {
                self.ask_for_coordinator();
            }
        }
        if self.coordinator_line.is_free(now_ns) && now_ns >= self.heartbeat_due_ns {
            self.send_heartbeat(now_ns);
        }
        let wanted = self.wanted();
        for id in wanted.keys() {
            let (settings, identity) = (&self.settings, &self.identity);
            self.leaders.entry(*id).or_insert_with(|| Leader {
                line: Line::new(settings),
                session: Session::new(identity.clone()),
                waiting_since_ns: None,
            });
        }
        for id in self.leaders.keys().copied().collect::<Vec<_>>() {
            self.serve_leader(id, wanted.get(&id).unwrap_or(&BTreeSet::new()), now_ns);
        }
        self.leaders.retain(|id, leader| {
            wanted.contains_key(id) || leader.line.is_busy() || leader.session.is_open()
        });
    }

    fn needs_metadata(&self, now_ns: u64) -> bool {
        let age_ns = self.settings.metadata_age.as_nanos() as u64;
        let is_old = self.metadata_ns.is_none_or(|heard_ns| now_ns >= heard_ns + age_ns);
        is_old || self.metadata_stale && now_ns >= self.metadata_backoff.not_before_ns()
    }

    /// The assigned partitions by their leaders. Those without one need newer metadata.
    fn wanted(&mut self) -> BTreeMap<i32, BTreeSet<Partition>> {
        let mut wanted: BTreeMap<i32, BTreeSet<Partition>> = BTreeMap::new();
        for partition in self.membership.assignment() {
            match self.cluster.leader(*partition) {
                Some(leader) => {
                    wanted.entry(leader).or_default().insert(*partition);
                }
                None => self.metadata_stale = true,
            }
        }
        wanted
    }

    fn serve_leader(&mut self, id: i32, wanted: &BTreeSet<Partition>, now_ns: u64) {
        let lends = self.deliveries.iter().any(|delivery| delivery.leader == id);
        let leaders = self.leaders.len() as u32;
        self.refuse_what_is_late(id, now_ns);
        let Some(leader) = self.leaders.get_mut(&id) else { return };
        if !leader.line.is_free(now_ns) {
            return;
        }
        let is_late =
            leader.waiting_since_ns.is_some_and(|since| now_ns >= since + TELL_WITHIN.as_nanos() as u64);
        let fetches = self.demand > 0 && !lends && !wanted.is_empty();
        if wanted.is_empty() && !lends {
            // Either a session to close, or nothing at all.
            if leader.session.is_open() {
                self.acknowledge(id, true);
            }
        } else if leader.session.has_waiting_beyond(wanted) || is_late && !fetches {
            self.acknowledge(id, false);
        } else if fetches {
            let records_max = self.demand.div_ceil(leaders.max(1));
            self.fetch(id, wanted, i32::try_from(records_max).unwrap_or(i32::MAX), now_ns);
        }
    }

    fn refuse_what_is_late(&mut self, id: i32, now_ns: u64) {
        let Some(leader) = self.leaders.get_mut(&id) else { return };
        let late = leader.session.too_late(now_ns);
        if !leader.session.has_waiting() {
            leader.waiting_since_ns = None;
        }
        self.note(late);
    }

    fn ask_for_metadata(&mut self) {
        let request = Cluster::request(&self.topics);
        let Some(server) = self.any_server() else { return };
        let (abort, registration) = AbortHandle::new_pair();
        let call = call(self.any.begin(abort), server, self.settings.clone(), request, Duration::ZERO);
        self.send(registration, async { Event::Metadata(call.await) });
    }

    fn ask_for_coordinator(&mut self) {
        let request = FindCoordinatorRequest::default()
            .with_key_type(OF_GROUP)
            .with_coordinator_keys(vec![self.identity.group.0.clone()]);
        let Some(server) = self.any_server() else { return };
        let (abort, registration) = AbortHandle::new_pair();
        let call = call(self.any.begin(abort), server, self.settings.clone(), request, Duration::ZERO);
        self.send(registration, async { Event::Coordinator(call.await) });
    }

    /// The brokers take turns, and where none of them is, so do the bootstrap servers.
    fn any_server(&self) -> Option<HostPort> {
        let servers: Vec<_> = self.cluster.brokers().chain(&self.settings.servers).collect();
        servers.get(self.any_turn.checked_rem(servers.len())?).map(|server| (*server).clone())
    }

    fn send_heartbeat(&mut self, now_ns: u64) {
        let Some(server) = self.coordinator.clone() else { return };
        let request = self.membership.heartbeat();
        let (abort, registration) = AbortHandle::new_pair();
        let connection = self.coordinator_line.begin(abort);
        let call = call(connection, server, self.settings.clone(), request, Duration::ZERO);
        self.send(registration, async move { Event::Heartbeat { sent_ns: now_ns, call: call.await } });
    }

    fn send_leave(&mut self, server: HostPort) {
        let request = self.membership.leave();
        let (abort, registration) = AbortHandle::new_pair();
        let connection = self.coordinator_line.begin(abort);
        let call = call(connection, server, self.settings.clone(), request, Duration::ZERO);
        self.send(registration, async { Event::Left(call.await) });
    }

    fn fetch(&mut self, id: i32, wanted: &BTreeSet<Partition>, records_max: i32, now_ns: u64) {
        let settings = self.settings.clone();
        let limits = FetchLimits {
            wait_ms: i32::try_from(settings.fetch_wait.as_millis()).unwrap_or(i32::MAX),
            bytes_min: settings.fetch_bytes_min,
            bytes_max: settings.fetch_bytes_max,
            records_max,
        };
        let (Some(server), Some(leader)) = (self.cluster.broker(id).cloned(), self.leaders.get_mut(&id))
        else {
            return;
        };
        let request = leader.session.fetch(wanted, limits);
        leader.waiting_since_ns = None;
        let (abort, registration) = AbortHandle::new_pair();
        let wait = settings.fetch_wait;
        let call = call(leader.line.begin(abort), server, settings, request, wait);
        self.send(
            registration,
            async move { Event::Fetched { leader: id, sent_ns: now_ns, call: call.await } },
        );
    }

    fn acknowledge(&mut self, id: i32, last: bool) {
        let (Some(server), Some(leader)) = (self.cluster.broker(id).cloned(), self.leaders.get_mut(&id))
        else {
            // Nobody is there to be told.
            return self.session_ended(id, |session| session.lost("the broker has left the cluster"));
        };
        let request = leader.session.acknowledge(last);
        leader.waiting_since_ns = None;
        let (abort, registration) = AbortHandle::new_pair();
        let call = call(leader.line.begin(abort), server, self.settings.clone(), request, Duration::ZERO);
        self.send(registration, async move { Event::Acknowledged { leader: id, last, call: call.await } });
    }

    fn send(&mut self, registration: AbortRegistration, event: impl Future<Output = Event> + 'static) {
        let event = Abortable::new(event, registration);
        self.in_flight.push(Box::pin(async { event.await.unwrap_or(Event::Aborted) }));
    }

    /// One step of closing; false when nothing is left to wait for.
    pub(super) fn begin_to_close(&mut self) -> bool {
        for id in self.leaders.keys().copied().collect::<Vec<_>>() {
            self.refuse_what_is_late(id, self.now_ns());
            let leader = &self.leaders[&id];
            if !leader.line.is_busy() && leader.session.is_open() {
                self.acknowledge(id, true);
            }
        }
        self.leaders.retain(|_, leader| leader.line.is_busy());
        if self.leaders.is_empty()
            && !self.coordinator_line.is_busy()
            && self.membership.is_member()
            && let Some(server) = self.coordinator.take()
        {
            self.send_leave(server);
        }
        !self.leaders.is_empty() || self.coordinator_line.is_busy()
    }
}
