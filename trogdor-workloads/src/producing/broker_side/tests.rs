//! Both sides as plain values: what is compared with what, and what is said of the difference.

use super::*;

const ID: [i64; 2] = [1, 2];

/// Topic "foo" with so many records in its partitions, by leaders of one term.
fn ends(offsets: &[i64]) -> Ends {
    ends_of(ID, offsets, 3)
}

fn ends_of(id: [i64; 2], offsets: &[i64], epoch: i32) -> Ends {
    let ends =
        (0..).zip(offsets).map(|(partition, offset)| (partition, Ok(LogEnd { offset: *offset, epoch })));
    [("foo".to_owned(), Ok(TopicEnds { id, ends: ends.collect() }))].into()
}

fn not_known(ends: &mut Ends, partition: i32, reason: &str) {
    let topic = ends.get_mut("foo").unwrap().as_mut().unwrap();
    topic.ends.insert(partition, Err(reason.to_owned()));
}

/// So many records of each partition of "foo" were acknowledged.
fn client(acknowledged: &[u64]) -> ClientSide {
    let places =
        (0..).zip(acknowledged).map(|(partition, count)| (("foo".to_owned(), Some(partition)), *count));
    ClientSide {
        acks: Acks::All,
        is_idempotent: true,
        acknowledged: places.collect(),
        unanswered: 0,
        transactions: 0,
    }
}

/// Appended, acknowledged, partitions, missing, surplus.
fn sums(side: &BrokerSide) -> [u64; 5] {
    assert_eq!(side.appended + side.missing, side.acknowledged + side.surplus, "{side:?}");
    [side.appended, side.acknowledged, side.partitions, side.missing, side.surplus]
}

#[test]
fn logs_that_grew_by_what_was_acknowledged_leave_nothing_to_say() {
    let found = reconcile(&ends(&[5, 0]), &ends(&[15, 7]), &client(&[10, 7]));
    assert_eq!(sums(&found.side), [17, 17, 2, 0, 0]);
    assert_eq!((found.error, found.warning, found.is_settled), (None, None, true));
    assert!(found.side.remarks.is_empty() && found.side.not_known.is_empty(), "{:?}", found.side);
}

#[test]
fn what_a_log_lacks_is_an_error_that_no_other_log_makes_up_for() {
    let found = reconcile(&ends(&[0, 0, 0]), &ends(&[8, 100, 0]), &client(&[10, 7, 5]));
    assert_eq!(sums(&found.side), [108, 22, 3, 7, 93]);
    assert_eq!(found.side.missing_in, [("foo-0".to_owned(), 2), ("foo-2".to_owned(), 5)].into());
    let expected = "at least 7 of 22 messages that were acknowledged are not in the log (foo-2: 5, foo-0: 2)";
    assert_eq!((found.error.as_deref(), found.warning), (Some(expected), None));
    assert!(!found.is_settled, "the next look may find them");
}

#[test]
fn many_partitions_that_miss_something_are_told_in_few_words() {
    let found = reconcile(&ends(&[0; 500]), &ends(&[0; 500]), &client(&[1; 500]));
    assert_eq!((found.side.missing, found.side.missing_in.len()), (500, 10));
    let error = found.error.unwrap();
    assert!(error.ends_with("foo-106: 1, … and 490 more)"), "{error}");
}

#[test]
fn a_surplus_is_explained_as_far_as_it_can_be() {
    type Case = (u64, u64, bool, i64, &'static [&'static str]);
    // Without an answer, transactions, whether it is idempotent, in the log beyond the ten.
    let cases: &[Case] = &[
        (0, 0, true, 4, &["at least 4 were written by others"]),
        (0, 0, false, 4, &["at least 4 were written by others, or twice because they were retried"]),
        (
            3,
            0,
            true,
            2,
            &[
                "at most 2 of the 3 messages without an answer had been written, if no acknowledged one is missing",
            ],
        ),
        (
            3,
            0,
            true,
            0,
            &[
                "at most 0 of the 3 messages without an answer had been written, if no acknowledged one is missing",
            ],
        ),
        (0, 2, true, 2, &["at most 2 are the control records of 2 transactions"]),
        // The last one is not there yet.
        (0, 2, true, 1, &["at most 1 are the control records of 2 transactions"]),
        // No transaction writes to more partitions than it has records.
        (
            0,
            100,
            true,
            30,
            &["at most 10 are the control records of 100 transactions", "at least 20 were written by others"],
        ),
        (
            3,
            2,
            true,
            9,
            &[
                "at most 3 of the 3 messages without an answer had been written, if no acknowledged one is missing",
                "at most 2 are the control records of 2 transactions",
                "at least 4 were written by others",
            ],
        ),
    ];
    for (unanswered, transactions, is_idempotent, surplus, expected) in cases {
        let client = ClientSide {
            unanswered: *unanswered,
            transactions: *transactions,
            is_idempotent: *is_idempotent,
            ..client(&[10])
        };
        let found = reconcile(&ends(&[0]), &ends(&[10 + surplus]), &client);
        assert_eq!(found.side.remarks, *expected);
        assert_eq!((found.error, found.warning, found.is_settled), (None, None, true), "{expected:?}");
    }
}

