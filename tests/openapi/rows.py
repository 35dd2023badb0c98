"""Requests that need something to be there, and those that schemathesis does not make by itself. Each answer is held
against the description, too."""

import json
import time

import jsonschema_rs
import requests
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
NO_OP = "org.apache.kafka.trogdor.task.NoOpTaskSpec"
# A start that nobody lives to see, ms since the epoch.
FUTURE = 4102444800000


def no_op(start_ms, duration_ms):
    return {"class": NO_OP, "startMs": start_ms, "durationMs": duration_ms}


def connecting(duration_ms):
    """Something that fails, with a status: connections to a port where nobody listens."""
    return {
        "class": "org.apache.kafka.trogdor.workload.ConnectionStressSpec", "startMs": 0, "durationMs": duration_ms,
        "clientNode": "node0", "bootstrapServers": "127.0.0.1:1", "targetConnectionsPerSec": 5, "numThreads": 1,
        "action": "CONNECT",
    }


class Setting:
    def __init__(self, schema, url, seen):
        self.schema, self.url, self.seen = schema, url, seen

    def ask(self, method, path, status, **request):
        """One request of the description that must give this status; gives the answer."""
        case = self.schema[path][method].Case(**request)
        response = case.call(base_url=self.url)
        assert response.status_code == status, f"{method} {path} gave {response.status_code}: {response.text}"
        case.validate_response(response, checks=CHECKS)
        self.seen[f"{method} {path}", str(status)] += 1
        return response

    def until(self, condition, method, path, **request):
        """Asks again until it is so."""
        end = time.monotonic() + 60
        while True:
            found = self.ask(method, path, 200, **request).json()
            if condition(found):
                return found
            assert time.monotonic() < end, f"{method} {path} never came to it: {found}"

    def refused_bodies(self, method, path, statuses):
        texts = {400: "{", 415: "x"}
        for status in statuses:
            media_type = "text/plain" if status == 415 else "application/json"
            response = requests.request(method, self.url + path, data=texts[status], headers={"Content-Type": media_type})
            operation = self.schema[path][method]
            assert response.status_code == status, f"{method} {path}: {response.text}"
            operation.validate_response(response)
            self.seen[f"{method} {path}", str(status)] += 1


def coordinator(it):
    create, task = ("POST", "/coordinator/task/create"), "/coordinator/tasks/{id}"
    # A no-op would run on all nodes, of which one is away.
    specs = {
        "pending": no_op(FUTURE, 1000), "long": connecting(600_000), "short": connecting(100), "busy": connecting(1500),
    }
    for id, spec in specs.items():
        it.ask(*create, 200, body={"id": id, "spec": spec})
    it.ask(*create, 409, body={"id": "long", "spec": no_op(0, 1)})
    it.ask(*create, 501, body={"id": "odd", "spec": {"class": "no.such.Class"}})
    it.until(lambda found: found["state"] == "RUNNING", "GET", task, path_parameters={"id": "long"})
    for id in ("short", "busy"):
        ended = it.until(
            lambda found: found["state"] == "DONE", "GET", task + "/wait", path_parameters={"id": id}, query={"timeoutMs": 1000}
        )
        it.ask("GET", task + "/workers", 200, path_parameters={"id": id})
    assert "of 0" not in ended["error"] and "connections" in ended["error"], ended
    it.ask("GET", task + "/recording", 200, path_parameters={"id": "busy"}, query={"node": "node0"})
    for state in ("PENDING", "RUNNING", "STOPPING", "DONE"):
        found = it.ask("GET", "/coordinator/tasks", 200, query={"state": state}).json().get("tasks", {})
        assert all(task["state"] == state for task in found.values()), found
    it.ask("PUT", "/coordinator/task/stop", 200, body={"id": "long"})
    it.ask("DELETE", "/coordinator/tasks", 200, query={"taskId": "short"})
    for path in (task, task + "/wait", task + "/workers", task + "/recording"):
        it.ask("GET", path, 404, path_parameters={"id": "short"})
        # What is no UTF-8.
        response = requests.get(it.url + path.replace("{id}", "%ff"))
        assert response.status_code == 400, response.text
        it.schema[path]["GET"].validate_response(response)
        it.seen[f"GET {path}", "400"] += 1
    it.ask("GET", "/live/{name}", 200, path_parameters={"name": "live.js"})
    it.ask("GET", "/live/{name}", 404, path_parameters={"name": "nothing.js"})
    events(it)
    it.ask("GET", "/coordinator/overview", 200)
    for path in ("/coordinator/task/stop", "/coordinator/shutdown"):
        it.refused_bodies("PUT", path, [400, 415])
    it.refused_bodies(*create, [415])


