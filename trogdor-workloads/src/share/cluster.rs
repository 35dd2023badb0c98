//! What a client knows of the cluster: its brokers, the topics it reads with their ids, and who leads which
//! partition. Pure: metadata come in, answers go out; when to ask again is the consumer's business.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::failure::Failure;
use super::session::Partition;
use crate::client_config::HostPort;

/// Partition → leader.
type Leaders = BTreeMap<i32, Leader>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Leader {
    broker: i32,
    epoch: i32,
}

/// The cluster as last heard of.
#[derive(Debug, Default)]
pub(super) struct Cluster {
    brokers: BTreeMap<i32, HostPort>,
    topics: BTreeMap<Uuid, Leaders>,
    /// Also of topics that are gone: records of theirs may still be on their way.
    names: BTreeMap<Uuid, Arc<str>>,
}

impl Cluster {
    /// Asks about topics by their names.
    pub(super) fn request(topics: &[String]) -> MetadataRequest {
        let topic = |name: &String| {
            let name = TopicName(StrBytes::from_string(name.clone()));
            MetadataRequestTopic::default().with_name(Some(name))
        };
        MetadataRequest::default().with_topics(Some(topics.iter().map(topic).collect()))
    }

    /// Takes an answer.
    ///
    /// # Errors
    /// A topic may not be read.
    pub(super) fn learn(&mut self, answer: MetadataResponse) -> Result<(), Failure> {
        let brokers = answer.brokers.into_iter();
        self.brokers = brokers.filter_map(|b| Some((b.node_id.0, host_port(&b.host, b.port)?))).collect();
        let mut topics = BTreeMap::new();
        for topic in answer.topics {
            let name = topic.name.as_ref().map_or("", |name| name.0.as_str());
            match ResponseError::try_from_code(topic.error_code) {
                Some(ResponseError::TopicAuthorizationFailed) => {
                    return Err(Failure::Final(format!("Not authorized to access topics: [{name}]")));
                }
                Some(_) => continue,
                None => {}
            }
            let known = self.topics.get(&topic.topic_id);
            let leaders =
                topic.partitions.iter().filter(|partition| partition.leader_id.0 >= 0).map(|partition| {
                    let heard = Leader { broker: partition.leader_id.0, epoch: partition.leader_epoch };
                    let before = known.and_then(|leaders| leaders.get(&partition.partition_index)).copied();
                    // A broker that lags behind may name a leader of the past.
                    let leader = before.filter(|before| before.epoch > heard.epoch).unwrap_or(heard);
                    (partition.partition_index, leader)
                });
            topics.insert(topic.topic_id, leaders.collect());
            self.names.entry(topic.topic_id).or_insert_with(|| name.into());
        }
        self.topics = topics;
        Ok(())
    }

    /// A broker has named another leader; true if that is news.
    pub(super) fn moved(&mut self, (topic, index): Partition, broker: i32, epoch: i32) -> bool {
        let known = self.topics.get_mut(&topic).filter(|_| broker >= 0 && epoch >= 0);
        let Some(leaders) = known else { return false };
        let is_news = leaders.get(&index).is_none_or(|leader| leader.epoch < epoch);
        if is_news {
            leaders.insert(index, Leader { broker, epoch });
        }
        is_news
    }

    /// A broker has told where another one is.
    pub(super) fn add_broker(&mut self, id: i32, host: &str, port: i32) {
        if let Some(address) = host_port(host, port) {
            self.brokers.insert(id, address);
        }
    }

    pub(super) fn leader(&self, (topic, index): Partition) -> Option<i32> {
        let leader = self.topics.get(&topic)?.get(&index)?.broker;
        self.brokers.contains_key(&leader).then_some(leader)
    }

    pub(super) fn topic(&self, id: Uuid) -> Option<&Arc<str>> {
        self.names.get(&id)
    }

