//! The set-up of topics against a cluster that answers from a script, under paused time: what is
//! tried again and for how long, what is refused, what is only a warning, what is waited for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use trogdor_core::VirtualClock;

use super::*;

const SECOND_MS: u64 = 1000;

/// A cluster that answers from a script and writes down when it was asked for what. The last answer
/// of a list is given again and again; what the script does not name goes well.
struct Cluster {
    clock: Arc<dyn Clock>,
    /// What becomes of a topic at the first, second, … attempt.
    creations: BTreeMap<&'static str, Vec<Creation>>,
    /// What the first, second, … look at a topic shows.
    looks: BTreeMap<&'static str, Vec<Option<Replicas>>>,
    configs: BTreeMap<String, String>,
    /// When a partition begins to take writes.
    writable_at_ms: BTreeMap<(&'static str, i32), u64>,
    asked: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    /// Time and names of each request for topics.
    creations: Vec<(u64, Vec<String>)>,
    looks: Vec<(u64, String)>,
    /// Partitions that said that they take writes.
    writable: Vec<(String, i32)>,
}

/// The answer to question `number`, from 0.
fn answer<T: Clone>(answers: &[T], number: usize) -> Option<T> {
    answers.get(number).or(answers.last()).cloned()
}

impl Cluster {
    fn new() -> Cluster {
        Cluster {
            clock: VirtualClock::shared(),
            creations: BTreeMap::new(),
            looks: BTreeMap::new(),
            configs: BTreeMap::new(),
            writable_at_ms: BTreeMap::new(),
            asked: Mutex::default(),
        }
    }

    fn creating(mut self, topic: &'static str, answers: impl IntoIterator<Item = Creation>) -> Cluster {
        self.creations.insert(topic, answers.into_iter().collect());
        self
    }

    /// A topic that was there before, with these brokers per partition.
    fn existing(self, topic: &'static str, partitions: &[(i32, &[i32])]) -> Cluster {
        let replicas = partitions.iter().map(|(partition, brokers)| (*partition, brokers.to_vec())).collect();
        self.seen(topic, [Some(replicas)])
    }

    fn seen(mut self, topic: &'static str, looks: impl IntoIterator<Item = Option<Replicas>>) -> Cluster {
        self.looks.insert(topic, looks.into_iter().collect());
        self.creating(topic, [Creation::Exists])
    }

    fn now_ms(&self) -> u64 {
        self.clock.now().mono_ms
    }

    async fn set_up(&self, topics: &[(&str, &PartitionsSpec)], retries: u32) -> Result<Setup, String> {
        TopicSetup { admin: self, clock: &*self.clock, retries }.run(topics).await
    }

    /// Sets up one topic, as often as it takes.
    async fn set_up_foo(&self, spec: &PartitionsSpec) -> Result<Setup, String> {
        self.set_up(&[("foo", spec)], u32::MAX).await
    }

    fn asked<T>(&self, look: impl FnOnce(&Asked) -> T) -> T {
        look(&self.asked.lock().unwrap())
    }
}

#[async_trait]
impl TopicAdmin for Cluster {
    async fn create(&self, topics: &[(&str, &PartitionsSpec)]) -> Vec<Creation> {
        let mut asked = self.asked.lock().unwrap();
        let created = topics.iter().map(|(name, _)| {
            let before = asked.creations.iter().filter(|(_, names)| names.iter().any(|n| n == name)).count();
            let answers = self.creations.get(name);
            answers.and_then(|answers| answer(answers, before)).unwrap_or(Creation::Created)
        });
        let created = created.collect();
        let names = topics.iter().map(|(name, _)| (*name).to_owned()).collect();
        asked.creations.push((self.now_ms(), names));
        created
    }

    async fn replicas(&self, topic: &str) -> Result<Option<Replicas>, Unanswered> {
        let mut asked = self.asked.lock().unwrap();
        let before = asked.looks.iter().filter(|(_, name)| name == topic).count();
        asked.looks.push((self.now_ms(), topic.to_owned()));
        Ok(self.looks.get(topic).and_then(|looks| answer(looks, before)).flatten())
    }

    async fn configs(&self, _topic: &str) -> Result<BTreeMap<String, String>, Unanswered> {
        Ok(self.configs.clone())
    }

