//! Which broker leads which partition, as a client's statistics tell it, and what changes in that.

use std::collections::BTreeMap;

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

/// The leaders that are known: who leads now, and who was the last that did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leaders(BTreeMap<(String, i32), (i32, i32)>);

impl Leaders {
    /// Takes new statistics and says what changed, a sentence for each partition; nothing, if they cannot be read.
    pub(crate) fn changes(&mut self, statistics: &[u8]) -> Vec<String> {
        let Ok(Statistics { topics }) = serde_json::from_slice(statistics) else { return Vec::new() };
        let mut changes = Vec::new();
        for (topic, Topic { partitions }) in topics {
            // Numbers below 0 are the client's own.
            for (number, Partition { leader }) in partitions.into_iter().filter(|(number, _)| *number >= 0) {
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
    }
}
