//! Exec mode from its arguments to what it prints, word by word.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use trogdor_core::agent::{Agent, AgentConfig};
use trogdor_core::json::to_java_pretty;
use trogdor_core::noop::{CATALOG, NO_OP};
use trogdor_core::{Catalog, Clock, Extensions, Node, NodeName, Topology, VirtualClock};

use super::exec::{Job, Report, run};
use super::life::End;

struct Outcome {
    end: End,
    out: String,
    err: String,
}

struct Rig {
    clock: Arc<dyn Clock>,
    catalog: Catalog,
    topology: Arc<Topology>,
    agent: Agent,
}

impl Rig {
    fn new() -> Rig {
        let (clock, catalog) = (VirtualClock::shared(), Catalog::new([CATALOG]).unwrap());
        let topology = Arc::new(Topology::new([Node::local("node0", 8888), Node::local("node1", 8889)]));
        let agent = Agent::start(AgentConfig {
            node: "node0".into(),
            topology: topology.clone(),
            catalog: catalog.clone(),
            clock: clock.clone(),
            stop_grace: Duration::from_secs(5),
            extensions: Extensions::default(),
            past: Default::default(),
        });
        Rig { clock, catalog, topology, agent }
    }

    fn now_ms(&self) -> i64 {
        self.clock.now().wall_ms
    }

    async fn run(&self, node: &str, spec: &str, json: bool, signal: impl AsyncFnMut() -> u8) -> Outcome {
        let node = NodeName::from(node);
        let job = Job { spec, node: &node, topology: &self.topology, catalog: &self.catalog };
        let (mut out, mut err) = (String::new(), String::new());
        let mut to_out = |line: &str| out.push_str(&format!("{line}\n"));
        let mut to_err = |line: &str| err.push_str(&format!("{line}\n"));
        let mut report = Report::new(json, &mut to_out, &mut to_err);
        let end = run(job, &self.agent.handle(), signal, &mut report).await;
        Outcome { end, out, err }
    }

    async fn undisturbed(&self, node: &str, spec: &str, json: bool) -> Outcome {
        self.run(node, spec, json, async || std::future::pending().await).await
    }
}

fn no_op(start_ms: i64, duration_ms: i64) -> Value {
    json!({"class": NO_OP, "startMs": start_ms, "durationMs": duration_ms})
}

#[tokio::test(start_paused = true)]
async fn a_task_runs_at_its_start_and_prints_what_the_original_prints() {
    let rig = Rig::new();
    let start_ms = rig.now_ms() + 3_600_000;
    let spec = no_op(start_ms, 3000);
    let outcome = rig.undisturbed("node0", &spec.to_string(), false).await;
    let expected = format!(
        "Waiting for completion of task:{}\nTask succeeded with status \"done\"\n",
        to_java_pretty(&spec)
    );
    assert_eq!((outcome.end, outcome.out, outcome.err), (End::InOrder(0), expected, String::new()));
    assert!((start_ms + 3000..start_ms + 3500).contains(&rig.now_ms()), "{}", rig.now_ms() - start_ms);
}

#[tokio::test(start_paused = true)]
async fn a_past_start_means_now_and_no_duration_means_expired() {
    let rig = Rig::new();
    let spec = no_op(rig.now_ms(), 0);
    let outcome = rig.undisturbed("node0", &no_op(5, 0).to_string(), false).await;
    let expected = format!(
        "Waiting for completion of task:{}\nTask failed with status null and error worker expired\n",
        to_java_pretty(&spec)
    );
    assert_eq!((outcome.end, outcome.out, outcome.err), (End::InOrder(1), expected, String::new()));
}

#[tokio::test(start_paused = true)]
async fn with_json_there_is_one_object_and_nothing_else() {
    let rows = [
        ("node0", no_op(0, 5).to_string(), r#"{"ok":true,"status":"done","error":null}"#),
        ("node0", no_op(0, 0).to_string(), r#"{"ok":false,"status":null,"error":"worker expired"}"#),
        (
            "node7",
            no_op(0, 5).to_string(),
            r#"{"ok":false,"status":null,"error":"This task is not configured to run on this node.  It runs on node(s): node0, node1, whereas this node is node7"}"#,
        ),
    ];
    for (node, spec, expected) in rows {
        let outcome = Rig::new().undisturbed(node, &spec, true).await;
        assert_eq!((outcome.out, outcome.err), (format!("{expected}\n"), String::new()));
    }
    let outcome = Rig::new().undisturbed("node0", "{", true).await;
    let object: Value = serde_json::from_str(&outcome.out).unwrap();
    let error = object["error"].as_str().unwrap();
    assert!(error.starts_with("Unable to parse the supplied task spec. "), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_run_says_why_and_fails() {
    let rig = Rig::new();
    let elsewhere = rig.undisturbed("node7", &no_op(0, 5).to_string(), false).await;
    let sentence = "This task is not configured to run on this node.  It runs on node(s): node0, node1, whereas this node is node7\n";
    assert_eq!((elsewhere.end, elsewhere.out.as_str()), (End::InOrder(1), sentence));
    for spec in ["{", "no/such/file", r#"{"class":"Nope"}"#, r#"{"durationMs":1}"#] {
        let unreadable = rig.undisturbed("node0", spec, false).await;
        assert_eq!(unreadable.out, "Unable to parse the supplied task spec.\n");
        assert_eq!(unreadable.end, End::InOrder(1));
        assert!(unreadable.err.starts_with("trogdor agent: "), "{}", unreadable.err);
    }
}

#[tokio::test(start_paused = true)]
async fn a_signal_stops_the_worker_and_the_outcome_is_still_printed() {
    let mut signals = vec![2];
    let once = async || match signals.pop() {
        Some(signal) => signal,
        None => std::future::pending().await,
    };
    let outcome = Rig::new().run("node0", &no_op(0, 600_000).to_string(), false, once).await;
    assert_eq!(outcome.end, End::InOrder(130));
    assert!(outcome.out.contains("\nTask succeeded with status "), "{}", outcome.out);
    let impatient = Rig::new().run("node0", &no_op(0, 600_000).to_string(), false, async || 15).await;
    assert_eq!(impatient.end, End::AtOnce(143));
}