    async fn takes_writes(&self, topic: &str, partition: i32) -> Result<(), Unanswered> {
        let at_ms = self.writable_at_ms.iter().find(|((name, id), _)| (*name, *id) == (topic, partition));
        if at_ms.is_some_and(|(_, at_ms)| self.now_ms() < *at_ms) {
            return Err(Unanswered::Yet("no leader".to_owned()));
        }
        self.asked.lock().unwrap().writable.push((topic.to_owned(), partition));
        Ok(())
    }
}

fn partitions(num_partitions: i32) -> PartitionsSpec {
    PartitionsSpec { num_partitions, replication_factor: 1, ..PartitionsSpec::default() }
}

fn not_yet(reason: &str) -> Creation {
    Creation::NotYet(reason.to_owned())
}

fn created(topics: &[&str]) -> Setup {
    Setup { created: topics.iter().map(|name| (*name).to_owned()).collect(), warnings: Vec::new() }
}

fn warnings(warnings: &[&str]) -> Setup {
    Setup { created: Vec::new(), warnings: warnings.iter().map(|text| (*text).to_owned()).collect() }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_possible_yet_is_tried_again_after_growing_pauses() {
    let answers = vec![not_yet("no controller"); 4].into_iter().chain([Creation::Created]);
    let cluster = Cluster::new().creating("foo", answers);
    let spec = partitions(1);
    let setup = cluster.set_up(&[("bar", &spec), ("foo", &spec)], u32::MAX).await;
    assert_eq!(setup, Ok(created(&["bar", "foo"])));
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let first = (0, names(&["bar", "foo"]));
    let expected: Vec<_> =
        [first].into_iter().chain([100, 300, 600, 1000].map(|ms| (ms, names(&["foo"])))).collect();
    cluster.asked(|asked| assert_eq!(asked.creations, expected));
}

#[tokio::test(start_paused = true)]
async fn creation_is_given_up_after_three_minutes_with_a_readable_sentence() {
    let cluster = Cluster::new().creating("foo", [not_yet("first"), not_yet("no controller")]);
    let cluster = cluster.creating("bar", [not_yet("first")]);
    let spec = partitions(1);
    let error =
        cluster.set_up(&[("bar", &spec), ("baz", &spec), ("foo", &spec)], u32::MAX).await.unwrap_err();
    // The pauses grow to 2 s within 19 s, so that the attempt after the limit is the 101st.
    assert_eq!(error, "Unable to create topic(s): bar, foo after 101 attempt(s): no controller");
    assert_eq!(cluster.now_ms(), 181 * SECOND_MS);
    cluster.asked(|asked| assert_eq!(asked.creations.len(), 101));
}

#[tokio::test(start_paused = true)]
async fn the_clients_retries_bound_the_attempts() {
    for (retries, attempts) in [(0, 1), (2, 3)] {
        let cluster = Cluster::new().creating("foo", [not_yet("no controller")]);
        let error = cluster.set_up(&[("foo", &partitions(1))], retries).await.unwrap_err();
        let expected = format!("Unable to create topic(s): foo after {attempts} attempt(s): no controller");
        assert_eq!(error, expected);
        cluster.asked(|asked| assert_eq!(asked.creations.len(), attempts));
        assert!(cluster.now_ms() < SECOND_MS);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_the_set_up_at_once() {
    let refused = Creation::Refused("topic \"foo\" cannot be created: PolicyViolation".to_owned());
    let cluster = Cluster::new().creating("foo", [refused]).creating("bar", [not_yet("no controller")]);
    let spec = partitions(1);
    let error = cluster.set_up(&[("bar", &spec), ("foo", &spec)], u32::MAX).await.unwrap_err();
    assert_eq!(error, "topic \"foo\" cannot be created: PolicyViolation");
    assert_eq!(cluster.now_ms(), 0);
    cluster.asked(|asked| assert_eq!((asked.creations.len(), asked.writable.len()), (1, 0)));
}

#[tokio::test(start_paused = true)]
async fn another_number_of_partitions_is_an_error_in_the_originals_words() {
    let cluster = Cluster::new().existing("foo", &[(0, &[1]), (1, &[1])]);
    let error = cluster.set_up_foo(&partitions(3)).await.unwrap_err();
    let sentence = "Topic 'foo' exists, but has 2 partitions, while requested  number of partitions is 3";
    assert_eq!(error, sentence);
    assert_eq!(cluster.set_up_foo(&partitions(2)).await, Ok(Setup::default()));
}

#[tokio::test(start_paused = true)]
async fn other_differences_of_an_existing_topic_are_warnings() {
    let cluster = || {
        let found = [("retention.ms", "5"), ("cleanup.policy", "delete")];
        let configs = found.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let cluster = Cluster { configs, ..Cluster::new() };
        cluster.existing("foo", &[(0, &[1, 2]), (1, &[2, 1])])
    };
    let factor = |replication_factor| PartitionsSpec { replication_factor, ..partitions(2) };
    let assigned = |assignments: &[(i32, &[i32])]| PartitionsSpec {
        partition_assignments: assignments.iter().map(|(id, brokers)| (*id, brokers.to_vec())).collect(),
        ..factor(3)
    };
    let configured = |configs: &[(&str, &str)]| PartitionsSpec {
        configs: configs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ..factor(2)
    };
    let rows: [(PartitionsSpec, &[&str]); 7] = [
        (factor(2), &[]),
        // The default is no wish.
        (factor(0), &[]),
        (factor(3), &["topic \"foo\" exists, but has 2 replicas per partition, not 3"]),
        // Assignments take the place of both numbers.
        (assigned(&[(0, &[1, 2]), (1, &[2, 1])]), &[]),
        (
            assigned(&[(0, &[2, 1]), (5, &[1])]),
            &[
                "topic \"foo\" exists, but partition 0 is on brokers [1, 2], not on [2, 1]",
                "topic \"foo\" exists, but has no partition 5",
            ],
        ),
        (configured(&[("retention.ms", "5")]), &[]),
        (
            configured(&[("cleanup.policy", "compact"), ("retention.ms", "5"), ("segment.ms", "7")]),
            &[
                "topic \"foo\" exists, but its cleanup.policy is delete, not compact",
                "topic \"foo\" exists, but its segment.ms is unset, not 7",
            ],
        ),
    ];
    for (spec, expected) in rows {
        assert_eq!(cluster().set_up_foo(&spec).await, Ok(warnings(expected)), "{spec:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_existing_topic_that_does_not_show_yet_is_looked_at_again() {
    let found = Some(Replicas::from([(0, vec![1])]));
    let cluster = Cluster::new().seen("foo", [None, None, found]);
    let error = cluster.set_up_foo(&partitions(2)).await.unwrap_err();
    assert!(error.starts_with("Topic 'foo' exists, but has 1 partitions"), "{error}");
    let looks = [0, 2500, 5000].map(|ms| (ms, "foo".to_owned()));
    cluster.asked(|asked| assert_eq!(asked.looks, looks));
    // One that never shows is judged by whether it takes writes.
    let cluster = Cluster::new().seen("foo", [None]);
    assert_eq!(cluster.set_up_foo(&partitions(2)).await, Ok(Setup::default()));
    cluster.asked(|asked| assert_eq!(asked.looks.len(), 3));
}

#[tokio::test(start_paused = true)]
async fn the_set_up_ends_when_every_partition_takes_writes() {
    let writable_at_ms = [(("foo", 1), 20 * SECOND_MS), (("bar", 0), 59 * SECOND_MS)].into();
    let cluster = Cluster { writable_at_ms, ..Cluster::new() }.existing("bar", &[(0, &[1])]);
    let setup = cluster.set_up(&[("foo", &partitions(3)), ("bar", &partitions(1))], u32::MAX).await;
    assert_eq!(setup, Ok(created(&["foo"])));
    let expected = [("foo", 0), ("foo", 1), ("foo", 2), ("bar", 0)];
    let expected = expected.map(|(name, partition)| (name.to_owned(), partition));
    cluster.asked(|asked| assert_eq!(asked.writable, expected));
    let late_ms = cluster.now_ms() - 59 * SECOND_MS;
    assert!(late_ms < 20, "{late_ms}");
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_takes_no_writes_is_given_up_after_a_minute() {
    let writable_at_ms = [(("foo", 1), u64::MAX)].into();
    let cluster = Cluster { writable_at_ms, ..Cluster::new() };
    let error = cluster.set_up_foo(&partitions(2)).await.unwrap_err();
    assert_eq!(error, "partition 1 of topic \"foo\" takes no writes after 60 s: no leader");
    let late_ms = cluster.now_ms() - 60 * SECOND_MS;
    assert!(late_ms < 20, "{late_ms}");
}

#[tokio::test(start_paused = true)]
async fn topics_are_asked_for_by_ten() {
    let names: Vec<_> = (0..23).map(|number| format!("foo{number}")).collect();
    let cluster = Cluster::new().creating("foo12", [not_yet("no controller"), Creation::Exists]);
    let cluster = cluster.creating("foo3", [not_yet("no controller"), Creation::Created]);
    let spec = partitions(1);
    let topics: Vec<_> = names.iter().map(|name| (name.as_str(), &spec)).collect();
    let setup = cluster.set_up(&topics, u32::MAX).await.unwrap();
    // The one that came into being meanwhile is not said to be new.
    assert_eq!((setup.created.len(), setup.created.last().unwrap().as_str()), (22, "foo3"));
    let again = ["foo3", "foo12"].map(str::to_owned);
    let expected = [&names[..10], &names[10..20], &names[20..], &again];
    cluster.asked(|asked| {
        let requests: Vec<_> = asked.creations.iter().map(|(_, names)| &names[..]).collect();
        assert_eq!(requests, expected);
    });
}