#[test]
fn what_nobody_acknowledged_is_missing_without_an_error() {
    let client = ClientSide { acks: Acks::Nobody, ..client(&[10]) };
    let found = reconcile(&ends(&[0]), &ends(&[4]), &client);
    assert_eq!(sums(&found.side), [4, 10, 1, 6, 0]);
    let expected = "acks=0: at least 6 of 10 messages that were sent are not in the log, or not on all replicas in \
                    sync yet (foo-0: 6)";
    assert_eq!((found.error, found.warning.as_deref(), found.is_settled), (None, Some(expected), false));
}

#[test]
fn what_a_leader_alone_acknowledged_is_lost_only_with_the_leader() {
    let client = ClientSide { acks: Acks::Leader, ..client(&[10]) };
    let same = reconcile(&ends(&[0]), &ends(&[4]), &client);
    assert_eq!(sums(&same.side), [0; 5]);
    assert_eq!((same.error, same.is_settled), (None, false));
    let expected =
        "more is acknowledged than is on all replicas in sync, by a leader that is still the same (foo-0)";
    assert_eq!(same.side.not_known, [expected]);
    let other = reconcile(&ends(&[0]), &ends_of(ID, &[4], 4), &client);
    assert_eq!(sums(&other.side), [4, 10, 1, 6, 0]);
    let expected = "at least 6 of 10 messages that were acknowledged are not in the log after a change of leaders, \
                    which acks=1 does not outlive (foo-0: 6)";
    assert_eq!(other.error.as_deref(), Some(expected));
    // Nothing is missing for all that, and with a leader of unknown term nothing is sure.
    assert_eq!(reconcile(&ends(&[0]), &ends_of(ID, &[10], 4), &client).error, None);
    assert_eq!(reconcile(&ends(&[0]), &ends_of(ID, &[4], -1), &client).error, None);
}

#[test]
fn a_log_that_ends_earlier_than_before_lost_more_than_can_be_counted() {
    let found = reconcile(&ends(&[100, 0]), &ends(&[60, 5]), &client(&[10, 5]));
    assert_eq!(sums(&found.side), [5, 5, 1, 0, 0]);
    let expected = "logs end earlier than before the first message, so what could be read is gone (foo-0 from 100 to 60)";
    assert_eq!(found.error.as_deref(), Some(expected));
    assert_eq!((found.side.not_known, found.is_settled), (vec![expected.to_owned()], false));
}

#[test]
fn a_topic_that_was_created_anew_is_no_loss() {
    // Whether its new log is shorter or longer.
    for end in [60, 160] {
        let found = reconcile(&ends(&[100]), &ends_of([1, 3], &[end], 3), &client(&[100]));
        assert_eq!(sums(&found.side), [0; 5]);
        assert_eq!(found.side.not_known, ["the topic was deleted and created anew meanwhile (foo-0)"]);
        assert_eq!((found.error, found.is_settled), (None, true));
    }
}

#[test]
fn what_one_look_did_not_tell_is_left_out_and_the_reason_told() {
    let (mut before, mut after) = (ends(&[0; 4]), ends(&[10; 4]));
    not_known(&mut before, 0, "no leader");
    not_known(&mut after, 1, "no leader");
    let found = reconcile(&before, &after, &client(&[10; 4]));
    assert_eq!(sums(&found.side), [20, 20, 2, 0, 0]);
    let expected = ["after the last: no leader (foo-1)", "before the first message: no leader (foo-0)"];
    assert_eq!(found.side.not_known, expected);
    assert_eq!((found.error, found.is_settled), (None, false));
    assert_eq!((is_complete(&before), known(&before), is_complete(&ends(&[1]))), (false, 3, true));

    // Of a whole topic; without a first look no other one helps.
    let gone: Ends = [("foo".to_owned(), Err("Unknown topic".to_owned()))].into();
    let found = reconcile(&ends(&[0]), &gone, &client(&[1]));
    assert_eq!(found.side.not_known, ["after the last: Unknown topic (foo-0)"]);
    assert_eq!((found.error, found.is_settled), (None, false));
    assert!(reconcile(&gone, &ends(&[1]), &client(&[1])).is_settled);
}

#[test]
fn where_the_client_chose_partitions_the_topic_is_compared_as_a_whole() {
    let of_topic =
        |count| ClientSide { acknowledged: [(("foo".to_owned(), None), count)].into(), ..client(&[]) };
    // The third partition was added meanwhile.
    let found = reconcile(&ends(&[5, 5]), &ends(&[10, 10, 3]), &of_topic(13));
    assert_eq!((sums(&found.side), found.error), ([13, 13, 3, 0, 0], None));
    let found = reconcile(&ends(&[5, 5]), &ends(&[10, 10, 3]), &of_topic(14));
    assert_eq!(found.side.missing_in, [("foo".to_owned(), 1)].into());
    let mut after = ends(&[10, 10]);
    not_known(&mut after, 1, "no leader");
    let found = reconcile(&ends(&[5, 5]), &after, &of_topic(10));
    assert_eq!(found.side.not_known, ["after the last: no leader (foo)"]);
    let found = reconcile(&ends(&[5, 5]), &ends(&[4, 100]), &of_topic(10));
    assert!(found.error.unwrap().contains("(foo-0 from 5 to 4)"));
}
