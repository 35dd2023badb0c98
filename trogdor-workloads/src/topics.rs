//! Topics as specs describe them: names or range patterns, and the partitions that each shall have.
//! These are values only. Creating and checking topics is left to those who have an admin client,
//! and so is what an empty set of topics means.

mod ranges;

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use trogdor_core::json::{Field, Kind, Object};

pub use ranges::{MAX_NAMES, expand_all};

/// The most partitions that a topic may be asked to have; far more than a broker creates at once.
pub const MAX_PARTITIONS: i32 = 1_000_000;

const DEFAULT_PARTITIONS: i32 = 1;
const DEFAULT_REPLICATION_FACTOR: i16 = 3;

/// Topic names or range patterns, in the order of the spec, and what each is to look like.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(transparent)]
pub struct TopicsSpec {
    /// Pattern → partitions. The order has no influence on equality.
    pub topics: IndexMap<String, PartitionsSpec>,
}

/// What a topic is to look like. The fields hold what was given; methods tell what is in effect.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PartitionsSpec {
    /// Number of partitions; 0 or less stands for 1.
    #[serde(default)]
    pub num_partitions: i32,
    /// Number of replicas of each partition; 0 or less stands for 3.
    #[serde(default)]
    pub replication_factor: i16,
    /// Partition → ids of its brokers, the preferred leader first. Takes the place of both numbers
    /// unless empty; entries without brokers count as absent.
    #[serde(default, with = "assignments", skip_serializing_if = "assignments::is_empty")]
    pub partition_assignments: BTreeMap<i32, Vec<i32>>,
    /// Topic configuration.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub configs: BTreeMap<String, String>,
}

impl TopicsSpec {
    /// Whether there is no pattern at all.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// All topics by name, all ranges expanded, in the order of the spec. Of two patterns with a name
    /// in common, the later one tells its partitions.
    ///
    /// # Errors
    /// As `expand_all`; or all patterns together stand for more than [`MAX_NAMES`] names.
    pub fn expand(&self) -> Result<IndexMap<String, &PartitionsSpec>, String> {
        let mut topics = IndexMap::new();
        let mut count = 0;
        for (pattern, partitions) in &self.topics {
            let names = expand_all(pattern)?;
            count += names.len();
            ranges::within_bound(&up_to(pattern), count)?;
            topics.extend(names.into_iter().map(|name| (name, partitions)));
        }
        Ok(topics)
    }

    /// Everything that keeps these topics from being created, for any broker: bad ranges, bad names,
    /// bad numbers. One finding at most for the name of each pattern.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut count = 0_usize;
        for (pattern, partitions) in &self.topics {
            match expand_all(pattern) {
                Ok(names) => {
                    count = count.saturating_add(names.len());
                    problems.extend(names.iter().find_map(|name| topic_name_problem(name)));
                }
                Err(error) => problems.push(format!("topic {pattern:?}: {error}")),
            }
            let found = partitions.problems();
            problems.extend(found.into_iter().map(|problem| format!("topic {pattern:?}: {problem}")));
            if count > MAX_NAMES {
                // No more expansions: a spec has room for many patterns that are large, each alone.
                problems.extend(ranges::within_bound(&up_to(pattern), count).err());
                break;
            }
        }
        problems
    }
}

impl PartitionsSpec {
    /// The number of partitions in effect, at least 1.
    pub fn partition_count(&self) -> usize {
        match self.assignments().count() {
            0 => self.unassigned_partitions() as usize,
            assigned => assigned,
        }
    }

    /// The partition numbers, ascending: those that are assigned, or 0 to n − 1.
    pub fn partitions(&self) -> impl Iterator<Item = i32> {
        let unassigned = if self.is_assigned() { 0 } else { self.unassigned_partitions() };
        self.assignments().map(|(partition, _)| partition).chain(0..unassigned)
    }

    /// Whether partitions are assigned to brokers, so that the two numbers do not count.
    pub fn is_assigned(&self) -> bool {
        self.assignments().next().is_some()
    }

    /// The assigned partitions, ascending, each with the ids of its brokers.
    pub fn assignments(&self) -> impl Iterator<Item = (i32, &[i32])> {
        assignments::of(&self.partition_assignments)
    }

    /// The number of partitions to create if none is assigned.
    pub fn unassigned_partitions(&self) -> i32 {
        if self.num_partitions <= 0 { DEFAULT_PARTITIONS } else { self.num_partitions }
    }

