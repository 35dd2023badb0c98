"use strict";
// The charts: all on one time axis of the same width, with one cursor and one zoom. Faults lie behind every chart as
// bands, notices in front of it as vertical lines.

const AXIS_WIDTH = 78;
const RIGHT_EDGE = 30;
const DASHES = { p50: [], p99: [7, 4], max: [2, 3] };

/** The value of a colour of the style sheet. */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}

function taskColour(at) {
  return colour("c" + (at % 8));
}

/** A number of an axis, without digits that say nothing. */
function plain(value) {
  return value.toLocaleString("en-US", { maximumSignificantDigits: 6 });
}

/**
 * The marks of a logarithmic axis: powers of ten, and 2 and 5 times those if there are few. uPlot's own never end if an
 * axis begins just below a power of ten that is smaller than one: it steps by what it rounds to nothing.
 */
function logMarks(min, max) {
  if (!(min > 0 && max < Infinity)) return [];
  const steps = Math.log10(max / min) < 2 ? [1, 2, 5] : [1];
  const marks = [];
  for (let power = Math.floor(Math.log10(min)); power <= Math.log10(max); power += 1) {
    marks.push(...steps.map((step) => Number(step + "e" + power)).filter((mark) => min <= mark && mark <= max));
  }
  return marks;
}

/** The value itself if it is a power of ten: other lines of a logarithmic grid are only in the way. */
function wholePower(value) {
  const power = Math.log10(value);
  return Math.abs(power - Math.round(power)) < 1e-6 ? value : null;
}

/** What all charts of the page share. */
class Charts {
  constructor(data, box, tellMoment) {
    this.data = data;
    this.box = box;
    this.tellMoment = tellMoment;
    this.charts = [];
    this.zooming = false;
    const { columns, widthMs } = data.axis;
    this.endS = columns * widthMs / 1000;
    this.times = Array.from({ length: columns }, (_, column) => (column + 0.5) * widthMs / 1000);
  }

  /** Removes all charts. */
  clear() {
    this.charts.forEach((chart) => chart.destroy());
    this.charts = [];
    this.box.replaceChildren();
  }

