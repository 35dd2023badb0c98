//! What a spec is refused or warned for, and which schedule it asks for.

use super::*;

#[test]
fn a_transactional_id_needs_a_transaction_generator() {
    let spec = |transaction_generator| ProduceBenchSpec {
        bootstrap_servers: "localhost:9092".to_owned(),
        active_topics: serde_json::from_str(r#"{"foo": {}}"#).unwrap(),
        producer_conf: [("transactional.id".to_owned(), "x".to_owned())].into(),
        transaction_generator,
        ..ProduceBenchSpec::default()
    };
    let expected = "transactional.id is set, but without a transactionGenerator no transaction is begun";
    assert_eq!(spec(None).problems(), [expected]);
    let generator = TransactionGenerator::Uniform { messages_per_transaction: 10 };
    assert_eq!(spec(Some(generator)).problems(), [""; 0]);
}

fn shaped(arrivals: Arrivals) -> ProduceBenchSpec {
    ProduceBenchSpec {
        bootstrap_servers: "localhost:9092".to_owned(),
        active_topics: serde_json::from_str(r#"{"foo": {}}"#).unwrap(),
        arrivals: Some(arrivals),
        ..ProduceBenchSpec::default()
    }
}

#[test]
fn arrivals_take_the_place_of_a_rate_and_exclude_full_rate() {
    let spec = shaped(Arrivals::Constant { messages_per_sec: 0.5 });
    assert_eq!((spec.problems(), spec.warnings()), (vec![], vec![]));

    let both = ProduceBenchSpec { target_messages_per_sec: 7, ..spec.clone() };
    let warning = "targetMessagesPerSec is 7, but it is not used: arrivals tell when records are due";
    assert_eq!((both.problems(), both.warnings()), (vec![], vec![warning.to_owned()]));

    let unlimited = ProduceBenchSpec { unlimited: true, ..spec };
    let problem = "arrivals: at full rate no record has a due time; leave out \"unlimited\": true, or them";
    assert_eq!((unlimited.problems(), unlimited.warnings()), (vec![problem.to_owned()], vec![]));

    let impossible = shaped(Arrivals::Constant { messages_per_sec: -1.0 });
    let problem = "arrivals: messagesPerSec is -1; give a rate above 0 and below 10000000 records per second";
    assert_eq!(impossible.problems(), [problem]);
}

#[test]
fn each_node_has_random_arrivals_of_its_own() {
    let spec = ProduceBenchSpec {
        producer_nodes: ["node7", "node3"].map(NodeName::from).to_vec(),
        ..shaped(Arrivals::Poisson { messages_per_sec: 100.0, seed: 5 })
    };
    let due = |node: &str| spec.due_times(&NodeName::from(node)).unwrap().due_ns(9, 0).unwrap();
    let alone = |seed| Arrivals::Poisson { messages_per_sec: 100.0, seed }.start(0).unwrap().due_ns(9);
    assert_eq!((due("node7"), due("node3")), (alone(5), alone(6)));
}

#[test]
fn a_spec_without_arrivals_is_written_as_before() {
    let written = trogdor_core::json::to_java_string(&ProduceBenchSpec::default());
    assert!(!written.contains("arrivals"), "{written}");
}
