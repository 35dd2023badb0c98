//! The part of the hot loop that is different at full rate: records go in turns of some hundred. The
//! clock is read, the book locked, the stop flag and the status looked at once per turn, so service
//! times count from the turn that a record was handed over in; what they mostly tell at full rate is
//! how long the queue was.

mod window;

use std::ops::Range;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;

use super::{Sender, no_room};
use crate::clock::wall_ms;
use crate::native::{Record, TopicNumber};

use window::Window;

/// How long to wait for acknowledgements without looking at anything else.
const LONGEST_WAIT: Duration = Duration::from_millis(20);

/// Records of a turn at most.
const RECORDS_MAX: usize = 512;
/// A turn takes no further records once it holds this many bytes: they shall stay in the caches.
const BYTES_MAX: usize = 256 << 10;

/// The records of a turn. Its memory serves all turns, so that a record costs no allocation.
#[derive(Default)]
struct Turn {
    /// Keys and values, one behind the other.
    bytes: Vec<u8>,
    /// In the order of their positions.
    entries: Vec<Entry>,
    /// Those without an outcome, as they are to be handed over: target by target, each target's in
    /// the order of their positions.
    waiting: Vec<usize>,
}

struct Entry {
    target: usize,
    key: Option<Range<usize>>,
    /// `None` also where all records share a value.
    value: Option<Range<usize>>,
    /// Length of key and value.
    len: u64,
    has_outcome: bool,
}

impl Turn {
    fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.waiting.clear();
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= RECORDS_MAX || self.bytes.len() >= BYTES_MAX
    }

    fn keep(&mut self, payload: Option<&[u8]>) -> Option<Range<usize>> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(payload?);
        Some(start..self.bytes.len())
    }

    /// Consecutive records take turns over the targets, so every n-th has the same.
    fn arrange(&mut self, targets: usize) {
        let count = self.entries.len();
        for first in 0..targets.min(count) {
            let of_one_target = (first..count).step_by(targets);
            self.waiting.extend(of_one_target.filter(|index| !self.entries[*index].has_outcome));
        }
    }

    /// Those from a place in `waiting` on that have the same target.
    fn group(&self, start: usize) -> Range<usize> {
        let target = |place: &usize| self.entries[self.waiting[*place]].target;
        let others = (start..self.waiting.len()).find(|place| target(place) != target(&start));
        start..others.unwrap_or(self.waiting.len())
    }

    fn payload(&self, range: &Option<Range<usize>>) -> Option<&[u8]> {
        range.clone().map(|range| &self.bytes[range])
    }
}

