"use strict";
// Everything of the page that is text: head, verdict, tables, lists. Every text of a user enters by textContent or
// as an attribute's value set from here; there is no markup in any string of this page.

window.addEventListener("error", (event) => showError(event.message));

/** Tells an error of this page on the page, where tests find it, too. */
function showError(message) {
  document.documentElement.dataset.error = message;
  const box = make("p", { id: "error", role: "alert" }, "This page could not be drawn: " + message);
  document.body.prepend(box);
}

/** An element with attributes and children; strings become text. */
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null && child !== undefined).map((child) =>
    child instanceof Node ? child : document.createTextNode(String(child))));
  return element;
}

/** A number for people: 1234567.8 as 1,234,567.8; nothing as a dash. */
function number(value, digits) {
  if (value === null || value === undefined) return "–";
  return value.toLocaleString("en-US", { minimumFractionDigits: digits || 0, maximumFractionDigits: digits || 0 });
}

/** Milliseconds with three digits that count, at least. */
function ms(value) {
  if (value === null || value === undefined) return "–";
  return number(value, value >= 1000 ? 0 : value >= 100 ? 1 : value >= 10 ? 2 : 3);
}

/** Seconds as minutes and seconds, with hours where there are any. */
function clock(seconds, digits) {
  const sign = seconds < 0 ? "−" : "";
  const scale = Math.pow(10, digits || 0);
  const whole = Math.round(Math.abs(seconds) * scale) / scale;
  const pad = (value, fraction) => (value < 10 ? "0" : "") + value.toFixed(fraction);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const rest = pad(whole - hours * 3600 - minutes * 60, digits || 0);
  return sign + (hours ? hours + ":" + pad(minutes, 0) : minutes) + ":" + rest;
}

/** A moment of the calendar, in universal time. */
function moment(epochMs) {
  const date = new Date(epochMs);
  return isNaN(date) ? "unknown" : date.toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC");
}

/** responseTime as "response time". */
function words(name) {
  return name.replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
}

/** The last part of a class name. */
function shortClass(name) {
  return name.slice(name.lastIndexOf(".") + 1).replace(/(Fault|Task|Workload)?Spec$/, "") || name;
}

/** A table. Columns are [head, unit or "", text of a row, is it a number?]; a text may be an element. */
function table(caption, columns, rows, rowClass) {
  const head = columns.map(([name, unit, , isNumber]) =>
    make("th", { scope: "col", class: isNumber ? "number" : "" }, unit ? name + ", " + unit : name));
  const cell = (row) => ([, , text, isNumber]) => make("td", isNumber ? { class: "number" } : {}, text(row));
  const body = rows.map((row) => make("tr", { class: rowClass ? rowClass(row) : "" }, ...columns.map(cell(row))));
  return make("div", { class: "table" }, make("table", {},
    make("caption", {}, caption), make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body)));
}

