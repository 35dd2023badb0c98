//! Bodies of all requests and answers, chosen by the first byte: read as the server or the client reads them, and what
//! was read is written and read again. Recordings are merged, histograms and all.

#![no_main]

use std::fmt::Debug;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use trogdor::Catalog;
use trogdor::json::{Kind, Object, read_lenient};
use trogdor::measure::{Measured, RecordingPart};
use trogdor::messages::*;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| trogdor::catalog().expect("the classes fit together"));

trait Message: serde::de::DeserializeOwned + serde::Serialize + PartialEq + Debug {}
impl<T: serde::de::DeserializeOwned + serde::Serialize + PartialEq + Debug> Message for T {}

/// As the server reads.
fn request<T: Message>(text: &[u8], table: &'static Object) {
    let kind = Kind::Object(table);
    if let Ok(message) = CATALOG.read::<T>(text, &kind) {
        let again = CATALOG.read::<T>(&written(&message), &kind).expect("what was read can be read again");
        assert_eq!(message, again);
    }
}

/// As the client reads.
fn answer<T: Message>(text: &[u8], kind: &Kind) -> Option<T> {
    let read = |text: &[u8]| -> Option<T> { serde_json::from_value(read_lenient(text, kind).ok()?).ok() };
    let message = read(text)?;
    assert_eq!(Some(&message), read(&written(&message)).as_ref());
    Some(message)
}

fn written(message: &impl Message) -> Vec<u8> {
    serde_json::to_vec(message).expect("a message can be written")
}

fuzz_target!(|input: &[u8]| {
    let Some((&which, text)) = input.split_first() else { return };
    match which % 14 {
        0 => request::<CreateTaskRequest>(text, &CREATE_TASK),
        1 => request::<StopTaskRequest>(text, &STOP_TASK),
        2 => request::<CoordinatorShutdownRequest>(text, &SHUTDOWN),
        3 => request::<CreateWorkerRequest>(text, &CREATE_WORKER),
        4 => request::<StopWorkerRequest>(text, &STOP_WORKER),
        5 => drop(answer::<CoordinatorStatusResponse>(text, &Kind::Object(&COORDINATOR_STATUS))),
        6 => drop(answer::<UptimeResponse>(text, &Kind::Object(&UPTIME))),
        7 => drop(answer::<TasksResponse>(text, &Kind::Object(&TASKS))),
        8 => drop(answer::<AgentStatusResponse>(text, &Kind::Object(&AGENT_STATUS))),
        9 => drop(answer::<ErrorResponse>(text, &Kind::Object(&ERROR))),
        10 => drop(answer::<WatchResponse>(text, &Kind::Any)),
        11 => drop(answer::<NodesResponse>(text, &Kind::Any)),
        12 => drop(answer::<TaskWorkersResponse>(text, &Kind::Any)),
        _ => {
            if let Some(part) = answer::<RecordingPart>(text, &Kind::Any) {
                let mut recording = part.recording.clone();
                recording.add_part(part);
                let _ = recording.part_after(Default::default());
                let _ = Measured::of([&recording]).map(|measured| measured.duration());
            }
        }
    }
});