impl Sender<'_> {
    pub(super) fn send_at_full_rate(&mut self) -> Result<(), String> {
        let topics = self.open_topics()?;
        let mut turn = Turn::default();
        let mut window = Window::new(&self.job.targets, self.watch.elapsed_ns());
        while self.sent < self.job.messages_max && !self.flag.is_set() {
            self.deliveries.troubles.check()?;
            let now_ns = self.watch.elapsed_ns();
            self.publish_if_due(now_ns);
            let in_flight = self.deliveries.ledger().in_flight();
            if !window.has_room(in_flight, self.sent, now_ns) {
                self.serve(LONGEST_WAIT);
                continue;
            }
            self.fill(&mut turn);
            if !self.hand_over_all(&mut turn, &topics)? {
                break;
            }
            self.serve(Duration::ZERO);
        }
        Ok(())
    }

    /// The topic of each target. Targets of one topic follow one another.
    fn open_topics(&mut self) -> Result<Vec<TopicNumber>, String> {
        let mut topics = Vec::with_capacity(self.job.targets.len());
        for same in self.job.targets.chunk_by(|one, next| one.topic == next.topic) {
            let topic = self.producer.open_topic(&same[0].topic)?;
            topics.extend(same.iter().map(|_| topic));
        }
        Ok(topics)
    }

    /// Makes the next records. One that is too large for the client fails here.
    fn fill(&mut self, turn: &mut Turn) {
        let job = &mut self.job;
        let shared_len = self.producer.shared_value().map(<[u8]>::len);
        turn.clear();
        let positions = self.sent..job.messages_max;
        for position in positions {
            if turn.is_full() {
                break;
            }
            let key = turn.keep(job.keys.at(position as i64, wall_ms));
            let value = match shared_len {
                Some(_) => None,
                None => turn.keep(job.values.at(position as i64, wall_ms)),
            };
            let value_len = value.as_ref().map_or(shared_len.unwrap_or(0), Range::len);
            let len = (key.as_ref().map_or(0, Range::len) + value_len) as u64;
            let too_large = job.translated.ours.oversize(len);
            if let Some(cause) = &too_large {
                self.deliveries.ledger().refused(cause);
                self.sent += 1;
            }
            let target = (position % job.targets.len() as u64) as usize;
            turn.entries.push(Entry { target, key, value, len, has_outcome: too_large.is_some() });
        }
        turn.arrange(job.targets.len());
    }

    /// Hands a turn over, as soon as the client has room for it; false if the loop was told to stop
    /// before that.
    fn hand_over_all(&mut self, turn: &mut Turn, topics: &[TopicNumber]) -> Result<bool, String> {
        let mut blocked_since_ns = None;
        loop {
            let now_ns = self.watch.elapsed_ns();
            let sent_before = self.sent;
            self.hand_over(turn, topics, now_ns)?;
            if turn.waiting.is_empty() {
                return Ok(true);
            }
            if self.flag.is_set() {
                return Ok(false);
            }
            if self.sent > sent_before {
                blocked_since_ns = None;
            }
            let blocked_ns = now_ns - *blocked_since_ns.get_or_insert(now_ns);
            let wait = match blocked_ns / 1_000_000 >= self.job.translated.ours.max_block_ms {
                true => {
                    blocked_since_ns = None;
                    self.give_up_first(turn);
                    Duration::ZERO
                }
                false => Duration::from_millis(1),
            };
            self.publish_if_due(now_ns);
            let since_ns = self.watch.elapsed_ns();
            self.serve(wait);
            self.deliveries.ledger().punctuality.queue_was_full(self.watch.elapsed_ns() - since_ns);
        }
    }

    /// Hands over what has no outcome yet, until the client has no room. Only a fatal error is an
    /// error here; others are entered as failures.
    fn hand_over(&mut self, turn: &mut Turn, topics: &[TopicNumber], now_ns: u64) -> Result<(), String> {
        let mut ledger = self.deliveries.ledger();
        let mut fatal = Ok(());
        let mut next = 0;
        while next < turn.waiting.len() && fatal.is_ok() {
            let group = turn.group(next);
            let target = turn.entries[turn.waiting[next]].target;
            let records = turn.waiting[group.clone()].iter().map_while(|index| {
                let entry = &turn.entries[*index];
                let slot = ledger.open(entry.target, now_ns, now_ns, entry.len)?;
                Some(Record { key: turn.payload(&entry.key), value: turn.payload(&entry.value), slot })
            });
            self.producer.hand_over(topics[target], self.job.targets[target].partition, records);
            // There may have been fewer slots than records.
            let mut has_room = self.producer.outcomes().len() == group.len();
            next = group.end;
            for (place, (slot, refusal)) in group.zip(self.producer.outcomes()) {
                match refusal {
                    None => ledger.taken(slot),
                    Some(code) => {
                        ledger.cancel(slot);
                        has_room &= code != RDKafkaErrorCode::QueueFull;
                        // After a fatal error: as if those behind had not been tried.
                        if code == RDKafkaErrorCode::QueueFull || fatal.is_err() {
                            continue;
                        }
                        ledger.refused_by_client(code, target);
                        fatal = self.fatal_error();
                    }
                }
                turn.entries[turn.waiting[place]].has_outcome = true;
                self.sent += 1;
            }
            if !has_room {
                break;
            }
        }
        turn.waiting.retain(|index| !turn.entries[*index].has_outcome);
        fatal
    }

    /// No record is waited for longer than this, as with Java's producer.
    fn give_up_first(&mut self, turn: &mut Turn) {
        let entry = &turn.entries[turn.waiting.remove(0)];
        self.deliveries.ledger().refused(&no_room(entry.len, self.job.translated.ours.max_block_ms));
        self.sent += 1;
    }
}

#[cfg(test)]
mod tests;