/** A list of names and values; values that are empty are left out. */
function facts(pairs) {
  const there = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return make("dl", { class: "facts" }, ...there.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

/** A value as names and texts, with the names of what they are in before them. */
function flattened(value, path) {
  if (value === null || typeof value !== "object") return [[path, String(value)]];
  if (Array.isArray(value) && value.every((item) => item === null || typeof item !== "object")) {
    return [[path, value.join(", ")]];
  }
  return Object.entries(value).flatMap(([name, inner]) => flattened(inner, path ? path + " › " + name : name));
}

/** A task's name with the colour of its lines. */
function named(data, id) {
  if (id === null || id === undefined) return "all that recorded, merged";
  const at = data.tasks.findIndex((task) => task.id === id);
  return at < 0 ? id : make("span", {}, make("span", { class: "key", style: "background: var(--c" + (at % 8) + ")" }), id);
}

function distinct(values) {
  return [...new Set(values.filter((value) => value))];
}

/** What ran, where and for how long. */
function writeHead(data, box) {
  const title = data.tasks.map((task) => task.id).join(", ") || "no task";
  document.title = "Trogdor report: " + title;
  const span = data.axis.columns * data.axis.widthMs / 1000;
  const versions = Object.entries(data.nodes).map(([name, node]) =>
    name + ": " + [node.kind, node.version].filter((word) => word).join(" "));
  const hosts = data.tasks.flatMap((task) => Object.entries(task.facts)).map(([node, known]) =>
    known.host ? node + ": " + flattened(known.host, "").map(([name, value]) => name + " " + value).join(", ") : null);
  box.append(make("p", { class: "soft" }, "Trogdor report"), make("h1", {}, title), facts([
    ["tasks", distinct(data.tasks.map((task) => shortClass(task.class))).join(", ")],
    ["broker", distinct(data.tasks.map((task) => task.broker)).join("; ")],
    ["started", moment(data.axis.originMs)],
    ["duration", clock(span) + (span < 3600 ? " (minutes:seconds)" : " (hours:minutes:seconds)")],
    ["faults", data.faults.map((fault) => shortClass(fault.class) + " (" + fault.id + ")").join(", ")],
    ["warm-up", data.warmUpS ? data.warmUpS + " s at the start of each worker are not in the tables" : ""],
    ["trogdor", data.trogdor], ["agents", versions.filter((text) => !text.endsWith(": ")).join("; ")],
    ["hosts", distinct(hosts).join("; ")],
  ]));
}

/** Whether the figures can be believed, as the workers say, and what went wrong. */
function writeVerdict(data, box) {
  const told = data.tasks.flatMap((task) => task.verdicts.map((verdict) => ({ task: task.id, ...verdict })));
  const bad = told.filter((verdict) => verdict.result !== "valid");
  const silent = data.tasks.filter((task) => !task.verdicts.length);
  const where = (verdict) => verdict.task + (verdict.node ? " @ " + verdict.node : "");
  const evidence = (bad.length ? bad : told).flatMap((verdict) =>
    verdict.evidence.length ? verdict.evidence.map((text) => where(verdict) + ": " + text)
      : bad.length ? [where(verdict) + ": " + verdict.result] : []);
  const summary = bad.length ? "Not valid: " + distinct(bad.map((verdict) => verdict.result)).join(", ")
    : told.length && !silent.length ? "Valid" : told.length ? "Valid as far as told" : "No verdict";
  const missing = silent.length
    ? ["These tasks tell no verdict of their own measurement: " + silent.map((task) => task.id).join(", ")] : [];
  const style = bad.length ? "bad" : told.length && !silent.length ? "good" : "warn";
  box.append(make("div", { class: "verdict " + style }, make("strong", {}, summary),
    make("ul", {}, ...evidence.concat(missing).map((text) => make("li", {}, text)))));
  const problems = data.tasks.filter((task) => task.error || task.state !== "DONE");
  box.append(...problems.map((task) => make("p", { class: "bad" },
    task.id + ": " + (task.error || "has not ended (" + task.state + ")"))));
}

/** The tables of figures. */
function writeFigures(data, box) {
  const isAll = (row) => (row.who === null ? "all" : "");
  const who = ["task", "", (row) => named(data, row.who)];
  box.append(make("h2", {}, "Figures"),
    table("Throughput and failures. A dash is what a task does not tell.", [who,
      ["counted", "", (row) => row.what || "total"],
      ["count", "", (row) => number(row.done), true], ["per second", "", (row) => number(row.perSec, 1), true],
      ["failed", "", (row) => number(row.failed), true], ["unknown", "", (row) => number(row.unknown), true],
      ["measured", "s", (row) => number(row.seconds, 1), true]], data.paces, isAll));
  if (!data.times.length) {
    box.append(make("p", { class: "soft" }, "No latencies were measured."));
    return;
  }
  const time = (head, key) => [head, "ms", (row) => ms(row[key]), true];
  box.append(table("Latencies. Merged from histograms, never averaged.", [who,
    ["figure", "", (row) => words(row.figure)], ["count", "", (row) => number(row.count), true],
    time("p50", "p50Ms"), time("p90", "p90Ms"), time("p99", "p99Ms"), time("p99.9", "p999Ms"), time("max", "maxMs")],
  data.times, isAll));
  if (data.endToEnd) box.append(make("p", { class: "soft" }, data.endToEnd + "."));
}

/** Faults and notices as lists, with their times on the axis of the charts. */
function writeEvents(data, box) {
  if (data.faults.length) {
    const at = (seconds, otherwise) => (seconds === undefined ? otherwise : clock(seconds, 1));
    box.append(make("h2", {}, "Faults"), table("Times count from the left end of the charts, which is 0:00.", [
      ["fault", "", (row) => row.id], ["class", "", (row) => shortClass(row.class)],
      ["from", "", (row) => at(row.fromS, "did not start"), true],
      ["to", "", (row) => (row.fromS === undefined ? "" : at(row.toS, "has not ended")), true],
      ["error", "", (row) => row.error || ""]], data.faults));
  }
  if (data.notices.length) {
    box.append(make("h2", {}, "Notices"), table("What workers noticed, by the clocks of their nodes.", [
      ["at", "", (row) => clock(row.atS, 1), true], ["kind", "", (row) => row.kind],
      ["task", "", (row) => row.task + " @ " + row.node], ["text", "", (row) => row.text]], data.notices));
  }
  if (data.noticesNotShown) {
    box.append(make("p", { class: "soft" }, number(data.noticesNotShown) + " further notices are not shown."));
  }
}

/** What is for those who look closer. */
function writeDetails(data, box) {
  const folded = (title, ...content) => make("details", {}, make("summary", {}, title), ...content);
  const workers = data.tasks.flatMap((task) => Object.entries(task.facts)
    .filter(([, known]) => Object.keys(known).length)
    .map(([node, known]) => folded("In force: " + task.id + " @ " + node, facts(flattened(known, "")))));
  const specs = data.tasks.concat(data.faults).map((task) =>
    folded("Spec: " + task.id, make("pre", {}, JSON.stringify(task.spec, null, 2))));
  box.append(make("h2", {}, "Settings and specs"), ...workers, ...specs);
}
