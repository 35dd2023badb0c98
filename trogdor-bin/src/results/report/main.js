"use strict";
// Puts the page together: which charts there are, what can be chosen, and what is told at the cursor.

const ERRORS = ["failed", "unknown"];

/** One line for each task that has something of the kind. */
function linesOf(tasks, pick) {
  return tasks.flatMap((task) => pick(task).map(([label, values, dash]) =>
    ({ label: task.id + " · " + label, values, dash, stroke: taskColour(task.at) })));
}

function drawCharts(data, charts, chosen) {
  charts.clear();
  const tasks = data.tasks.filter((task) => chosen.task === null || task.at === chosen.task);
  const recorded = tasks.filter((task) => task.recorded);
  if (!recorded.length) return;
  const whole = (value) => number(value, value < 10 && value % 1 ? 1 : 0);
  const fromZero = { range: (u, min, max) => [0, max > 0 ? max * 1.08 : 1] };
  charts.add({
    title: "Throughput", unit: "records per second", y: fromZero, format: whole,
    lines: linesOf(recorded, (task) => Object.entries(task.rates)
      .filter(([name]) => !ERRORS.includes(name)).map(([name, values]) => [words(name), values, []])),
  });
  if (chosen.figure) drawLatencies(data, charts, recorded, chosen.figure);
  const errors = linesOf(recorded, (task) => ERRORS.filter((name) => task.rates[name])
    .map((name) => [name, task.rates[name], name === "unknown" ? [2, 3] : []]));
  const none = !errors.some((line) => line.values.some((value) => value > 0));
  charts.add({
    title: "Errors", unit: "records per second", note: none ? "no record failed, none is of unknown fate" : "",
    y: fromZero, format: whole, lines: errors, height: none ? 110 : 190,
  });
  const isShare = (name) => name.endsWith("Permille");
  const peaksOf = (wanted, line) => linesOf(recorded, (task) => Object.entries(task.peaks).filter(([name]) => wanted(name))
    .map(([name, values]) => line(name, values)));
  const peaks = peaksOf((name) => !isShare(name), (name, values) => [words(name), values, []]);
  if (peaks.length) {
    charts.add({ title: "In flight", unit: "highest of an interval", y: fromZero, format: whole, lines: peaks });
  }
  const shares = peaksOf(isShare, (name, values) => [words(name.slice(0, -"Permille".length)),
    values.map((value) => (value === null ? null : value / 10)), []]);
  if (shares.length) {
    charts.add({
      title: "Load of the generator", unit: "% of an interval", note: "CPU of its process, waits of its hot thread, what held it up",
      y: fromZero, format: whole, lines: shares,
    });
  }
  const hiccups = percentileLines(recorded, "hiccup");
  if (hiccups.length) {
    charts.add({
      title: "Hiccups of the generator", unit: "ms", note: "how late a thread woke that does nothing else",
      y: { distr: 3 }, format: ms, lines: hiccups,
    });
  }
  charts.restore();
}

function percentileLines(tasks, figure) {
  return linesOf(tasks, (task) => Object.entries(task.percentiles[figure] || {})
    .map(([name, values]) => [name, values.map((value) => (value === null ? null : Math.max(value, 0.001))), DASHES[name]]));
}

function drawLatencies(data, charts, tasks, figure) {
  const { columns, widthMs } = data.axis;
  const cells = addedCells(tasks, figure, columns);
  const edges = data.edgesMs[figure];
  const heat = heatMap(cells, edges, widthMs / 1000);
  const y = { distr: 3, range: () => [edges[0] / 1.05, edges[edges.length - 1] * 1.05] };
  const scale = make("span", {}, "samples in a cell: 1", make("span", { class: "scale", "aria-hidden": "true" }), number(heat.most));
  charts.add({
    title: "Latency map: " + words(figure), unit: "ms", note: scale, y, format: ms, height: 260,
    lines: [{ label: "", values: charts.times.map(() => null), paths: () => null }], behind: heat.draw,
  });
  charts.add({
    title: "Percentiles: " + words(figure), unit: "ms", note: "p50 solid, p99 dashed, max dotted", y: { distr: 3 }, format: ms,
    lines: percentileLines(tasks, figure), height: 240,
  });
}

/** What is to be read at a moment: the time, faults in force, notices nearby. */
function momentText(data, seconds) {
  const near = Math.max(1, data.axis.columns * data.axis.widthMs / 1000 / 150);
  const faults = data.faults.filter((fault) => fault.fromS !== undefined && fault.fromS <= seconds
    && (fault.toS === undefined || seconds <= fault.toS));
  const notices = data.notices.filter((notice) => Math.abs(notice.atS - seconds) <= near).slice(0, 5);
  return [clock(seconds, 1), ...faults.map((fault) => "fault " + fault.id),
    ...notices.map((notice) => clock(notice.atS, 1) + " " + notice.kind + ": " + notice.text)].join(" · ");
}

function choice(label, options, tell) {
  const select = make("select", {}, ...options.map(([value, text]) => make("option", { value }, text)));
  select.addEventListener("change", () => tell(select.value));
  return make("label", {}, label + " ", select);
}

function writeCharts(data, box) {
  box.append(make("h2", {}, "Over time"));
  const silent = data.tasks.filter((task) => !task.recorded).map((task) => task.id);
  if (silent.length) {
    box.append(make("p", { class: "soft" }, "Nothing was recorded over time by: " + silent.join(", ")));
  }
  if (silent.length === data.tasks.length) return 0;
  const hint = "Move over a chart to read it; drag to zoom, all charts together.";
  const readout = make("span", { class: "moment", "aria-live": "off" }, hint);
  const area = make("div", {});
  const charts = new Charts(data, area, (seconds) => { readout.textContent = momentText(data, seconds); });
  const chosen = { figure: data.figures[0], task: null };
  const draw = () => drawCharts(data, charts, chosen);
  const controls = make("div", { class: "controls" });
  if (data.figures.length > 1) {
    controls.append(choice("latency", data.figures.map((name) => [name, words(name)]), (name) => { chosen.figure = name; draw(); }));
  }
  if (data.tasks.length > 1) {
    const options = [["", "all"], ...data.tasks.filter((task) => task.recorded).map((task) => [task.at, task.id])];
    controls.append(choice("task", options, (at) => { chosen.task = at === "" ? null : Number(at); draw(); }));
  }
  const whole = make("button", { type: "button" }, "whole time");
  whole.addEventListener("click", () => charts.showAll());
  controls.append(whole, readout);
  box.append(controls, area);
  draw();
  window.addEventListener("resize", () => charts.resize());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  // Canvases keep their colours; paper is light.
  window.addEventListener("beforeprint", () => { document.documentElement.dataset.theme = "light"; draw(); });
  window.addEventListener("afterprint", () => { delete document.documentElement.dataset.theme; draw(); });
  return charts.charts.length;
}

function main() {
  const data = JSON.parse(document.getElementById("data").textContent);
  data.tasks.forEach((task, at) => { task.at = at; });
  const place = (id) => document.getElementById(id);
  writeHead(data, place("head"));
  writeVerdict(data, place("verdict"));
  writeFigures(data, place("figures"));
  const charts = writeCharts(data, place("charts"));
  writeEvents(data, place("events"));
  writeDetails(data, place("details"));
  place("foot").append("Made " + moment(data.createdMs) + " by trogdor " + data.trogdor
    + ". Times are those of the nodes' clocks; a column of the charts is " + number(data.axis.widthMs / 1000) + " s.");
  document.documentElement.dataset.ready = charts + " charts";
}

main();
