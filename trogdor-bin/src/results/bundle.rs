//! The result bundle: one JSON document with all that is known of some tasks: specs, states, what their workers
//! recorded, and on what. It is written once and overwrites nothing. It holds no secrets: what a setting of
//! that name is worth is left out.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use trogdor_core::api::{ApiError, CoordinatorApi};
use trogdor_core::measure::{Measured, NotAHistogram, Recording};
use trogdor_core::messages::{NodesResponse, TasksRequest};
use trogdor_core::{Catalog, NodeName, Spec, TaskId, TaskState, recordings_of};
use trogdor_workloads::redact_json;

use super::place::{PlaceError, write_new};

/// What the document says it is.
const FORMAT: &str = "trogdor-bundle";
/// The version that this program writes, and the only one that it reads.
const VERSION: u64 = 1;
/// The name of the document in a folder.
const FILE_NAME: &str = "bundle.json";
/// Larger documents are not read: an hour of a hundred workers takes about as much.
const BYTES_MAX: u64 = 1 << 30;

/// A bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bundle {
    format: String,
    version: u64,
    /// When it was made, milliseconds since the epoch.
    pub created_ms: i64,
    /// The version of the program that made it.
    pub trogdor: String,
    /// The tasks, by id.
    pub tasks: BTreeMap<TaskId, BundledTask>,
    /// What the coordinator knew of its nodes.
    #[serde(default)]
    pub nodes: NodesResponse,
}

/// One task of a bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BundledTask {
    /// Whether it breaks something on purpose.
    #[serde(default)]
    pub is_fault: bool,
    /// Its last state, with its spec and its status.
    pub state: TaskState,
    /// What its workers recorded, by node.
    #[serde(default)]
    pub recordings: BTreeMap<NodeName, Recording>,
}

/// Why a bundle cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It cannot be written where it is wanted.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// It cannot be read.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// It is not a bundle, or one that is cut.
    #[error("{path} is not a whole bundle: {text}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        text: String,
    },
    /// It is from another version.
    #[error(
        "{path} is a bundle of version {found}, and this program reads version {VERSION}; read it with the \
             program that wrote it"
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// A coordinator does not answer as it should.
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl Bundle {
    /// Gathers all that a coordinator knows of some tasks, and of all faults that were in force at some moment of
    /// theirs. No tasks: all of them.
    ///
    /// # Errors
    /// A task is not known, or the coordinator does not answer.
    pub async fn gather(
        coordinator: &dyn CoordinatorApi,
        wanted: &[TaskId],
        catalog: &Catalog,
        created_ms: i64,
    ) -> Result<Bundle, BundleError> {
        let known = coordinator.tasks(TasksRequest::default()).await?.tasks;
        for id in wanted {
            if !known.contains_key(id) {
                return Err(ApiError::NotFound(format!("No task with ID \"{id}\" exists.")).into());
            }
        }
        let span = |state: &TaskState| match state {
            TaskState::Pending { .. } => None,
            TaskState::Done { started_ms, done_ms, .. } => Some((*started_ms, *done_ms)),
            other => Some((other.started_ms(), created_ms)),
        };
        let spans: Vec<_> = wanted.iter().filter_map(|id| span(&known[id])).collect();
        let meets = |(start_ms, end_ms): (i64, i64)| {
            spans.iter().any(|(other_start, other_end)| start_ms <= *other_end && *other_start <= end_ms)
        };
        let mut tasks = BTreeMap::new();
        for (id, state) in known {
            let is_fault = is_fault(state.spec(), catalog);
            let is_wanted = wanted.is_empty() || wanted.contains(&id);
            let is_of_interest = is_wanted || (is_fault && span(&state).is_some_and(meets));
            if !is_of_interest {
                continue;
            }
            let recordings = match recordings_of(coordinator, &id).await {
                // A coordinator of the original keeps none, and a task may go away meanwhile.
                Err(ApiError::NotFound(_)) => BTreeMap::new(),
                recordings => recordings?,
            };
            tasks.insert(id, BundledTask { is_fault, state, recordings });
        }
        let nodes = coordinator.nodes().await.unwrap_or_default();
        Ok(Bundle::new(tasks, nodes, created_ms))
    }

    /// A bundle of these tasks.
    pub fn new(tasks: BTreeMap<TaskId, BundledTask>, nodes: NodesResponse, created_ms: i64) -> Bundle {
        Bundle {
            format: FORMAT.to_owned(),
            version: VERSION,
            created_ms,
            trogdor: env!("CARGO_PKG_VERSION").to_owned(),
            tasks,
            nodes,
        }
    }

    /// Everything that was measured by the tasks that are not faults, merged exactly.
    ///
    /// # Errors
    /// A histogram cannot be read.
    pub fn measured(&self) -> Result<Measured, NotAHistogram> {
        Measured::of(self.workloads().flat_map(|(_, task)| task.recordings.values()))
    }

    /// The tasks that are not faults.
    pub fn workloads(&self) -> impl Iterator<Item = (&TaskId, &BundledTask)> {
        self.tasks.iter().filter(|(_, task)| !task.is_fault)
    }

    /// The faults.
    pub fn faults(&self) -> impl Iterator<Item = (&TaskId, &BundledTask)> {
        self.tasks.iter().filter(|(_, task)| task.is_fault)
    }

    /// Where a bundle is written that is wanted at a path: the path itself, or a file in it if it is a folder or
    /// ends like one.
    pub fn place(path: &Path) -> PathBuf {
        let is_folder = path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/');
        if is_folder { path.join(FILE_NAME) } else { path.to_owned() }
    }

    /// Writes it to a place, whole or not at all, with the folders that are missing, and tells where.
    ///
    /// # Errors
    /// Something is there already, or it cannot be written.
    pub fn write(&self, path: &Path) -> Result<PathBuf, BundleError> {
        let place = Bundle::place(path);
        let mut value = serde_json::to_value(self).expect("maps with texts as keys, and finite numbers");
        redact_json(&mut value);
        write_new(&place, format!("{value}\n").as_bytes())?;
        Ok(place)
    }

    /// Reads one: a document, or the one in a folder.
    ///
    /// # Errors
    /// It cannot be read, is cut, is something else, or of another version.
    pub fn read(path: &Path) -> Result<Bundle, BundleError> {
        let path = if path.is_dir() { path.join(FILE_NAME) } else { path.to_owned() };
        let mut text = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut text));
        read.map_err(|error| BundleError::File { path: path.clone(), error })?;
        let unreadable = |text: String| BundleError::Unreadable { path: path.clone(), text };
        if text.len() as u64 > BYTES_MAX {
            return Err(unreadable(format!("it is longer than {BYTES_MAX} bytes")));
        }
        let value: Value = serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
        if value.get("format").and_then(Value::as_str) != Some(FORMAT) {
            return Err(unreadable(format!("it does not say \"format\": {FORMAT:?}")));
        }
        match value.get("version").and_then(Value::as_u64) {
            Some(VERSION) => {}
            Some(found) => return Err(BundleError::OtherVersion { path, found }),
            None => return Err(unreadable("it does not tell its version".to_owned())),
        }
        let bundle: Bundle = serde_json::from_value(value).map_err(|error| unreadable(error.to_string()))?;
        let histograms = bundle.tasks.values().flat_map(|task| task.recordings.values());
        Measured::of(histograms).map_err(|error| unreadable(error.to_string()))?;
        Ok(bundle)
    }
}

