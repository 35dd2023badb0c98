//! The table of operations: which daemon answers what, what it takes and gives, and how it may refuse.

use hyper::Method;

use super::{Daemon, Operation, Parameter, Payload};

const BOTH: &[Daemon] = &[Daemon::Agent, Daemon::Coordinator];
const AGENT: &[Daemon] = &[Daemon::Agent];
const COORDINATOR: &[Daemon] = &[Daemon::Coordinator];

/// What every request to the engine of a daemon may be answered: the role, and its end.
const LOOKING: &[u16] = &[403, 500];
const ASKING: &[u16] = &[400, 403, 500];
const FINDING: &[u16] = &[400, 403, 404, 500];
/// The same of an agent that may obey a later coordinator.
const AGENT_ASKING: &[u16] = &[400, 403, 409, 500];
/// With a body.
const CREATING: &[u16] = &[400, 403, 408, 409, 413, 415, 500, 501, 503];
const TELLING: &[u16] = &[400, 403, 408, 413, 415, 500, 503];
const AGENT_TELLING: &[u16] = &[400, 403, 408, 409, 413, 415, 500, 503];
/// Of those who watch.
const WATCHING: &[u16] = &[403, 503];

const fn parameter(
    place: &'static str,
    name: &'static str,
    schema: &'static str,
    text: &'static str,
) -> Parameter {
    Parameter { place, name, schema, text, is_required: false }
}

const fn required(
    place: &'static str,
    name: &'static str,
    schema: &'static str,
    text: &'static str,
) -> Parameter {
    Parameter { place, name, schema, text, is_required: true }
}

const ID: Parameter = required("path", "id", "TaskId", "The task, percent-encoded.");
const TICKS: Parameter =
    parameter("query", "ticks", "Number", "The tick after the last one that the asker has.");
const NOTICES: Parameter =
    parameter("query", "notices", "Number", "How many notices the asker has, those not kept included.");
const WORKER_ID: Parameter = parameter("query", "workerId", "Number", "The worker; 0 if it is left out.");
const TERM: Parameter = parameter(
    "header",
    "Trogdor-Term",
    "Long",
    "In which term of a coordinator of ours the request is made: the agent obeys the latest that it was told, and answers \
     409 to earlier ones. With TLS it takes the role coordinator. Java daemons and people send none.",
);
const RUN_MS: Parameter = parameter(
    "header",
    "Trogdor-Run-Ms",
    "Long",
    "For how long the worker may run from now on, ms. Without it the spec decides, by the agent's wall clock.",
);

const LIFE: Parameter = parameter(
    "header",
    "Trogdor-Agent-Start-Ms",
    "Long",
    "For which life of the agent the worker is meant, by its serverStartMs; another one refuses it (500). It counts together with \
     Trogdor-Run-Ms only.",
);

const fn json(schema: &'static str) -> Payload {
    Payload { media_type: "application/json", schema }
}

const fn look(
    daemons: &'static [Daemon],
    path: &'static str,
    name: &'static str,
    summary: &'static str,
    takes: &'static [Parameter],
    gives: Payload,
    refuses: &'static [u16],
) -> Operation {
    Operation { daemons, method: Method::GET, path, name, summary, takes, body: None, gives, refuses }
}

const fn change(
    daemons: &'static [Daemon],
    method: Method,
    (path, name): (&'static str, &'static str),
    summary: &'static str,
    takes: &'static [Parameter],
    body: Option<Payload>,
    refuses: &'static [u16],
) -> Operation {
    Operation { daemons, method, path, name, summary, takes, body, gives: json("Empty"), refuses }
}

