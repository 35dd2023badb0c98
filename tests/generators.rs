//! Byte for byte what the Java original writes: a Java agent and ours run the same specs against the
//! same broker, one topic of one partition each, and the records are compared by position. Of
//! payloads that begin with a clock reading the reading is checked for sense and the rest compared.

use futures_util::future::join_all;
use serde_json::{Value, json};
use trogdor_core::SystemClock;
use trogdor_lab::{JavaTrogdor, free_port};

use crate::support::{
    Daemon, Record, all_done, http, kafka, platform, read_topics, stderr, stdout, topic, trogdor,
};

const RECORDS: usize = 300;

/// Who writes: the original, ours at its pace, ours at full rate (which is another way through the code).
const WRITERS: [&str; 3] = ["java", "ours", "full-rate"];

/// The generators of one spec, `null` for the default of the class, and whether keys and values of 8 bytes
/// and more begin with a clock reading.
struct Row {
    key: Value,
    value: Value,
    clocks: (bool, bool),
}

fn row(key: Value, value: Value) -> Row {
    Row { key, value, clocks: (false, false) }
}

fn rows() -> Vec<Row> {
    let random = |size: i32, seed: i64, padding: i32| json!({"type": "uniformRandom", "size": size, "seed": seed, "padding": padding});
    let sequential =
        |size: i32, offset: i64| json!({"type": "sequential", "size": size, "startOffset": offset});
    let gaussian = |kind: &str, average: i32, deviation: f64, change: i32, seed: i64| {
        json!({
            "type": kind, "messageSizeAverage": average, "messageSizeDeviation": deviation,
            "messagesUntilSizeChange": change, "seed": seed,
        })
    };
    let null = || json!({"type": "null"});
    let draw = |seed: i64, parts: Vec<(i32, Value)>| {
        let parts: Vec<_> =
            parts.iter().map(|(percent, part)| json!({"percent": percent, "component": part})).collect();
        json!({"type": "randomComponent", "seed": seed, "components": parts})
    };
    let nested = draw(-3, vec![(10, random(3, 1, 0)), (90, sequential(5, 9))]);
    let pattern = json!({"type": "constant", "size": 10, "value": "YWJj"});
    vec![
        row(Value::Null, Value::Null),
        row(pattern.clone(), json!({"type": "sequential", "size": 10, "offset": 65_530})),
        row(sequential(4, -2), sequential(8, i64::MAX - 100)),
        row(sequential(1, 0), random(32, 123, 10)),
        row(random(7, i64::MAX - 100, 0), random(5000, -1, 1)),
        row(null(), random(6, 7, 6)),
        row(null(), null()),
        row(
            json!({"type": "constant"}),
            json!({"type": "constant", "size": 3000, "value": [1, -1, 0, 127, -128]}),
        ),
        row(
            draw(456, vec![(50, null()), (50, random(4, 123, 0))]),
            draw(i64::MIN, vec![(1, null()), (33, nested), (33, pattern), (33, random(20, 0, 19))]),
        ),
        Row {
            key: json!({"type": "timestampConstant", "size": 8}),
            value: json!({"type": "timestampRandom", "size": 41, "seed": -9}),
            clocks: (true, true),
        },
        Row {
            key: json!({"type": "timestampRandom", "size": 8, "seed": 1}),
            value: json!({"type": "timestampConstant", "size": 100}),
            clocks: (true, true),
        },
        Row {
            key: gaussian("gaussianTimestampRandom", 64, 10.0, 2, 9),
            value: gaussian("gaussianTimestampConstant", 100, 30.5, 7, -5),
            clocks: (true, true),
        },
        Row {
            key: gaussian("gaussianTimestampConstant", 5, 3.0, 0, 1),
            value: draw(
                8,
                vec![
                    (40, gaussian("gaussianTimestampRandom", 500, 200.0, 3, i64::MAX - 50)),
                    (30, gaussian("gaussianTimestampConstant", -10, 15.0, 2, 77)),
                    (20, random(4, 2, 2)),
                    (10, null()),
                ],
            ),
            clocks: (true, true),
        },
    ]
}

fn spec(row: &Row, writer: &str, topic: &str, bootstrap: &str) -> Value {
    let mut spec = json!({
        "class": "org.apache.kafka.trogdor.workload.ProduceBenchSpec",
        "durationMs": 60_000,
        "producerNode": if writer == "java" { "java" } else { "ours" },
        "bootstrapServers": bootstrap,
        "targetMessagesPerSec": 5 * RECORDS,
        "maxMessages": RECORDS,
        "keyGenerator": row.key,
        "valueGenerator": row.value,
        "skipFlush": true,
        "activeTopics": {topic: {"numPartitions": 1, "replicationFactor": 1}},
    });
    if writer == "full-rate" {
        spec["unlimited"] = json!(true);
    }
    spec
}