fn is_fault(spec: &Spec, catalog: &Catalog) -> bool {
    catalog.open(spec).is_ok_and(|(_, typed)| typed.is_fault())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use trogdor_core::measure::{Interval, Latencies, figures};

    use super::*;

    fn bundle() -> Bundle {
        let mut latencies = Latencies::new();
        latencies.record_ns(5_000_000);
        let mut recording = Recording::default();
        recording.push(Interval::new(1000, 1000).with_latencies(figures::RESPONSE_TIME, &latencies));
        let spec = json!({"class": "x", "producerConf": {"sasl.password": "dunkel", "acks": "all"}});
        let state = TaskState::Done {
            spec: Spec::from(spec),
            started_ms: 1,
            done_ms: 2,
            error: String::new(),
            cancelled: false,
            status: json!({"totalSent": 1}),
        };
        let recordings = [(NodeName::from("node0"), recording)].into();
        let task = BundledTask { is_fault: false, state, recordings };
        Bundle::new([(TaskId::from("foo"), task)].into(), NodesResponse::default(), 3)
    }

    #[test]
    fn a_bundle_comes_back_without_its_secrets_and_overwrites_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = folder.path().join("new/results/");
        let place = bundle().write(&wanted).unwrap();
        assert_eq!(place, wanted.join("bundle.json"));
        let text = std::fs::read_to_string(&place).unwrap();
        assert!(!text.contains("dunkel") && text.contains("\"acks\":\"all\""), "{text}");
        let read = Bundle::read(&wanted).unwrap();
        assert_eq!(
            read.tasks[&TaskId::from("foo")].recordings,
            bundle().tasks[&TaskId::from("foo")].recordings
        );
        assert_eq!(read.measured().unwrap().response_time().count(), 1);
        assert!(matches!(bundle().write(&wanted), Err(BundleError::Place(PlaceError::Exists(_)))));
        assert_eq!(std::fs::read_to_string(&place).unwrap(), text);
        assert_eq!(std::fs::read_dir(&wanted).unwrap().count(), 1, "nothing unfinished is left");
    }

    #[test]
    fn what_is_cut_or_something_else_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let place = bundle().write(&folder.path().join("good.json")).unwrap();
        let good = std::fs::read_to_string(&place).unwrap();
        let rows = [
            (good[..good.len() / 2].to_owned(), "is not a whole bundle: EOF"),
            ("{}".to_owned(), "it does not say \"format\": \"trogdor-bundle\""),
            (
                good.replace("\"version\":1", "\"version\":2"),
                "is a bundle of version 2, and this program reads version 1",
            ),
            (good.replace("\"version\":1", "\"version\":\"1\""), "it does not tell its version"),
            (good.replace("HISTF", "HISTX"), "a histogram is the compressed HDR form"),
            (good.replace("\"DONE\"", "\"GONE\""), "is not a whole bundle"),
        ];
        for (text, expected) in rows {
            let path = folder.path().join("bad.json");
            std::fs::write(&path, text).unwrap();
            let refused = Bundle::read(&path).unwrap_err().to_string();
            assert!(refused.contains(expected) && refused.contains("bad.json"), "{refused}");
        }
        assert!(matches!(Bundle::read(&folder.path().join("none")), Err(BundleError::File { .. })));
    }
}
