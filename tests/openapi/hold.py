"""Holds a running daemon against its description: schemathesis makes requests of all kinds, rows.py those that
need something to be there, and all answers must be as the description says. In the end each status that it
promises was seen, and each route that was asked is in it.

    scripts/schemathesis tests/openapi/hold.py agent|coordinator FILE URL SEED EXAMPLES
"""

import json
import re
import sys
from collections import Counter
from urllib.request import urlopen

import jsonschema_rs
import schemathesis
from schemathesis.cli import schemathesis as command_line
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

import rows

# Statuses that take a daemon in trouble, or TLS: asked for by the tests in openapi.rs and secured.rs.
ELSEWHERE = {"403", "408", "413", "500", "503"}
# What is asked for by rows alone: it ends the daemon, or never ends itself.
BY_HAND = ["/agent/shutdown", "/coordinator/shutdown", "/coordinator/events"]
# Headers that are whole numbers.
NUMBERS = ("trogdor-term", "trogdor-run-ms", "trogdor-agent-start-ms")
# Whose bodies the checks of this file judge.
CREATING = {"POST /agent/worker/create", "POST /coordinator/task/create"}
# Classes whose generators make up most of all requests: both daemons read them in one way, so agents are asked alone.
AT_AGENTS = ("ProduceBench", "ConfigurableProducer", "SustainedConnection", "RoundTripWorkload", "ShareRoundTripWorkload")
# Long polls are cut to this, ms.
PATIENCE = 20

seen = Counter()


def validators(document):
    """Of the bodies of requests: as the description says, and as it says that it is read (fractions are cut)."""
    found = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            body = operation.get("requestBody")
            if body:
                schema = {**body["content"]["application/json"]["schema"], "components": document["components"]}
                strict, lenient = schema, cut(schema)
                found[f"{method.upper()} {path}"] = [jsonschema_rs.Draft202012Validator(s) for s in (strict, lenient)]
    return found


def cut(schema):
    if isinstance(schema, list):
        return [cut(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: cut(value) for key, value in schema.items()}
    types = schema.get("type")
    if isinstance(types, list) and "integer" in types and "string" in types:
        schema["type"] = ["number" if name == "integer" else name for name in types]
        for key, exclusive, step in [("minimum", "exclusiveMinimum", -1), ("maximum", "exclusiveMaximum", 1)]:
            if key in schema:
                schema[exclusive] = schema.pop(key) + step
    return schema


@schemathesis.hook
def map_query(context, query):
    for name in ("waitMs", "timeoutMs"):
        if query and isinstance(query.get(name), int):
            query[name] = min(query[name], PATIENCE)
    return query


@schemathesis.hook
def after_call(context, case, response):
    seen[case.operation.label, str(response.status_code)] += 1


@schemathesis.deserializer("text/html", "text/css", "text/javascript", "application/openmetrics-text")
def as_text(context, response):
    return response.content.decode()


@schemathesis.check
def nothing_fails(ctx, response, case):
    """A status of 500 and more is a defect, but for 501, which says that a class is not known, and for a worker that is
    meant for another life of the agent, which its coordinator shall try again."""
    is_for_another = "the worker was sent to the agent that started at" in response.text
    assert response.status_code < 500 or response.status_code == 501 or is_for_another, f"a failure: {response.text}"


@schemathesis.check
def refused_or_not_as_described(ctx, response, case):
    """What is taken is in order, and what is in order is taken. A specification may be refused for what several of its
    fields say together, which no schema tells."""
    label = case.operation.label
    if label not in CREATING:
        negative_data_rejection(ctx, response, case)
        positive_data_acceptance(ctx, response, case)
        return
    strict, lenient = bodies[label]
    if response.status_code < 300:
        headers = [value for name, value in (case.headers or {}).items() if name.lower() in NUMBERS]
        assert all(re.fullmatch(r"[+-]?\d+", str(value)) for value in headers), "a header that is no number was accepted"
        assert lenient.is_valid(case.body), f"accepted, and not in order: {lenient_errors(lenient, case.body)}"
    elif response.status_code == 400 and "HTTP 400" not in response.text and is_json(case.body) and strict.is_valid(case.body):
        message = response.json()["message"]
        # That a number in quotes is too large no pattern tells.
        of_form = re.findall(r"\): (found (?!\"|the key)|unknown |\"\w+\" is missing)", message)
        assert not of_form or "header" in message, f"in order, and refused for its form: {message}"


def is_json(body):
    return isinstance(body, (dict, list, str, int, float, bool, type(None)))


def lenient_errors(validator, body):
    return [f"{error.instance_path}: {error.message}"[:300] for error in validator.iter_errors(body)][:3]


def shortened(kind, document):
    """The file that requests are made from."""
    if kind == "coordinator":
        spec = document["components"]["schemas"]["Spec"]
        unwanted = [f"#/components/schemas/{name}Spec" for name in AT_AGENTS]
        spec["oneOf"] = [choice for choice in spec["oneOf"] if choice["$ref"] not in unwanted]
        mapping = spec["discriminator"]["mapping"]
        spec["discriminator"]["mapping"] = {name: target for name, target in mapping.items() if target not in unwanted}
    with open("requests.json", "w") as file:
        json.dump(document, file)
    return "requests.json"


def fuzz(file, url, seed, examples):
    excluded = [word for path in BY_HAND for word in ("--exclude-path", path)]
    checks = "not_a_server_error,negative_data_rejection,positive_data_acceptance"
    try:
        command_line.main(
            ["run", file, "--url", url, "--seed", seed, "--max-examples", examples, "--no-color", "--no-shrink",
             "--continue-on-failure", "--generation-database", "none", "--exclude-checks", checks, "--warnings", "off",
             "--request-timeout", "30"] + excluded,
            standalone_mode=False,
        )
    except SystemExit as exit:
        return exit.code or 0
    return 0


def unseen(document):
    """Statuses that the description promises and nobody saw."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            label = f"{method.upper()} {path}"
            for status in operation["responses"]:
                if status not in ELSEWHERE and not seen[label, status]:
                    yield f"{label} never gave {status}"


def strays(document, url):
    """Routes that the daemon counts and does not describe, and the other way round."""
    text = urlopen(f"{url}/metrics").read().decode()
    asked = re.findall(r'^trogdor_http_requests_total\{method="(\w+)",route="([^"]+)",status="(\d+)"\} ', text, re.M)
    routes = {route for _, route, _ in asked}
    yield from (f"{path} is described and was never counted" for path in document["paths"] if path not in routes)
    for method, route, status in asked:
        is_described = method.lower() in document["paths"].get(route, {})
        if not is_described and status not in ("404", "405"):
            yield f"{method} {route} gave {status} and is not described"


def main(kind, file, url, seed, examples):
    document = json.load(open(file))
    bodies.update(validators(document))
    problems = []
    if json.load(urlopen(f"{url}/openapi.json")) != document:
        problems.append("/openapi.json is not the file")
    schema = schemathesis.openapi.from_path(file)
    schema.config.base_url = url
    setting = rows.Setting(schema, url, seen)
    getattr(rows, kind)(setting)
    if fuzz(shortened(kind, json.load(open(file))), url, seed, examples):
        problems.append("see above")
    problems += strays(document, url)
    # Last, since nothing is left to be asked then.
    setting.ask("PUT", f"/{kind}/shutdown", 200)
    problems += unseen(document)
    for (label, status), count in sorted(seen.items()):
        print(f"{count:6} {label} {status}")
    for problem in problems:
        print(f"problem: {problem}")
    return 1 if problems else 0


bodies = {}
if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
