//! How far a share group has come: whether nothing is left to read for it. It asks the group's coordinator, over
//! connections of its own, and changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::messages::describe_share_group_offsets_request::{
    DescribeShareGroupOffsetsRequestGroup as Group, DescribeShareGroupOffsetsRequestTopic as Topic,
};
use kafka_protocol::messages::{
    DescribeShareGroupOffsetsRequest, FindCoordinatorRequest, GroupId, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::connection::Connection;
use super::consumer::coordinator;
use super::failure::Failure;
use super::lag::LagRequest;
use super::settings::Settings;

/// Whether the settings' group is done with everything that is in these partitions.
///
/// # Errors
/// The cluster does not answer, or does not say.
pub(crate) async fn has_read_all(settings: &Settings, partitions: &[(String, i32)]) -> Result<bool, String> {
    let mut last = Failure::Passing("there is no broker to ask".to_owned());
    for server in &settings.servers {
        let looked = async {
            let mut connection = Connection::open(server, settings).await?;
            let lags = lags(&mut connection, settings, partitions).await?;
            Ok(partitions.iter().all(|partition| lags.get(partition) == Some(&0)))
        };
        match looked.await {
            Ok(is_all) => return Ok(is_all),
            Err(failure) => last = failure,
        }
    }
    Err(last.to_string())
}

/// Records of each partition that the group is not done with; −1 where it is not known.
async fn lags(
    connection: &mut Connection,
    settings: &Settings,
    partitions: &[(String, i32)],
) -> Result<BTreeMap<(String, i32), i64>, Failure> {
    let group = StrBytes::from_string(settings.group.clone());
    let find = FindCoordinatorRequest::default().with_coordinator_keys(vec![group.clone()]);
    let server = coordinator(connection.call(&find, Duration::ZERO).await?)?;
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in partitions {
        topics.entry(topic).or_default().push(*partition);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        let name = TopicName(StrBytes::from_string(topic.to_owned()));
        Topic::default().with_topic_name(name).with_partitions(partitions)
    });
    let group = Group::default().with_group_id(GroupId(group)).with_topics(Some(topics.collect()));
    let request = LagRequest(DescribeShareGroupOffsetsRequest::default().with_groups(vec![group]));
    let mut connection = Connection::open(&server, settings).await?;
    let answer = connection.call(&request, Duration::ZERO).await?;
    match answer.refused {
        Some((code, words)) => Err(Failure::of_code(code, Some(&words))),
        None => Ok(answer.lags),
    }
}
