//! The forms of answers and of parameters. Objects are closed: what is not written here is not sent.

use serde_json::{Map, Value, json};

use super::reference;

/// A field of an object: its name, with a question mark if it may be absent; its schema; what it is.
type Row = (&'static str, Value, &'static str);

/// All schemas, by name.
pub(super) fn answers() -> Map<String, Value> {
    let all = parameters().into_iter().chain(messages()).chain(states()).chain(measured()).chain(watched());
    all.map(|(name, schema)| (name.to_owned(), schema)).collect()
}

fn object(rows: impl IntoIterator<Item = Row>) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (name, mut schema, text) in rows {
        let is_required = !name.ends_with('?');
        let name = name.trim_end_matches('?');
        if !text.is_empty() {
            schema["description"] = Value::from(text);
        }
        properties.insert(name.to_owned(), schema);
        if is_required {
            required.push(name);
        }
    }
    let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// The same with the tag that tells it from others.
fn state(name: &str, rows: impl IntoIterator<Item = Row>) -> Value {
    object(std::iter::once(("state", json!({"const": name}), "")).chain(rows))
}

fn text() -> Value {
    json!({"type": "string"})
}

fn long() -> Value {
    json!({"type": "integer", "format": "int64"})
}

fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

fn boolean() -> Value {
    json!({"type": "boolean"})
}

fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

fn by_name(values: Value) -> Value {
    json!({"type": "object", "additionalProperties": values})
}

fn by_number(values: Value) -> Value {
    json!({"type": "object", "propertyNames": {"pattern": "^-?[0-9]+$"}, "additionalProperties": values})
}