/// All of them.
pub(in crate::http) static OPERATIONS: [Operation; 29] = [
    look(
        COORDINATOR,
        "/coordinator/status",
        "coordinatorStatus",
        "When the coordinator started.",
        &[],
        json("ServerStart"),
        &[403],
    ),
    look(
        COORDINATOR,
        "/coordinator/uptime",
        "coordinatorUptime",
        "When it started, and its clock.",
        &[],
        json("Uptime"),
        LOOKING,
    ),
    change(
        COORDINATOR,
        Method::POST,
        ("/coordinator/task/create", "createTask"),
        "Creates a task, or finds that it is there already with the same spec.",
        &[],
        Some(json("CreateTask")),
        CREATING,
    ),
    change(
        COORDINATOR,
        Method::PUT,
        ("/coordinator/task/stop", "stopTask"),
        "Asks for the end of a task; its state is kept. One that is not there is no error.",
        &[],
        Some(json("StopTask")),
        TELLING,
    ),
    change(
        COORDINATOR,
        Method::DELETE,
        ("/coordinator/tasks", "destroyTask"),
        "Ends a task if it runs, and forgets it. One that is not there is no error.",
        &[required("query", "taskId", "TaskId", "The task.")],
        None,
        ASKING,
    ),
    look(
        COORDINATOR,
        "/coordinator/tasks",
        "tasks",
        "The tasks that pass all filters, by id.",
        &[
            parameter("query", "taskId", "TextList", "Only tasks of these ids; may be repeated."),
            parameter(
                "query",
                "firstStartMs",
                "Number",
                "Started at or after, ms since the epoch; 0 for any.",
            ),
            parameter("query", "lastStartMs", "Number", "Started at or before."),
            parameter("query", "firstEndMs", "Number", "Ended at or after."),
            parameter("query", "lastEndMs", "Number", "Ended at or before."),
            parameter("query", "state", "TaskStateFilter", "Only tasks in this state."),
            parameter("query", "after", "Text", "Only ids after this one, in the order of their bytes."),
            parameter("query", "limit", "Number", "No more than this many; 0 for all."),
        ],
        json("Tasks"),
        ASKING,
    ),
    look(
        COORDINATOR,
        "/coordinator/tasks/{id}",
        "task",
        "The state of a task.",
        &[ID],
        json("TaskState"),
        FINDING,
    ),
    change(
        COORDINATOR,
        Method::PUT,
        ("/coordinator/shutdown", "shutdown"),
        "Ends the coordinator, and its agents if wanted. Workers run on at agents that stay.",
        &[],
        Some(json("Shutdown")),
        TELLING,
    ),
    look(
        COORDINATOR,
        "/coordinator/tasks/{id}/wait",
        "awaitTask",
        "The state of a task as soon as it has ended, or when the time is over.",
        &[ID, parameter("query", "timeoutMs", "Number", "How long to wait, ms; no more than 60 s.")],
        json("TaskState"),
        FINDING,
    ),
    look(
        COORDINATOR,
        "/coordinator/tasks/{id}/workers",
        "taskWorkers",
        "The workers of a task, by node, as last seen.",
        &[ID],
        json("TaskWorkers"),
        FINDING,
    ),
    look(
        COORDINATOR,
        "/coordinator/tasks/{id}/recording",
        "taskRecording",
        "What a worker of a task recorded, from a cursor on.",
        &[ID, parameter("query", "node", "Text", "The node of the worker."), TICKS, NOTICES],
        json("RecordingPart"),
        FINDING,
    ),
    look(
        COORDINATOR,
        "/coordinator/nodes",
        "nodes",
        "The nodes that may run workers, by name.",
        &[],
        json("Nodes"),
        LOOKING,
    ),
    look(
        COORDINATOR,
        "/coordinator/overview",
        "overview",
        "The coordinator at a glance.",
        &[],
        json("Overview"),
        WATCHING,
    ),
    look(
        COORDINATOR,
        "/coordinator/events",
        "events",
        "A stream of overviews, one a second, until the reader leaves; 32 readers at a time.",
        &[],
        Payload { media_type: "text/event-stream", schema: "EventStream" },
        WATCHING,
    ),
    look(
        COORDINATOR,
        "/",
        "livePage",
        "The live page.",
        &[],
        Payload { media_type: "text/html", schema: "Page" },
        &[403],
    ),
    look(
        COORDINATOR,
        "/live/{name}",
        "livePart",
        "A script or style of the live page.",
        &[required("path", "name", "PathText", "Its file name.")],
        Payload { media_type: "text/*", schema: "Page" },
        &[403, 404],
    ),
    look(
        AGENT,
        "/agent/status",
        "agentStatus",
        "Every worker that the agent remembers.",
        &[TERM],
        json("AgentStatus"),
        ASKING,
    ),
    look(
        AGENT,
        "/agent/uptime",
        "agentUptime",
        "When the agent started, and its clock.",
        &[TERM],
        json("Uptime"),
        ASKING,
    ),
    change(
        AGENT,
        Method::POST,
        ("/agent/worker/create", "createWorker"),
        "Creates a worker, or finds that it is there already with the same task and spec.",
        &[TERM, RUN_MS, LIFE],
        Some(json("CreateWorker")),
        CREATING,
    ),
    change(
        AGENT,
        Method::PUT,
        ("/agent/worker/stop", "stopWorker"),
        "Asks for the end of a worker; its state is kept. One that is not there is no error.",
        &[TERM],
        Some(json("StopWorker")),
        AGENT_TELLING,
    ),
    change(
        AGENT,
        Method::DELETE,
        ("/agent/worker", "destroyWorker"),
        "Ends a worker if it runs, and forgets it. One that is not there is no error.",
        &[TERM, WORKER_ID],
        None,
        AGENT_ASKING,
    ),
    change(
        AGENT,
        Method::PUT,
        ("/agent/shutdown", "shutdown"),
        "Ends the agent with all its workers. A body is not looked at.",
        &[TERM],
        None,
        AGENT_ASKING,
    ),
    look(
        AGENT,
        "/agent/watch",
        "watch",
        "What changed since a version, as soon as something does, or when the time is over: the long poll of our coordinator.",
        &[
            TERM,
            parameter("query", "since", "Version", "The version of the last answer; 0 for everything."),
            parameter("query", "waitMs", "Number", "How long to wait for a change, ms; no more than 60 s."),
        ],
        json("Watch"),
        AGENT_ASKING,
    ),
    look(AGENT, "/agent/clock", "clock", "The agent's clock.", &[TERM], json("Clock"), &[400, 403]),
    look(
        AGENT,
        "/agent/recording",
        "workerRecording",
        "What a worker recorded, from a cursor on.",
        &[TERM, WORKER_ID, TICKS, NOTICES],
        json("RecordingPart"),
        FINDING,
    ),
    look(
        BOTH,
        "/metrics",
        "metrics",
        "Metrics in the text format of OpenMetrics 1.0.",
        &[],
        Payload { media_type: "application/openmetrics-text", schema: "Metrics" },
        WATCHING,
    ),
    look(BOTH, "/healthz", "health", "Whether the daemon's engine answers.", &[], json("Well"), WATCHING),
    look(BOTH, "/readyz", "readiness", "Whether the daemon takes work.", &[], json("Well"), WATCHING),
    look(BOTH, "/openapi.json", "describe", "This description.", &[], json("Description"), &[403]),
];
