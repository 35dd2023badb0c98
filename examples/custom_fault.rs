//! A fault of your own as a plug-in: a spec, a field table, and a plan of steps. This one takes a file away for a
//! while. What undoes it is on disk before anything is done, so it comes back whatever happens to this process.
//!
//! `cargo run --example custom_fault`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trogdor::faults::{
    DEFAULT_LEASE, Fault, FaultError, FaultPlatform, FaultStatus, FaultWorker, NodeCondition, Plan,
    RunCommand, Site, Words, dry_run,
};
use trogdor::json::{Field, Kind, Object};
use trogdor::{
    Cluster, DURATION_MS, Extensions, FixedNodes, NodeName, START_MS, Schedule, TaskClass, TaskController,
    TaskId, TaskSpec, Topology, Worker,
};

/// The name in the `class` tag. Use a name space of your own.
const CLASS: &str = "com.example.TakeAwayFaultSpec";

const TAKE_AWAY: TaskClass = TaskClass {
    class: CLASS,
    summary: "takes a file away for a while",
    example: r#"{"class": "com.example.TakeAwayFaultSpec", "durationMs": 1000, "nodeNames": ["node0"],
                 "path": "/etc/kafka/server.keystore"}"#,
    fields: &FIELDS,
};

static FIELDS: Object = Object::new(
    "TakeAwayFaultSpec",
    &[
        START_MS,
        DURATION_MS,
        Field::new("nodeNames", Kind::List(&Kind::Text), "[]", "the nodes"),
        Field::new("path", Kind::Text, "", "the file"),
    ],
);

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TakeAwayFaultSpec {
    start_ms: i64,
    duration_ms: i64,
    node_names: Vec<NodeName>,
    path: String,
}

#[typetag::serde(name = "com.example.TakeAwayFaultSpec")]
impl TaskSpec for TakeAwayFaultSpec {
    fn schedule(&self) -> Schedule {
        Schedule { start_ms: self.start_ms, duration_ms: self.duration_ms }
    }

    fn controller(&self) -> Result<Box<dyn TaskController>, String> {
        Ok(Box::new(FixedNodes(self.named_nodes())))
    }

    fn worker(&self, _task: &TaskId) -> Result<Box<dyn Worker>, String> {
        Ok(FaultWorker::boxed(self.clone()))
    }

    fn named_nodes(&self) -> Vec<NodeName> {
        self.node_names.clone()
    }

    fn is_fault(&self) -> bool {
        true
    }

    fn dry_run(&self, task: &TaskId, node: &NodeName, all: &Topology) -> Option<Result<String, Vec<String>>> {
        Some(dry_run(self, task, node, all))
    }
}

impl Fault for TakeAwayFaultSpec {
    fn words(&self, _task: &TaskId) -> Words {
        let with = |verb: &str| format!("{verb} {}", self.path);
        Words {
            applying: with("taking away"),
            applied: with("took away"),
            undoing: with("giving back"),
            undone: with("gave back"),
        }
    }

    /// Looks, and changes nothing; whatever is in the way is refused here.
    fn plan(&self, site: &Site<'_>) -> Result<Plan, FaultError> {
        if !Path::new(&self.path).is_file() {
            return Err(FaultError::Refused(vec![format!("{} is no file", self.path)]));
        }
        // The fault's id is in the name of everything that it makes.
        let away = format!("{}.{}", self.path, site.id);
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Ok(Plan::of([RunCommand {
            what: format!("take {} away", self.path),
            apply: words(&["mv", "--no-clobber", &self.path, &away]),
            undo: words(&["mv", "--no-clobber", &away, &self.path]),
            look: words(&["test", "-e", &away]),
            outlives_reboot: true,
        }]))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir().join(format!("custom_fault-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let file = folder.join("server.keystore");
    std::fs::write(&file, "secret")?;

    // A cluster inside a program only writes plans down, unless it is lent the real node.
    let faults = FaultPlatform::real(folder.join("state"), trogdor_program()?, DEFAULT_LEASE);
    let cluster = Cluster::builder(trogdor::catalog_with(&[TAKE_AWAY])?)
        .extensions(Extensions::default().with(Arc::new(faults)))
        .start();
    let spec = TakeAwayFaultSpec {
        duration_ms: 1000,
        node_names: vec!["node0".into()],
        path: file.to_string_lossy().into_owned(),
        ..Default::default()
    };
    let result = cluster.run(&spec).await?.ok()?;
    let status: FaultStatus = result.status()?;
    assert_eq!(status.node, NodeCondition::Clean);
    println!("{}", status.steps[0].what.replace(&*folder.to_string_lossy(), "FOLDER"));
    println!("and back again: {}", std::fs::read_to_string(&file)?);
    cluster.shutdown().await;
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

/// The `trogdor` program beside this one: if this process is killed, it gives the file back.
fn trogdor_program() -> std::io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.ancestors().nth(2).unwrap_or(Path::new("/usr/bin")).join("trogdor"))
}
