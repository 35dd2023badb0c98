//! A member of a share group, as one owner of all its state: what is due begins, one answer is picked, the state
//! moves on, and so round. All of it happens inside [`ShareConsumer::poll`] and [`ShareConsumer::serve`]; whoever
//! has a member must call one of them every second or so, or the group takes it for dead.
//!
//! Nothing here gives up on a broker: brokers that are gone are tried again, more and more slowly, and
//! [`ShareConsumer::trouble`] tells of them. Only what cannot pass is an error.

mod answers;
mod requests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use kafka_protocol::messages::GroupId;
use kafka_protocol::protocol::StrBytes;

pub(super) use answers::coordinator;

use super::acknowledgements::{Runs, Verdict};
use super::cluster::Cluster;
use super::delivery::{Delivered, Delivery};
use super::failure::Backoff;
use super::lines::{Event, Line};
use super::membership::Membership;
use super::session::{Identity, Partition, Session};
use super::settings::Settings;
use crate::client_config::HostPort;
use crate::clock::Stopwatch;

/// How long locks last, until a broker has said it.
const LOCK: Duration = Duration::from_secs(30);

/// What became of a range of judged records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The topic.
    pub(crate) topic: Arc<str>,
    /// The partition.
    pub(crate) partition: i32,
    /// The first offset.
    pub(crate) first: i64,
    /// The last offset, which belongs to it.
    pub(crate) last: i64,
    /// What the member decided.
    pub(crate) verdict: Verdict,
    /// What the broker made of it.
    pub(crate) end: End,
}

/// What a broker made of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It holds.
    Done,
    /// It came too late, the lock was gone: somebody gets the records again.
    Refused,
    /// Nobody knows, the connection ended first.
    Unknown,
}

/// A broker that leads partitions.
struct Leader {
    line: Line,
    session: Session,
    /// Since when verdicts wait.
    waiting_since_ns: Option<u64>,
}

/// A member of a share group.
pub(crate) struct ShareConsumer {
    settings: Arc<Settings>,
    topics: Vec<String>,
    identity: Identity,
    watch: Stopwatch,
    cluster: Cluster,
    /// When metadata were heard last.
    metadata_ns: Option<u64>,
    metadata_stale: bool,
    metadata_backoff: Backoff,
    /// Since when a topic is missing that was there before.
    gone_since_ns: Option<u64>,
    /// For questions that any broker answers.
    any: Line,
    any_turn: usize,
    coordinator: Option<HostPort>,
    coordinator_line: Line,
    membership: Membership,
    heartbeat_due_ns: u64,
    leaders: BTreeMap<i32, Leader>,
    deliveries: VecDeque<Delivery>,
    /// Records that may be fetched now.
    demand: u32,
    lock: Duration,
    in_flight: FuturesUnordered<LocalBoxFuture<'static, Event>>,
    outcomes: Vec<Outcome>,
    expired: u64,
    trouble: Option<String>,
    /// Whether the last that was heard of the cluster was a broken or refused connection.
    lost_contact: bool,
}

impl ShareConsumer {
    /// A member that is about to join; it connects when it is polled.
    pub(crate) fn new(settings: Settings, topics: Vec<String>) -> ShareConsumer {
        let identity = Identity {
            group: GroupId(StrBytes::from_string(settings.group.clone())),
            member: StrBytes::from_string(uuid::Uuid::new_v4().to_string()),
        };
        ShareConsumer {
            any: Line::new(&settings),
            coordinator_line: Line::new(&settings),
            metadata_backoff: Backoff::new(settings.backoff, settings.backoff_max),
            membership: Membership::new(identity.clone(), topics.clone(), settings.rack.clone()),
            settings: Arc::new(settings),
            topics,
            identity,
            watch: Stopwatch::start(),
            cluster: Cluster::default(),
            metadata_ns: None,
            metadata_stale: true,
            gone_since_ns: None,
            any_turn: 0,
            coordinator: None,
            heartbeat_due_ns: 0,
            leaders: BTreeMap::new(),
            deliveries: VecDeque::new(),
            demand: 0,
            lock: LOCK,
            in_flight: FuturesUnordered::new(),
            outcomes: Vec::new(),
            expired: 0,
            trouble: None,
            lost_contact: false,
        }
    }

    /// Sets how many records may be fetched at once; 0 fetches nothing more. Brokers lend whole batches, so more
    /// may come.
    pub(crate) fn demand(&mut self, records: u32) {
        self.demand = records;
    }

    /// How long brokers lend records.
    pub(crate) fn lock(&self) -> Duration {
        self.lock
    }

    /// What it reads from, `topic-partition`.
    pub(crate) fn assignment(&self) -> Vec<String> {
        let name = |(id, partition): &Partition| Some(format!("{}-{partition}", self.cluster.topic(*id)?));
        let mut names: Vec<_> = self.membership.assignment().iter().filter_map(name).collect();
        names.sort();
        names
    }