    /// The number of replicas to create if no partition is assigned.
    pub fn effective_replication_factor(&self) -> i16 {
        if self.replication_factor <= 0 { DEFAULT_REPLICATION_FACTOR } else { self.replication_factor }
    }

    /// The first partition that the assigned ones leave out, if they are not 0 to n − 1.
    pub fn gap(&self) -> Option<i32> {
        let mut assigned = (0..).zip(self.assignments());
        assigned.find(|(number, (partition, _))| number != partition).map(|(number, _)| number)
    }

    /// What no broker would accept. [Gaps](Self::gap) between assigned partitions are none of it: only a
    /// topic that has to be created may not have them, which shows when it is.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let count = self.partition_count();
        if count > MAX_PARTITIONS as usize {
            problems.push(format!("{count} partitions; the limit is {MAX_PARTITIONS}"));
        }
        for (partition, brokers) in self.assignments() {
            if partition < 0 {
                problems.push(format!("partitionAssignments has the negative partition {partition}"));
            }
            if let Some(broker) = brokers.iter().find(|broker| **broker < 0) {
                problems
                    .push(format!("partition {partition} is assigned to the negative broker id {broker}"));
            }
        }
        problems
    }
}

/// All patterns of a spec up to this one, for messages.
fn up_to(pattern: &str) -> String {
    format!("the topic map up to {pattern:?}")
}

/// Why Kafka would not take this as the name of a topic, if it would not.
pub fn topic_name_problem(name: &str) -> Option<String> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let length = name.chars().count();
    let reason = if name.is_empty() {
        "it is empty".to_owned()
    } else if matches!(name, "." | "..") {
        "\".\" and \"..\" are reserved".to_owned()
    } else if let Some(illegal) = name.chars().find(|c| !is_legal(*c)) {
        format!("{illegal:?} is none of a-z, A-Z, 0-9, \".\", \"_\", \"-\"")
    } else if length > 249 {
        return Some(format!("topic name of {length} characters ({}…); the limit is 249", &name[..40]));
    } else {
        return None;
    };
    let shown: String = name.chars().take(249).collect();
    Some(format!("{shown:?} is not a valid topic name: {reason}"))
}

/// JSON knows only text as keys, and behind a type tag serde no longer turns it into numbers.
mod assignments {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn of(map: &BTreeMap<i32, Vec<i32>>) -> impl Iterator<Item = (i32, &[i32])> {
        map.iter()
            .filter(|(_, brokers)| !brokers.is_empty())
            .map(|(partition, brokers)| (*partition, &brokers[..]))
    }

    pub(super) fn is_empty(map: &BTreeMap<i32, Vec<i32>>) -> bool {
        of(map).next().is_none()
    }

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<i32, Vec<i32>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(of(map).map(|(partition, brokers)| (partition.to_string(), brokers)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<i32, Vec<i32>>, D::Error> {
        let texts = BTreeMap::<String, Vec<i32>>::deserialize(deserializer)?;
        let filled = texts.into_iter().filter(|(_, brokers)| !brokers.is_empty());
        filled
            .map(|(partition, brokers)| Ok((partition.parse().map_err(de::Error::custom)?, brokers)))
            .collect()
    }
}

/// A map from topic name or range pattern to [`PARTITIONS`].
pub const TOPICS: Kind = Kind::Map(&PARTITIONS_KIND);
static PARTITIONS_KIND: Kind = Kind::Object(&PARTITIONS);

/// The field table of [`PartitionsSpec`].
pub static PARTITIONS: Object = Object::new("partitions spec", PARTITIONS_FIELDS);
const PARTITIONS_FIELDS: &[Field] = &[
    Field::new("numPartitions", Kind::Int, "0", "size of the topic; 0 or less stands for 1")
        .unit("partitions"),
    Field::new("replicationFactor", Kind::Short, "0", "copies of each partition; 0 or less stands for 3")
        .unit("replicas"),
    Field::new(
        "partitionAssignments",
        Kind::IntMap(&Kind::List(&Kind::Int)),
        "",
        "broker ids of each partition, preferred leader first; takes the place of both numbers",
    ),
    Field::new("configs", Kind::Map(&Kind::Text), "", "topic configs, such as cleanup.policy"),
];

#[cfg(test)]
mod tests;
