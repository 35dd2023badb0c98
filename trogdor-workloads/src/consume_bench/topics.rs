//! What a ConsumeBench reads: its patterns expanded to topics and partitions. Unlike the original,
//! every expanded name is checked, and every range is expanded.

use std::collections::BTreeMap;
use std::time::Duration;

use trogdor_core::{Clock, WorkerContext};

use crate::topic_admin::{KafkaAdmin, TopicAdmin as _, Unanswered};
use crate::topic_setup::tell;
use crate::topics::{MAX_NAMES, expand_all};

/// Topic → the partitions that were named; none means all of them.
pub(crate) type Wanted = BTreeMap<String, Vec<i32>>;

/// Expands patterns such as `foo[1-3]:[0-4]`.
///
/// # Errors
/// One sentence per entry that is no topic and no `topic:partition`.
pub(crate) fn wanted(patterns: &[String]) -> Result<Wanted, Vec<String>> {
    let mut wanted = Wanted::new();
    let mut problems = Vec::new();
    let mut names = 0;
    for pattern in patterns {
        let expanded = match expand_all(pattern) {
            Ok(expanded) => expanded,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        names += expanded.len();
        if names > MAX_NAMES {
            problems.push(format!("activeTopics stands for more than {MAX_NAMES} names"));
            break;
        }
        for name in expanded {
            match topic_and_partition(&name) {
                Some((topic, partition)) => {
                    let partitions = wanted.entry(topic.to_owned()).or_default();
                    partitions.extend(partition.filter(|partition| !partitions.contains(partition)));
                }
                None => problems.push(format!("Expanded topic name {name} is invalid")),
            }
        }
    }
    problems.truncate(20);
    if problems.is_empty() { Ok(wanted) } else { Err(problems) }
}

fn topic_and_partition(name: &str) -> Option<(&str, Option<i32>)> {
    match name.split_once(':') {
        None => (!name.is_empty()).then_some((name, None)),
        Some((topic, partition)) => {
            let digits = !partition.is_empty() && partition.bytes().all(|byte| byte.is_ascii_digit());
            let partition = partition.parse().ok().filter(|_| digits)?;
            (!topic.is_empty()).then_some((topic, Some(partition)))
        }
    }
}

/// How long topics that are not there are waited for; Java's clients wait as long for an answer.
const TOPIC_LIMIT: Duration = Duration::from_secs(60);
const TOPIC_PAUSE: Duration = Duration::from_millis(100);

/// Waits until a topic is there, and answers its partitions.
///
/// # Errors
/// It is not there in time.
pub(crate) async fn wait_for_topic(
    admin: &KafkaAdmin,
    topic: &str,
    ctx: &WorkerContext,
) -> Result<Vec<i32>, String> {
    let what = format!("Waiting for topic {topic}, for at most {} s", TOPIC_LIMIT.as_secs());
    tell(ctx, admin, &what, look_for_topic(admin, topic, &*ctx.clock)).await
}

async fn look_for_topic(admin: &KafkaAdmin, topic: &str, clock: &dyn Clock) -> Result<Vec<i32>, String> {
    let since_ms = clock.now().mono_ms;
    loop {
        let reason = match admin.replicas(topic).await {
            Ok(Some(partitions)) => return Ok(partitions.into_keys().collect()),
            Ok(None) => "the cluster does not know it".to_owned(),
            Err(Unanswered::Yet(reason)) => reason,
            Err(Unanswered::ForGood(reason)) => return Err(reason),
        };
        if clock.now().mono_ms - since_ms >= TOPIC_LIMIT.as_millis() as u64 {
            return Err(format!("topic {topic:?} is not there after {} s: {reason}", TOPIC_LIMIT.as_secs()));
        }
        tokio::time::sleep(TOPIC_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(patterns: &[&str]) -> Result<Wanted, Vec<String>> {
        wanted(&patterns.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn patterns_are_expanded_in_both_parts() {
        let expected: Wanted = [("foo1".to_owned(), vec![0, 1]), ("foo2".to_owned(), vec![0, 1])].into();
        assert_eq!(of(&["foo[1-2]:[0-1]"]), Ok(expected));
        let expected: Wanted = [("a".to_owned(), vec![]), ("b".to_owned(), vec![3])].into();
        assert_eq!(of(&["a", "b:3", "b:3"]), Ok(expected));
        let expected: Wanted = [("foo1".to_owned(), vec![3]), ("foo2".to_owned(), vec![3])].into();
        assert_eq!(of(&["foo[1-2]:[3-3]"]), Ok(expected), "a range of one number does not end the expansion");
        assert_eq!(of(&[]), Ok(Wanted::new()));
    }

    #[test]
    fn every_expanded_name_is_checked() {
        for name in
            ["In:valid", "invalid:", ":invalid", "in:valid:1", "invalid:2:2", "invalid::1", "a:99999999999"]
        {
            assert_eq!(of(&["fine", name]), Err(vec![format!("Expanded topic name {name} is invalid")]));
        }
        assert_eq!(of(&["invalid[1-1]:"]), Err(vec!["Expanded topic name invalid1: is invalid".to_owned()]));
        assert!(of(&["a[3-1]"]).is_err());
    }
}