    /// What keeps it from its work, if something does.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Whether no broker can be reached now.
    pub(crate) fn has_lost_contact(&self) -> bool {
        self.lost_contact
    }

    /// Records whose locks ended before they were handed out.
    pub(crate) fn expired(&self) -> u64 {
        self.expired
    }

    /// What became of verdicts since the last call.
    pub(crate) fn outcomes(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.outcomes)
    }

    /// Works until there are records, for the limit at most; true if there are.
    ///
    /// # Errors
    /// What cannot pass by itself.
    pub(crate) async fn poll(&mut self, limit: Duration) -> Result<bool, String> {
        self.work(limit, true).await?;
        Ok(!self.deliveries.is_empty())
    }

    /// Works for this long, whatever there is.
    ///
    /// # Errors
    /// What cannot pass by itself.
    pub(crate) async fn serve(&mut self, time: Duration) -> Result<(), String> {
        self.work(time, false).await
    }

    /// Hands out up to `most` records, and remembers what is decided about each.
    ///
    /// # Errors
    /// Records that cannot be read.
    pub(crate) fn take(
        &mut self,
        most: usize,
        mut judge: impl FnMut(Delivered<'_>) -> Verdict,
    ) -> Result<usize, String> {
        let now_ns = self.now_ns();
        self.drop_expired(now_ns);
        let mut taken = 0;
        while taken < most
            && let Some(delivery) = self.deliveries.front_mut()
        {
            let mut told = Runs::default();
            taken += delivery.take(most - taken, &mut told, &mut judge)?;
            if let Some(leader) = self.leaders.get_mut(&delivery.leader) {
                leader.session.tell(delivery.partition, told, delivery.locked_until_ns);
                leader.waiting_since_ns.get_or_insert(now_ns);
            }
            if delivery.is_done() {
                self.deliveries.pop_front();
            }
        }
        Ok(taken)
    }

    /// Tells all verdicts, gives back the records that were not judged, and leaves the group; for the limit at
    /// most. Answers what became of the verdicts.
    pub(crate) async fn close(mut self, limit: Duration) -> Vec<Outcome> {
        let until_ns = self.now_ns() + limit.as_nanos() as u64;
        self.demand = 0;
        self.deliveries.clear();
        for leader in self.leaders.values_mut() {
            // The end of its connection tells a broker as well that nothing is wanted any more.
            if leader.line.is_busy() && !leader.session.has_travelling() && !leader.session.has_waiting() {
                leader.line.abort();
                leader.session.lost("the member leaves");
            }
        }
        while self.begin_to_close() {
            let left = Duration::from_nanos(until_ns.saturating_sub(self.now_ns()));
            match tokio::time::timeout(left, self.in_flight.next()).await {
                // What cannot pass is of no interest any more.
                Ok(Some(event)) => drop(self.happened(event)),
                Ok(None) | Err(_) => break,
            }
        }
        for id in self.leaders.keys().copied().collect::<Vec<_>>() {
            self.session_ended(id, |session| session.lost("the member could not tell it in time"));
        }
        self.outcomes
    }

    fn now_ns(&self) -> u64 {
        self.watch.elapsed_ns()
    }

    async fn work(&mut self, limit: Duration, until_records: bool) -> Result<(), String> {
        let until_ns = self.now_ns() + limit.as_nanos() as u64;
        // Lets answers come in also while there are always records.
        tokio::task::yield_now().await;
        loop {
            let now_ns = self.now_ns();
            self.drop_expired(now_ns);
            self.begin(now_ns);
            let satisfied = until_records && !self.deliveries.is_empty();
            let wake_ns = if satisfied { now_ns } else { until_ns.min(self.next_due_ns(now_ns)) };
            let wait = Duration::from_nanos(wake_ns.saturating_sub(now_ns));
            let event = async {
                match self.in_flight.next().await {
                    Some(event) => event,
                    None => std::future::pending().await,
                }
            };
            match tokio::time::timeout(wait, event).await {
                Ok(event) => self.happened(event).map_err(|failure| failure.to_string())?,
                Err(_) if satisfied || self.now_ns() >= until_ns => return Ok(()),
                Err(_) => {}
            }
        }
    }

    /// Locks that have ended lend nothing: somebody else may have the records by now.
    fn drop_expired(&mut self, now_ns: u64) {
        let expired = |delivery: &Delivery| if delivery.is_expired(now_ns) { delivery.left() } else { 0 };
        self.expired += self.deliveries.iter().map(expired).sum::<u64>();
        self.deliveries.retain(|delivery| !delivery.is_expired(now_ns));
    }
}
