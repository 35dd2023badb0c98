"use strict";
// The live page: takes a state a second from the coordinator and draws it. Every state is whole, so a lost one costs
// nothing. Texts of users enter by textContent only; tables and charts come from the report's scripts.

const SPAN_S = 300;
const LINES_SHOWN = 8;
const EVENTS = "coordinator/events";
const RETRY_MS = 5000;

/** What was told about rates and latencies in the last minutes, by task; `places` keeps the colours. */
const past = { times: [], tasks: new Map(), faults: new Map(), places: new Map(), states: 0 };

const place = (id) => document.getElementById(id);

function perSec(value) {
  return value === undefined ? "–" : number(value, value < 100 ? 1 : 0);
}

function micros(value) {
  return value === undefined ? "–" : ms(value / 1000);
}

/** The colour of a task, for as long as the page is open. */
function placeOf(id) {
  if (!past.places.has(id)) past.places.set(id, past.places.size % 8);
  return past.places.get(id);
}

/** Latencies of the last second if a task tells them, else of all of it. */
function latencyOf(figures) {
  return figures.recent || figures.latency || {};
}

/** Adds a state to the past, and forgets what is too old to be shown. */
function remember(view) {
  const now = view.nowMs / 1000;
  if (past.times.length && now <= past.times[past.times.length - 1]) {
    // Another coordinator, or a clock that was set.
    past.times = [];
    past.tasks.clear();
    past.faults.clear();
  }
  past.times.push(now);
  const loads = view.active.filter((task) => !task.figures.isFault && task.figures.perSec !== undefined);
  for (const task of loads) {
    if (!past.tasks.has(task.id)) past.tasks.set(task.id, { rates: [], p99s: [] });
  }
  const byId = new Map(loads.map((task) => [task.id, task]));
  for (const [id, lines] of past.tasks) {
    const task = byId.get(id);
    const p99 = task && latencyOf(task.figures).p99Us;
    pushAt(lines.rates, task ? task.figures.perSec : null);
    pushAt(lines.p99s, p99 === undefined ? null : Math.max(p99 / 1000, 0.001));
  }
  for (const task of view.active.concat(view.ended).filter((one) => one.figures.isFault && one.startedMs > 0)) {
    past.faults.set(task.id, { from: task.startedMs / 1000, to: task.doneMs > 0 ? task.doneMs / 1000 : null });
  }
  let old = 0;
  while (past.times[old] < now - SPAN_S) old += 1;
  past.times.splice(0, old);
  for (const [id, lines] of past.tasks) {
    lines.rates.splice(0, Math.max(0, lines.rates.length - past.times.length));
    lines.p99s.splice(0, Math.max(0, lines.p99s.length - past.times.length));
    if (lines.rates.every((value) => value === null)) past.tasks.delete(id);
  }
  for (const [id, fault] of past.faults) {
    if (fault.to !== null && fault.to < now - SPAN_S) past.faults.delete(id);
  }
}

/** Puts a value at the place of the last moment; moments before the task began have none. */
function pushAt(line, value) {
  while (line.length < past.times.length - 1) line.unshift(null);
  line.push(value);
}

/** Two charts, which are made anew if other tasks are to be seen. */
class LiveCharts {
  constructor(box) {
    this.box = box;
    this.charts = [];
    this.shown = null;
  }

  draw() {
    const ids = [...past.tasks.keys()].slice(-LINES_SHOWN);
    const lines = (pick) => [past.times, ...ids.map((id) => {
      const line = pick(past.tasks.get(id));
      return past.times.map((_, at) => {
        const value = line[at - (past.times.length - line.length)];
        return value === undefined ? null : value;
      });
    })];
    const data = [lines((task) => task.rates), lines((task) => task.p99s)];
    const key = JSON.stringify(ids);
    if (key !== this.shown) this.make(ids, data);
    else this.charts.forEach((chart, at) => chart.setData(data[at]));
    this.shown = key;
  }

  make(ids, data) {
    this.charts.forEach((chart) => chart.destroy());
    this.box.replaceChildren(make("h2", {}, "Last minutes"));
    this.charts = [];
    if (!ids.length) {
      this.box.append(make("p", { class: "soft" }, "No task tells a rate at the moment."));
      return;
    }
    const fromZero = { range: (u, min, max) => [0, max > 0 ? max * 1.08 : 1] };
    const whole = (value) => number(value, value < 100 ? 1 : 0);
    this.add("Throughput", "per second", ids, data[0], fromZero, whole);
    this.add("Latency, p99 of the slowest worker", "ms", ids, data[1], { distr: 3 }, ms);
  }