def events(it):
    """Two events of the stream, which has no end."""
    document = it.schema.raw_schema
    overview = jsonschema_rs.Draft202012Validator(
        {"$ref": "#/components/schemas/Overview", "components": document["components"]}
    )
    with requests.get(f"{it.url}/coordinator/events", stream=True, timeout=30) as response:
        assert response.status_code == 200 and response.headers["Content-Type"] == "text/event-stream"
        found = 0
        for line in response.iter_lines():
            if line.startswith(b"data: "):
                overview.validate(json.loads(line[6:]))
                found += 1
                if found == 2:
                    break
    it.seen["GET /coordinator/events", "200"] += 1


def agent(it):
    create, worker = ("POST", "/agent/worker/create"), {"taskId": "t"}
    it.ask("GET", "/agent/watch", 200, query={"since": 0, "waitMs": 0})
    specs = [no_op(FUTURE, 1000), no_op(0, 1), connecting(2500), no_op(0, 1)]
    for id, spec in enumerate(specs, 1):
        it.ask(*create, 200, body={"workerId": id, "spec": spec, **worker})
    for id in (5, 6):
        it.ask(*create, 200, body={"workerId": id, "spec": no_op(0, 1), **worker}, headers={"Trogdor-Run-Ms": "600000"})
    it.ask(*create, 409, body={"workerId": 5, "spec": no_op(0, 2), **worker})
    it.ask(*create, 501, body={"workerId": 9, "spec": {"class": "no.such.Class"}, **worker})
    # Never run: the list of programs is empty.
    command = {"class": "org.apache.kafka.trogdor.workload.ExternalCommandSpec", "command": ["/bin/true"], "durationMs": 1000}
    it.ask(*create, 200, body={"workerId": 10, "spec": command, **worker}, headers={"Trogdor-Run-Ms": "600000"})
    it.until(lambda found: "allow" in found["workers"]["10"].get("error", ""), "GET", "/agent/status")
    busy = {"Trogdor-Run-Ms": "2500"}
    it.ask(*create, 200, body={"workerId": 7, "spec": connecting(2500), **worker}, headers=busy)
    it.until(lambda found: found["workers"]["7"]["state"] == "DONE", "GET", "/agent/status")
    it.ask("GET", "/agent/recording", 200, query={"workerId": 7})
    it.ask("GET", "/agent/recording", 404, query={"workerId": 77})
    it.ask("PUT", "/agent/worker/stop", 200, body={"workerId": 5})
    it.ask("DELETE", "/agent/worker", 200, query={"workerId": 6})
    it.ask("GET", "/agent/watch", 200, query={"since": 0, "waitMs": 0})
    it.refused_bodies("PUT", "/agent/worker/stop", [400, 415])
    it.refused_bodies(*create, [415])
    # Of the path that ends it only the refusals, until the end.
    it.ask("PUT", "/agent/shutdown", 400, headers={"Trogdor-Term": "x"})
    it.ask("GET", "/agent/watch", 200, headers={"Trogdor-Term": "5"})
    late, none = {"headers": {"Trogdor-Term": "4"}}, {"workerId": 77}
    it.ask("GET", "/agent/watch", 409, **late)
    it.ask("PUT", "/agent/shutdown", 409, **late)
    it.ask("PUT", "/agent/worker/stop", 409, body=none, **late)
    it.ask("DELETE", "/agent/worker", 409, query=none, **late)
    it.ask("GET", "/agent/status", 200, **late)