/// Java's producer loses records on topics that were created a moment ago, so they are created and
/// waited for by a run that sends nothing.
async fn create_topics(topics: &[String], bootstrap: &str) {
    let topics: Value = topics
        .iter()
        .map(|topic| (topic.clone(), json!({"numPartitions": 1, "replicationFactor": 1})))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let spec = json!({
        "class": "org.apache.kafka.trogdor.workload.ProduceBenchSpec",
        "durationMs": 60_000,
        "producerNode": "node0",
        "bootstrapServers": bootstrap,
        "activeTopics": topics,
    });
    let made = trogdor(&["run", "--quiet", &spec.to_string()]).await;
    assert!(all_done(&made), "{}{}", stdout(&made), stderr(&made));
}

/// Creates a task named after its topic and waits for its end.
async fn run(target: &str, topic: &str, spec: &Value) {
    let body = json!({"id": topic, "spec": spec}).to_string();
    assert_eq!(http(target, "POST", "/coordinator/task/create", &body).await, (200, "{}".to_owned()));
    let path = format!("/coordinator/tasks/{topic}/wait?timeoutMs=60000");
    let (status, state) = http(target, "GET", &path, "").await;
    let state: Value = serde_json::from_str(&state).unwrap();
    assert_eq!((status, &state["error"]), (200, &Value::Null), "{state}");
    assert_eq!(state["status"]["totalSent"], RECORDS, "{state}");
}

fn now_ms() -> i64 {
    SystemClock::shared().now().wall_ms
}

/// Takes the clock reading out of a payload that begins with one, and checks that it makes sense.
fn without_clock(payload: &mut Option<Vec<u8>>, since_ms: i64) {
    if let Some(reading) = payload.as_mut().and_then(|payload| payload.first_chunk_mut::<8>()) {
        let read = i64::from_le_bytes(*reading);
        assert!((since_ms..=now_ms()).contains(&read), "{read} is no time of this test");
        *reading = [0; 8];
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_values_are_those_of_the_java_agent_at_every_position() {
    let bootstrap = kafka().await.bootstrap();
    let java = JavaTrogdor::fetch().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ports = [free_port().unwrap(), free_port().unwrap(), free_port().unwrap()];
    let nodes =
        [("java", Some(ports[0]), None), ("ours", Some(ports[1]), None), ("boss", None, Some(ports[2]))];
    let config = platform(folder.path(), &nodes);
    let _ours = Daemon::start("agent", &config, "ours", &[]).await;
    let theirs = java.agent(&config, "java", ports[0]).await.unwrap();
    let coordinator = Daemon::start("coordinator", &config, "boss", &[]).await;

    let rows = rows();
    let test = topic("generators");
    let name = |index: usize, writer: &str| format!("{test}-{index}-{writer}");
    let all: Vec<_> = (0..rows.len()).flat_map(|index| WRITERS.map(|writer| (index, writer))).collect();
    let topics: Vec<_> = all.iter().map(|(index, writer)| name(*index, writer)).collect();
    create_topics(&topics, bootstrap).await;
    let since_ms = now_ms();
    let target = coordinator.target();
    join_all(all.iter().zip(&topics).map(|((index, writer), topic)| {
        let spec = spec(&rows[*index], writer, topic, bootstrap);
        let target = &target;
        async move { run(target, topic, &spec).await }
    }))
    .await;
    theirs.stop().await.unwrap();

    let mut written = read_topics(bootstrap, &topics, "read_uncommitted");
    for (index, row) in rows.iter().enumerate() {
        let [theirs, ours, full_rate] = WRITERS.map(|writer| {
            let mut records: Vec<Record> = written.remove(&name(index, writer)).unwrap().remove(&0).unwrap();
            for (key, value) in &mut records {
                if row.clocks.0 {
                    without_clock(key, since_ms);
                }
                if row.clocks.1 {
                    without_clock(value, since_ms);
                }
            }
            records
        });
        assert_eq!([theirs.len(), ours.len(), full_rate.len()], [RECORDS; 3], "{} {}", row.key, row.value);
        for (position, theirs) in theirs.iter().enumerate() {
            assert_eq!(&ours[position], theirs, "ours, {} {} at {position}", row.key, row.value);
            assert_eq!(&full_rate[position], theirs, "full rate, {} {} at {position}", row.key, row.value);
        }
    }
}