  add(title, unit, ids, data, y, format) {
    const holder = make("div", { role: "img", "aria-label": title + ", " + unit + ", over the last minutes" });
    this.box.append(make("figure", {}, make("figcaption", {}, make("b", {}, title), " (" + unit + ")"), holder));
    const axis = (more) => ({
      stroke: colour("soft"), grid: { stroke: colour("grid"), width: 1 }, ticks: { stroke: colour("grid"), width: 1 }, ...more,
    });
    const isLog = y.distr === 3;
    this.charts.push(new uPlot({
      width: this.width(), height: 190, padding: [8, 30, 0, 0],
      scales: { x: { time: true, range: () => this.range() }, y },
      series: [{ label: "time" }, ...ids.map((id) => ({
        label: id, stroke: colour("c" + placeOf(id)), width: 1.5, spanGaps: false,
        points: { show: (u, at, from, to) => to - from < 3 },
        value: (u, value) => (value === null || value === undefined ? "–" : format(value)),
      }))],
      axes: [axis({ size: 32 }), axis({
        ...(isLog ? { splits: (u, at, min, max) => logMarks(min, max) } : {}),
        size: 78, values: (u, splits) => splits.map((at) => (at === null ? "" : plain(at))),
        grid: { stroke: colour("grid"), width: 1, filter: (u, splits) => (isLog ? splits.map(wholePower) : splits) },
      })],
      cursor: { sync: { key: "live" }, drag: { x: false, y: false }, y: false, points: { size: 6 } },
      hooks: { drawAxes: [(u) => this.drawFaults(u)] },
    }, data, holder));
  }

  range() {
    const now = past.times[past.times.length - 1] || 0;
    return [Math.min(now - 60, Math.max(now - SPAN_S, past.times[0] || 0)), now];
  }

  width() {
    return Math.max(320, this.box.clientWidth);
  }

  resize() {
    this.charts.forEach((chart) => chart.setSize({ width: this.width(), height: 190 }));
  }

  drawFaults(u) {
    const { ctx, bbox } = u;
    const [first, last] = this.range();
    ctx.save();
    for (const { from, to } of past.faults.values()) {
      const [left, right] = [Math.max(from, first), to === null ? last : to].map((at) => u.valToPos(at, "x", true));
      if (right < bbox.left) continue;
      ctx.fillStyle = colour("fault");
      ctx.globalAlpha = 0.15;
      ctx.fillRect(left, bbox.top, Math.max(right - left, 2), bbox.height);
    }
    ctx.restore();
  }
}

function section(box, title, content) {
  box.replaceChildren(make("h2", {}, title), content);
}

/** A task's name with the colour of its lines. */
function keyed(task) {
  if (!past.tasks.has(task.id)) return task.id;
  return make("span", {}, make("span", { class: "key k" + placeOf(task.id) }), task.id);
}

function whereOf(task) {
  const more = task.workers - task.nodes.length;
  return task.nodes.join(", ") + (more > 0 ? " and " + more + " more" : "");
}

function told(task) {
  const { says, notes } = task.figures;
  return [task.error, ...(notes || []), says].filter((text) => text).join("; ");
}

/** How long a task has run, and how long it may. */
function ranFor(view, task) {
  const ran = clock((view.nowMs - task.startedMs) / 1000);
  return ran + " of " + clock(task.durationMs / 1000);
}

function writeTasks(view, box) {
  const rows = view.active.filter((task) => !task.figures.isFault);
  if (!rows.length) {
    section(box, "Running tasks", make("p", { class: "soft" }, "None."));
    return;
  }
  const p = (name) => (task) => micros(latencyOf(task.figures)[name]);
  section(box, "Running tasks", table("Latencies in ms, of the last second where a task tells them.", [
    ["task", "", keyed], ["class", "", (task) => shortClass(task.class)], ["state", "", (task) => task.state],
    ["nodes", "", whereOf], ["time", "", (task) => ranFor(view, task), true],
    ["done", "", (task) => number(task.figures.done), true], ["failed", "", (task) => number(task.figures.failed), true],
    ["per second", "", (task) => perSec(task.figures.perSec), true],
    ["p50", "ms", p("p50Us"), true], ["p99", "ms", p("p99Us"), true], ["max", "ms", p("maxUs"), true],
    ["says", "", told]], rows));
}