  /** Adds a chart. Lines are {label, values, stroke, dash}. */
  add({ title, unit, note, lines, y, format, height, behind }) {
    const caption = make("figcaption", {}, make("b", {}, title), unit ? " (" + unit + ")" : "",
      note ? make("span", { class: "soft" }, " · ", note) : null);
    const holder = make("div", { role: "img", "aria-label": title + (unit ? ", " + unit : "") + ", over time" });
    this.box.append(make("figure", {}, caption, holder));
    const series = lines.map((line) => ({
      label: line.label, stroke: line.stroke, dash: line.dash, width: 1.5, spanGaps: false, show: !line.hidden,
      points: { show: (u, at, from, to) => to - from < 3 }, paths: line.paths,
      value: (u, value) => (value === null || value === undefined ? "–" : format(value)),
    }));
    const axis = (more) => ({
      stroke: colour("soft"), grid: { stroke: colour("grid"), width: 1 }, ticks: { stroke: colour("grid"), width: 1 }, ...more,
    });
    const chart = new uPlot({
      width: this.width(), height: height || 190, padding: [8, RIGHT_EDGE, 0, 0],
      scales: { x: { time: false, range: (u, min, max) => this.range(min, max) }, y },
      series: [{ label: "time", value: (u, value) => (value === null ? "–" : clock(value, 1)) }, ...series],
      axes: [
        axis({ size: 32, values: (u, splits) => splits.map((at) => clock(at, at % 1 ? 1 : 0)), incrs: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400] }),
        axis({
          ...(y.distr === 3 ? { splits: (u, at, min, max) => logMarks(min, max) } : {}),
          size: AXIS_WIDTH, values: (u, splits) => splits.map((at) => (at === null ? "" : plain(at))),
          grid: { stroke: colour("grid"), width: 1, filter: (u, splits) => (y.distr === 3 ? splits.map(wholePower) : splits) },
        }),
      ],
      legend: { live: lines.length > 0, show: lines.length > 0 && lines.some((line) => line.label) },
      cursor: { sync: { key: "time", setSeries: false, scales: ["x", null] }, drag: { x: true, y: false }, y: false, points: { size: 6 } },
      hooks: {
        // Behind the lines, in front of the grid.
        drawAxes: [(u) => { if (behind) holder.dataset.cells = behind(u); this.drawBands(u); }],
        draw: [(u) => this.drawNotices(u)],
        setScale: [(u, key) => { if (key === "x") this.zoomAll(u); }],
        setCursor: [(u) => { if (u.cursor.left >= 0) this.tellMoment(u.posToVal(u.cursor.left, "x")); }],
      },
    }, [this.times, ...lines.map((line) => line.values)], holder);
    this.charts.push(chart);
  }

  /** What is shown where this much was asked for: all of the columns means the whole axis. */
  range(min, max) {
    const isWhole = min === null || (min <= this.times[0] && max >= this.times[this.times.length - 1]);
    return isWhole ? [0, this.endS] : [Math.max(0, min), Math.min(this.endS, max)];
  }

  /** Shows the same part of the axis in all charts as in one. */
  zoomAll(u) {
    if (this.zooming) return;
    const { min, max } = u.scales.x;
    this.zoom(min, max);
  }

  zoom(min, max) {
    this.zooming = true;
    this.shown = { min, max };
    for (const chart of this.charts) {
      if (chart.scales.x.min !== min || chart.scales.x.max !== max) chart.batch(() => chart.setScale("x", { min, max }));
    }
    this.zooming = false;
  }

  showAll() {
    this.zoom(0, this.endS);
  }

  /** Shows charts that were made anew as those before them. */
  restore() {
    if (this.shown) this.zoom(this.shown.min, this.shown.max);
  }

  width() {
    return Math.max(320, this.box.clientWidth);
  }

  resize() {
    this.charts.forEach((chart) => chart.setSize({ width: this.width(), height: chart.height }));
  }

  /** Faults, and what the tables leave out as warm-up. */
  drawBands(u) {
    const { ctx, bbox } = u;
    const withNames = u === this.charts[0];
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    const band = (from, to, name, text) => {
      const [left, right] = [u.valToPos(from, "x", true), u.valToPos(to, "x", true)];
      if (right < bbox.left || left > bbox.left + bbox.width) return;
      ctx.fillStyle = colour(name);
      ctx.globalAlpha = 0.15;
      ctx.fillRect(left, bbox.top, Math.max(right - left, 2), bbox.height);
      ctx.globalAlpha = 0.9;
      [left, right].forEach((at) => ctx.fillRect(Math.round(at), bbox.top, devicePixelRatio, bbox.height));
      if (!withNames) return;
      ctx.font = 12 * devicePixelRatio + "px system-ui, sans-serif";
      ctx.textAlign = "left";
      ctx.textBaseline = "top";
      ctx.fillText(text, Math.max(left, bbox.left) + 5 * devicePixelRatio, bbox.top + 3 * devicePixelRatio);
    };
    const warm = Math.max(0, ...this.data.tasks.map((task) => task.countedFromS || 0));
    if (this.data.warmUpS > 0 && warm > 0) band(0, warm, "warm-up", "warm-up");
    for (const fault of this.data.faults) {
      if (fault.fromS !== undefined) band(fault.fromS, fault.toS === undefined ? this.endS : fault.toS, "fault", fault.id);
    }
    ctx.restore();
  }

  drawNotices(u) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.strokeStyle = colour("notice");
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    for (const notice of this.data.notices) {
      const at = Math.round(u.valToPos(notice.atS, "x", true));
      if (at < bbox.left || at > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(at, bbox.top);
      ctx.lineTo(at, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }
}

/** A heat map as what lies behind a chart: gives how many cells were drawn. */
function heatMap(columns, edges, widthS) {
  const counts = columns.flatMap((column) => [...column.values()]);
  const most = counts.reduce((one, other) => Math.max(one, other), 1);
  const [low, high] = ["heat-low", "heat-high"].map((name) => colour(name).split(" ").map(Number));
  const shade = (count) => {
    const part = most > 1 ? Math.log(count) / Math.log(most) : 1;
    return "rgb(" + low.map((from, at) => Math.round(from + (high[at] - from) * part)).join(" ") + ")";
  };
  const draw = (u) => {
    const { ctx, bbox } = u;
    let drawn = 0;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    const tops = edges.map((edge) => Math.round(u.valToPos(edge, "y", true)));
    columns.forEach((column, at) => {
      const left = Math.round(u.valToPos(at * widthS, "x", true));
      const right = Math.round(u.valToPos((at + 1) * widthS, "x", true));
      if (right < bbox.left || left > bbox.left + bbox.width) return;
      for (const [row, count] of column) {
        ctx.fillStyle = shade(count);
        ctx.fillRect(left, tops[row + 1], Math.max(1, right - left), Math.max(1, tops[row] - tops[row + 1]));
        drawn += 1;
      }
    });
    ctx.restore();
    return drawn;
  };
  return { draw, most };
}

/** The cells of some tasks added up: for each column a map from row to count. */
function addedCells(tasks, figure, columns) {
  const sums = Array.from({ length: columns }, () => new Map());
  for (const task of tasks) {
    (task.heat[figure] || []).forEach((cells, at) => {
      for (let place = 0; place < cells.length; place += 2) {
        sums[at].set(cells[place], (sums[at].get(cells[place]) || 0) + cells[place + 1]);
      }
    });
  }
  return sums;
}
