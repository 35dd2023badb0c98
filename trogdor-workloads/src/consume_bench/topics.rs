//! What a ConsumeBench reads: its patterns expanded to topics and partitions. Unlike the original,
//! every expanded name is checked, and every range is expanded.

use std::collections::BTreeMap;

use crate::topics::{MAX_NAMES, expand_all};

/// Topic → the partitions that were named; none means all of them.
pub(super) type Wanted = BTreeMap<String, Vec<i32>>;

/// Expands patterns such as `foo[1-3]:[0-4]`.
///
/// # Errors
/// One sentence per entry that is no topic and no `topic:partition`.
pub(super) fn wanted(patterns: &[String]) -> Result<Wanted, Vec<String>> {
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