fn parameters() -> Vec<(&'static str, Value)> {
    let whole = json!({"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX});
    vec![
        ("TaskId", json!({"type": "string", "minLength": 1})),
        ("PathText", json!({"type": "string", "minLength": 1})),
        ("Text", text()),
        ("TextList", list(text())),
        ("Long", whole.clone()),
        // Nothing counts as 0.
        ("Number", json!({"anyOf": [whole, {"const": ""}], "default": 0})),
        (
            "Version",
            json!({"anyOf": [{"type": "integer", "minimum": 0, "maximum": i64::MAX}, {"const": ""}], "default": 0}),
        ),
        ("TaskStateFilter", json!({"enum": ["", "PENDING", "RUNNING", "STOPPING", "DONE"]})),
    ]
}

fn messages() -> Vec<(&'static str, Value)> {
    let start = || ("serverStartMs", long(), "When the daemon started, ms since the epoch.");
    vec![
        ("Empty", json!({"type": "object", "additionalProperties": false})),
        (
            "Error",
            object([
                ("code", json!({"type": "integer", "minimum": 400, "maximum": 599}), "The status once more."),
                ("message?", text(), "What went wrong; no longer than about 64 KiB."),
            ]),
        ),
        ("ServerStart", object([start()])),
        ("Uptime", object([start(), ("nowMs", long(), "Its clock, ms since the epoch.")])),
        ("Tasks", object([("tasks?", by_name(reference("TaskState")), "Task states by id, sorted.")])),
        (
            "AgentStatus",
            object([start(), ("workers?", by_number(reference("WorkerState")), "Worker states by id.")]),
        ),
        (
            "TaskWorkers",
            object([
                ("workers", by_name(reference("WorkerState")), "Worker states by node."),
                (
                    "reruns?",
                    by_name(count()),
                    "How often a node's was run again because its agent restarted.",
                ),
            ]),
        ),
        (
            "Watch",
            object([
                start(),
                ("agentVersion", text(), "The version of the program."),
                (
                    "capabilities?",
                    list(text()),
                    "The classes that it knows, and its abilities; only if they changed.",
                ),
                ("version", count(), "To be sent with the next request, as since."),
                ("present", list(long()), "The ids of all workers that it remembers."),
                ("changed", by_number(reference("WorkerState")), "Those that changed."),
                ("recorded?", by_number(reference("Cursor")), "How much those of them recorded that did."),
                ("interrupted?", list(long()), "Those that the end of the agent's life before interrupted."),
            ]),
        ),
        (
            "Clock",
            object([
                ("wallUs", long(), "The time, microseconds since the epoch."),
                ("clock?", text(), "Which clock it is: nodes that tell the same share one."),
            ]),
        ),
        ("Nodes", object([("nodes", by_name(reference("Node")), "By name.")])),
        (
            "Node",
            object([
                ("agent", text(), "Where its agent is reached, host:port."),
                (
                    "reachable?",
                    boolean(),
                    "Whether the last attempt to reach it succeeded; absent before the first.",
                ),
                ("kind?", json!({"enum": ["rust", "java"]}), "Whose agent it is, once that is known."),
                ("version?", text(), "The version of our agent."),
                ("capabilities?", list(text()), "The classes that our agent knows, and its abilities."),
                ("clock?", reference("ClockBounds"), ""),
                ("error?", text(), "What the last failed attempt said."),
                ("activeWorkers", count(), "How many workers of the coordinator are active on it."),
            ]),
        ),
        (
            "ClockBounds",
            object([
                ("clock?", text(), "Which clock it is."),
                ("lowUs", long(), "It is ahead of the coordinator's by at least this, microseconds."),
                ("highUs", long(), "And by at most this."),
            ]),
        ),
        // A schema for schemas would say no more.
        ("Description", json!({"type": "object", "required": ["openapi", "paths"]})),
    ]
}

fn choice(tag: &str, members: &[(&str, &str)]) -> Value {
    let references: Vec<_> = members.iter().map(|(_, name)| reference(name)).collect();
    let mapping: Map<_, _> =
        members.iter().map(|(value, name)| ((*value).to_owned(), reference(name)["$ref"].clone())).collect();
    json!({"oneOf": references, "discriminator": {"propertyName": tag, "mapping": mapping}})
}

fn states() -> Vec<(&'static str, Value)> {
    let spec = || ("spec", reference("Spec"), "");
    let task = || ("taskId", text(), "Its task.");
    let status =
        || ("status?", json!({}), "What its workers say of themselves; its form is that of the class.");
    let started = || ("startedMs", long(), "When it started, ms since the epoch; -1 if it never did.");
    let done = || ("doneMs", long(), "When it ended, ms since the epoch.");
    let error = || ("error?", text(), "The first error.");
    let cancelled = || ("cancelled", boolean(), "Whether somebody asked for its end.");
    vec![
        (
            "TaskState",
            choice(
                "state",
                &[
                    ("PENDING", "PendingTask"),
                    ("RUNNING", "RunningTask"),
                    ("STOPPING", "StoppingTask"),
                    ("DONE", "DoneTask"),
                ],
            ),
        ),
        ("PendingTask", state("PENDING", [spec(), status()])),
        ("RunningTask", state("RUNNING", [spec(), started(), status()])),
        ("StoppingTask", state("STOPPING", [spec(), started(), status()])),
        ("DoneTask", state("DONE", [spec(), started(), done(), error(), cancelled(), status()])),
        (
            "WorkerState",
            choice(
                "state",
                &[
                    ("RECEIVING", "ReceivingWorker"),
                    ("STARTING", "StartingWorker"),
                    ("RUNNING", "RunningWorker"),
                    ("STOPPING", "StoppingWorker"),
                    ("DONE", "DoneWorker"),
                ],
            ),
        ),
        ("ReceivingWorker", state("RECEIVING", [task(), spec()])),
        ("StartingWorker", state("STARTING", [task(), spec()])),
        ("RunningWorker", state("RUNNING", [task(), spec(), started(), status()])),
        ("StoppingWorker", state("STOPPING", [task(), spec(), started(), status()])),
        ("DoneWorker", state("DONE", [task(), spec(), started(), done(), status(), error()])),
    ]
}

fn measured() -> Vec<(&'static str, Value)> {
    vec![
        (
            "RecordingPart",
            object([
                ("recording", reference("Recording"), ""),
                ("upto", reference("Cursor"), ""),
                ("more", boolean(), "Whether there is more by now."),
            ]),
        ),
        (
            "Cursor",
            object([
                ("ticks", count(), "The tick after the last one."),
                ("notices", count(), "How many notices."),
            ]),
        ),
        (
            "Recording",
            object([
                ("facts?", json!({"type": "object"}), "What does not change while it runs."),
                ("intervals?", list(reference("Interval")), "The oldest first."),
                ("notices?", list(reference("Notice")), "The first first."),
                ("noticesNotKept?", count(), "How many there were beyond those kept."),
            ]),
        ),
        (
            "Interval",
            object([
                ("tick", count(), "The number of its first tick."),
                ("ticks?", count(), "How many ticks it covers; 1 if absent."),
                ("startMs", long(), "Its start by the clock of the node, ms since the epoch."),
                ("lengthMs", count(), "Its length, ms."),
                ("counts?", by_name(count()), "What was counted."),
                ("peaks?", by_name(count()), "The highest values of what goes up and down."),
                (
                    "latencies?",
                    by_name(json!({"type": "string", "contentEncoding": "base64"})),
                    "Histograms in microseconds: the compressed HDR form V2.",
                ),
            ]),
        ),
        (
            "Notice",
            object([
                ("atMs", long(), "When, by the clock of the node, ms since the epoch."),
                ("kind", text(), "Of which kind, in one word."),
                ("text", text(), "What, in a sentence."),
            ]),
        ),
    ]
}

fn watched() -> Vec<(&'static str, Value)> {
    let number = || json!({"type": "number"});
    let briefs = || list(reference("TaskBrief"));
    vec![
        ("Well", object([("ok", json!({"const": true}), "")])),
        ("NotWell", object([("ok", json!({"const": false}), ""), ("reason", text(), "Why.")])),
        ("Reason", text()),
        ("Page", text()),
        ("Metrics", json!({"type": "string", "pattern": "# EOF\n$"})),
        ("EventStream", json!({"type": "string", "description": "Each event is an Overview as JSON."})),
        (
            "Overview",
            object([
                ("nowMs", long(), "The coordinator's clock."),
                ("startMs", long(), "When it started."),
                (
                    "tasks",
                    object(["pending", "running", "stopping", "done"].map(|name| (name, count(), ""))),
                    "How many there are.",
                ),
                ("nodes", by_name(reference("NodeBrief")), "By name."),
                ("active", briefs(), "Running or stopping, those that began first in front; may be cut."),
                ("pending", briefs(), "Those that are due first in front; may be cut."),
                ("ended", briefs(), "The last in front; may be cut."),
            ]),
        ),
        (
            "NodeBrief",
            object([
                ("agent", text(), "Where its agent is reached, host:port."),
                ("reachable?", boolean(), "Whether the last attempt to reach it succeeded."),
                ("kind?", json!({"enum": ["rust", "java"]}), "Whose agent it is."),
                ("version?", text(), "The version of our agent."),
                ("error?", text(), "What the last failed attempt said."),
                ("activeWorkers", count(), ""),
            ]),
        ),
        (
            "TaskBrief",
            object([
                ("id", text(), ""),
                ("class", text(), ""),
                ("state", json!({"enum": ["PENDING", "RUNNING", "STOPPING", "DONE"]}), ""),
                ("dueMs", long(), "When it is or was due."),
                ("startedMs", long(), "-1 if it has not started."),
                ("doneMs", long(), "-1 if it has not ended."),
                ("durationMs", long(), "How long it may run."),
                ("error?", text(), "Its first error so far; may be cut."),
                ("cancelled", boolean(), ""),
                ("workers", count(), "How many workers it has."),
                ("nodes", list(text()), "The first nodes that they are on."),
                ("figures", reference("Figures"), ""),
            ]),
        ),
        (
            "Figures",
            object([
                ("isFault", boolean(), ""),
                ("done?", count(), "Records delivered or received, connections."),
                ("failed?", count(), ""),
                ("unknown?", count(), "Whose fate is unknown."),
                ("inFlight?", count(), "What has no outcome yet."),
                ("perSec?", number(), "What was done per second lately."),
                ("meanPerSec?", number(), "The same since the beginning."),
                ("recent?", reference("Latency"), ""),
                ("latency?", reference("Latency"), ""),
                ("says?", text(), "What workers say in words."),
                ("notes?", list(text()), "What is to be known."),
            ]),
        ),
        (
            "Latency",
            object([
                ("what", text(), "What was measured."),
                ("p50Us", count(), "Median, microseconds."),
                ("p99Us", count(), ""),
                ("maxUs?", count(), ""),
            ]),
        ),
    ]
}