function writeFaults(view, box) {
  const rows = view.active.filter((task) => task.figures.isFault);
  section(box, "Faults in force", rows.length ? table("", [
    ["fault", "", (task) => task.id], ["class", "", (task) => shortClass(task.class)], ["state", "", (task) => task.state],
    ["nodes", "", whereOf], ["time", "", (task) => ranFor(view, task), true], ["says", "", told]], rows)
    : make("p", { class: "soft" }, "None."));
}

function writeAgents(view, box) {
  const rows = Object.entries(view.nodes).map(([name, node]) => ({ name, ...node }));
  const state = (node) => (node.reachable === undefined ? "not asked yet" : node.reachable ? "reachable" : "unreachable");
  section(box, "Agents", table("", [
    ["node", "", (node) => node.name], ["agent", "", (node) => node.agent], ["state", "", state],
    ["kind", "", (node) => [node.kind, node.version].filter((word) => word).join(" ") || "–"],
    ["active workers", "", (node) => number(node.activeWorkers), true], ["error", "", (node) => node.error || ""],
  ], rows, (node) => (node.reachable === false ? "bad" : "")));
}

function writeRecent(view, box) {
  const content = make("div", {});
  if (view.pending.length) {
    content.append(table("Waiting for their start (" + number(view.tasks.pending) + ").", [
      ["task", "", (task) => task.id], ["class", "", (task) => shortClass(task.class)],
      ["starts in", "", (task) => clock((task.dueMs - view.nowMs) / 1000), true]], view.pending));
  }
  const how = (task) => (task.error ? "failed" : task.cancelled ? "cancelled" : "finished");
  const rows = view.ended;
  content.append(rows.length ? table("Ended, the last first; " + number(view.tasks.done) + " are remembered.", [
    ["task", "", (task) => task.id], ["class", "", (task) => shortClass(task.class)], ["result", "", how],
    ["ended", "", (task) => clock((view.nowMs - task.doneMs) / 1000) + " ago", true],
    ["took", "", (task) => (task.startedMs > 0 ? clock((task.doneMs - task.startedMs) / 1000) : "–"), true],
    ["done", "", (task) => number(task.figures.done), true], ["failed", "", (task) => number(task.figures.failed), true],
    ["per second", "", (task) => perSec(task.figures.meanPerSec), true],
    ["p99", "ms", (task) => micros((task.figures.latency || {}).p99Us), true],
    ["says", "", told]], rows, (task) => (task.error ? "bad" : "")) : make("p", { class: "soft" }, "No task has ended yet."));
  section(box, "Pending and ended", content);
}

function writeLine(view) {
  const nodes = Object.values(view.nodes);
  const lost = nodes.filter((node) => node.reachable === false).length;
  const line = place("line");
  line.className = "";
  line.textContent = [
    "up " + clock((view.nowMs - view.startMs) / 1000), number(nodes.length) + " agents" + (lost ? ", " + lost + " unreachable" : ""),
    number(view.tasks.running + view.tasks.stopping) + " running", number(view.tasks.pending) + " pending",
    number(view.tasks.done) + " done", moment(view.nowMs),
  ].join(" · ");
  document.title = view.tasks.running + " running · Trogdor live";
}

function show(view, charts) {
  remember(view);
  writeLine(view);
  charts.draw();
  writeTasks(view, place("tasks"));
  writeFaults(view, place("faults"));
  writeAgents(view, place("agents"));
  writeRecent(view, place("recent"));
  past.states += 1;
  document.documentElement.classList.remove("stale");
  document.documentElement.dataset.states = String(past.states);
  document.documentElement.dataset.charts = String(charts.charts.length);
}

function main() {
  const charts = new LiveCharts(place("charts"));
  let source = null;
  const lose = (why) => {
    document.documentElement.classList.add("stale");
    const line = place("line");
    line.className = "lost";
    line.textContent = why;
  };
  const connect = () => {
    source = new EventSource(EVENTS);
    const mine = source;
    source.addEventListener("message", (event) => show(JSON.parse(event.data), charts));
    source.addEventListener("error", () => {
      if (mine !== source) return;
      lose("The coordinator does not answer; trying again …");
      // A refusal (too many readers, say) ends the source for good; silence does not.
      if (source.readyState === EventSource.CLOSED) setTimeout(() => { if (mine === source) connect(); }, RETRY_MS);
    });
  };
  // A page that nobody sees takes no place from others.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && source) {
      source.close();
      source = null;
      lose("Paused while the page is hidden.");
    } else if (!document.hidden && !source) {
      connect();
    }
  });
  window.addEventListener("resize", () => charts.resize());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { charts.shown = null; });
  place("foot").append("A state a second, as the workers tell it. Rates of several workers are added; latencies are those of the slowest one.");
  connect();
}

main();
