//! What is recorded while workloads run against a real broker: interval histograms that add up to the statuses, and
//! times from a record's due time to its receipt. Latencies while a broker stands still: `stalls.rs`.

use trogdor::workloads::{
    ALL_CONSUMERS, ConsumeBenchSpec, ConsumeBenchStatus, ProduceBenchSpec, ProduceBenchStatus,
};
use trogdor_core::measure::{Latencies, Measured, counts};
use trogdor_core::{Cluster, NodeName, TaskResult};

use crate::support::{kafka, topic, topics};

async fn paced(topic: &str, rate: i32, messages: i64) -> ProduceBenchSpec {
    ProduceBenchSpec {
        duration_ms: 60_000,
        producer_node: "node0".to_owned(),
        bootstrap_servers: kafka().await.bootstrap().to_owned(),
        target_messages_per_sec: rate,
        max_messages: messages,
        active_topics: topics(topic, 3),
        ..ProduceBenchSpec::default()
    }
}

fn cluster() -> Cluster {
    trogdor::cluster().unwrap().nodes(["node0", "node1", "node2"]).start()
}

fn same(one: &Latencies, other: &Latencies) -> bool {
    one.bars().eq(other.bars())
}

#[tokio::test]
async fn intervals_of_three_agents_add_up_to_what_their_statuses_say() {
    let spec = ProduceBenchSpec {
        producer_nodes: ["node0", "node1", "node2"].map(NodeName::from).into(),
        ..paced(&topic("intervals"), 500, 1500).await
    };
    let result = cluster().run(&spec).await.unwrap().ok().unwrap();
    let measured = result.measured();
    assert_eq!((measured.count(counts::DELIVERED), measured.count(counts::HANDED_OVER)), (4500, 4500));
    for figure in [measured.response_time(), measured.service_time(), measured.schedule_delay()] {
        assert_eq!(figure.count(), 4500);
    }
    assert_eq!(result.recordings.len(), 3);
    for (node, recording) in &result.recordings {
        // Three seconds, cut where the clock begins new ones.
        assert!((3..=6).contains(&recording.intervals.len()), "{node}: {}", recording.intervals.len());
        let starts: Vec<_> =
            recording.intervals.iter().skip(1).map(|one| one.start_ms.rem_euclid(1000)).collect();
        assert!(starts.iter().all(|into| *into < 300), "{node}: {starts:?}");
        let status: ProduceBenchStatus =
            serde_json::from_value(result.state.status()[node.as_str()].clone()).unwrap();
        let own = Measured::of([recording]).unwrap();
        // The mean is told from the values themselves, and known to three digits from their bars.
        let told = status.response_time.unwrap();
        let response = own.response_time().summary();
        assert_eq!(
            (response.p50_us, response.p999_us, response.max_us),
            (told.p50_us, told.p999_us, told.max_us)
        );
        let settings = &recording.facts["producer"]["settings"];
        assert_eq!(settings["request.required.acks"], "-1", "{settings}");
        assert!(recording.facts["host"]["cpus"].as_u64() > Some(0));
    }
    let mut sum = Latencies::new();
    for recording in result.recordings.values() {
        sum.add(Measured::of([recording]).unwrap().response_time());
    }
    assert!(same(&sum, measured.response_time()));
}

#[tokio::test]
async fn a_consumer_tells_the_time_since_records_were_due() {
    let topic = topic("due");
    let cluster = cluster();
    let producing = cluster.create("produce", &paced(&topic, 200, 600).await).await.unwrap();
    let consume = ConsumeBenchSpec {
        duration_ms: 60_000,
        consumer_node: "node1".to_owned(),
        bootstrap_servers: kafka().await.bootstrap().to_owned(),
        max_messages: 600,
        active_topics: vec![topic],
        ..ConsumeBenchSpec::default()
    };
    let consumed: TaskResult = cluster.run(&consume).await.unwrap().ok().unwrap();
    let produced = cluster.wait(&producing).await.unwrap().ok().unwrap();
    let status: ConsumeBenchStatus = consumed.status().unwrap();
    let measured = consumed.measured();
    let (end_to_end, received) = (measured.end_to_end(), measured.count(counts::RECEIVED));
    assert_eq!((end_to_end.count(), received), (600, 600));
    assert_eq!(end_to_end.summary().p99_us, status[ALL_CONSUMERS].delivery_latency.p99_us);
    let produced = produced.measured();
    assert_eq!(produced.response_time().count(), 600);
    let rebalances =
        |kind: &str| consumed.recordings["node1"].notices.iter().filter(|notice| notice.kind == kind).count();
    assert!(rebalances("rebalance") > 0);
    assert_eq!(
        consumed.recordings["node1"].facts["consumer"]["settings"]["group.id"].as_str().map(str::len),
        Some(50)
    );
}
