//! Which broker leads which partition, as a client's statistics tell it, and what changes in that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;

/// The part of librdkafka's statistics that tells leaders (its STATISTICS.md).
#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    topics: BTreeMap<String, Topic>,
}

#[derive(Deserialize)]
struct Topic {
    #[serde(default)]
    partitions: BTreeMap<i32, Partition>,
}

#[derive(Deserialize)]
struct Partition {
    leader: i32,
}

/// No broker leads a partition.
const NOBODY: i32 = -1;

/// The last statistics of a client that nobody has taken; they are read where there is time for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastStatistics(Arc<Mutex<Vec<u8>>>);

impl LastStatistics {
    /// Replaces what is there.
    pub(crate) fn put(&self, statistics: &[u8]) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.clear();
        last.extend_from_slice(statistics);
    }

    /// What is there; empty if it was taken before.
    pub(crate) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The leaders that are known: who leads now, and who was the last that did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leaders(BTreeMap<(String, i32), (i32, i32)>);

impl Leaders {
    /// Takes new statistics and says what changed, a sentence for each partition; nothing, if they cannot be read.
    pub(crate) fn changes(&mut self, statistics: &[u8]) -> Vec<String> {
        self.changes_of(statistics, |_, _| true)
    }

    /// The same of some partitions.
    pub(crate) fn changes_of(
        &mut self,
        statistics: &[u8],
        is_of_interest: impl Fn(&str, i32) -> bool,
    ) -> Vec<String> {
        let Ok(Statistics { topics }) = serde_json::from_slice(statistics) else { return Vec::new() };
        let mut changes = Vec::new();
        for (topic, Topic { partitions }) in topics {
            // Numbers below 0 are the client's own.
            for (number, Partition { leader }) in partitions.into_iter().filter(|(number, _)| *number >= 0) {
                if !is_of_interest(&topic, number) {
                    continue;
                }
                let known = self.0.entry((topic.clone(), number)).or_insert((NOBODY, NOBODY));
                let (before, last) = *known;
                *known = (leader, if leader == NOBODY { last } else { leader });
                match (before, leader) {
                    (NOBODY, NOBODY) => {}
                    // The first that is known of it.
                    (NOBODY, _) if last == NOBODY => {}
                    (NOBODY, leader) => {
                        changes
                            .push(format!("{topic}-{number} is led again, by broker {leader} after {last}"));
                    }
                    (before, NOBODY) => {
                        changes.push(format!("{topic}-{number} lost its leader, broker {before}"))
                    }
                    (before, leader) if before != leader => {
                        changes
                            .push(format!("{topic}-{number} is led by broker {leader} instead of {before}"));
                    }
                    _ => {}
                }
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_once_and_the_first_leader_is_none() {
        let mut leaders = Leaders::default();
        let statistics = |leader: i32| {
            format!(
                r#"{{"name":"x","topics":{{"foo":{{"topic":"foo","partitions":{{"0":{{"partition":0,"leader":{leader}}},
                "1":{{"leader":3}},"-1":{{"leader":-1}}}}}}}}}}"#
            )
        };
        let rows: [(i32, &[&str]); 7] = [
            (-1, &[]),
            (1, &[]),
            (1, &[]),
            (2, &["foo-0 is led by broker 2 instead of 1"]),
            (-1, &["foo-0 lost its leader, broker 2"]),
            (-1, &[]),
            (1, &["foo-0 is led again, by broker 1 after 2"]),
        ];
        for (leader, expected) in rows {
            assert_eq!(leaders.changes(statistics(leader).as_bytes()), expected, "{leader}");
        }
        assert_eq!(leaders.changes(b"{"), [""; 0]);
        assert_eq!(
            leaders.changes_of(statistics(7).as_bytes(), |topic, number| (topic, number) == ("foo", 1)),
            [""; 0]
        );
        assert_eq!(leaders.changes(statistics(7).as_bytes()), ["foo-0 is led by broker 7 instead of 1"]);
    }
}