    /// A topic that was there before and is not now.
    pub(super) fn gone(&self) -> Option<&Arc<str>> {
        let is_there = |name: &Arc<str>| self.topics.keys().any(|id| self.names.get(id) == Some(name));
        self.names.values().find(|name| !is_there(name))
    }

    pub(super) fn broker(&self, id: i32) -> Option<&HostPort> {
        self.brokers.get(&id)
    }

    pub(super) fn brokers(&self) -> impl Iterator<Item = &HostPort> {
        self.brokers.values()
    }
}

/// An address as brokers write it.
pub(super) fn host_port(host: &str, port: i32) -> Option<HostPort> {
    Some(HostPort { host: host.to_owned(), port: u16::try_from(port).ok()? })
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::BrokerId;
    use kafka_protocol::messages::metadata_response::{
        MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
    };

    use super::*;

    const ID: Uuid = Uuid::from_u128(7);

    fn answer(leaders: &[(i32, i32)], error_code: i16) -> MetadataResponse {
        let broker = |id: i32| {
            MetadataResponseBroker::default()
                .with_node_id(BrokerId(id))
                .with_host(StrBytes::from_static_str("h"))
                .with_port(9000 + id)
        };
        let partitions = leaders.iter().enumerate().map(|(index, (broker, epoch))| {
            MetadataResponsePartition::default()
                .with_partition_index(index as i32)
                .with_leader_id(BrokerId(*broker))
                .with_leader_epoch(*epoch)
        });
        let topic = MetadataResponseTopic::default()
            .with_name(Some(TopicName(StrBytes::from_static_str("t"))))
            .with_topic_id(ID)
            .with_error_code(error_code)
            .with_partitions(partitions.collect());
        MetadataResponse::default().with_brokers(vec![broker(1), broker(2)]).with_topics(vec![topic])
    }

    #[test]
    fn leaders_are_known_by_topic_id_and_the_newest_counts() {
        let mut cluster = Cluster::default();
        cluster.learn(answer(&[(1, 5), (2, 5), (-1, 5), (9, 5)], 0)).unwrap();
        let leaders: Vec<_> = (0..5).map(|index| cluster.leader((ID, index))).collect();
        assert_eq!(leaders, [Some(1), Some(2), None, None, None], "an unknown broker leads nothing");
        assert_eq!(cluster.topic(ID).map(|name| &**name), Some("t"));
        assert!(cluster.moved((ID, 0), 2, 6));
        assert!(!cluster.moved((ID, 0), 1, 6) && !cluster.moved((ID, 0), -1, -1));
        cluster.learn(answer(&[(1, 5), (1, 6)], 0)).unwrap();
        assert_eq!((cluster.leader((ID, 0)), cluster.leader((ID, 1))), (Some(2), Some(1)));
        assert_eq!(cluster.broker(2).map(|at| at.port), Some(9002));
    }

    #[test]
    fn a_topic_that_has_gone_is_told_unless_it_was_made_anew() {
        let mut cluster = Cluster::default();
        cluster.learn(answer(&[], 3)).unwrap();
        assert_eq!(cluster.gone(), None, "it was never there");
        cluster.learn(answer(&[(1, 5)], 0)).unwrap();
        assert_eq!(cluster.gone(), None);
        cluster.learn(answer(&[], 3)).unwrap();
        assert_eq!(cluster.gone().map(|name| &**name), Some("t"));
        let mut anew = answer(&[(1, 0)], 0);
        anew.topics[0].topic_id = Uuid::from_u128(8);
        cluster.learn(anew).unwrap();
        assert_eq!(cluster.gone(), None);
    }

    #[test]
    fn a_topic_that_is_not_there_is_waited_for_but_a_forbidden_one_is_not() {
        let mut cluster = Cluster::default();
        cluster.learn(answer(&[(1, 5)], 3)).unwrap();
        assert_eq!(cluster.topic(ID), None);
        let forbidden = cluster.learn(answer(&[], 29));
        assert_eq!(forbidden, Err(Failure::Final("Not authorized to access topics: [t]".to_owned())));
    }
}
