// The charts: uPlot with this page's colours, legends that tell what the pointer is on.

import { el, hour, ms, msShort, rate, rateShort, usd, usdShort } from "./words.js";

const HEIGHT = 156;

/** The columns of requests as the gateway tells them, bottom of the pile first. */
const PILE = [
  { column: 0, name: "answered", color: "--ok" },
  { column: 2, name: "cache", color: "--cached" },
  { column: 1, name: "fallback", color: "--moved" },
  { column: 3, name: "stood in", color: "--stood" },
  { column: 4, name: "refused", color: "--refused" },
  { column: 5, name: "failed", color: "--failed" },
];

/** A colour of the style sheet as canvas knows it; so many per cent of it in front of another. */
function color(name, share = 100, behind = "transparent") {
  const probe = el("i");
  probe.style.color = share === 100 ? `var(${name})` : `color-mix(in srgb, var(${name}) ${share}%, ${behind})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/** What is the same in all charts. */
function frame(format) {
  const axis = { stroke: () => color("--muted"), font: "11px Inter, system-ui, sans-serif", ticks: { show: false } };
  return {
    height: HEIGHT,
    padding: [10, 6, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false }, sync: { key: "weir" } },
    scales: { x: { time: true }, y: { range: (_, __, top) => [0, top > 0 ? top * 1.12 : 1] } },
    axes: [
      { ...axis, grid: { show: false }, space: 64, size: 26, gap: 6, values: (_, at) => at.map((t) => hour(t * 1000)) },
      {
        ...axis,
        grid: { stroke: () => color("--line"), width: 1 },
        space: 32,
        size: 54,
        gap: 6,
        values: (_, at) => at.map((value) => (value === 0 ? "0" : format(value))),
      },
    ],
  };
}

/** A chart in its figure, with a legend. */
class Chart {
  #plot;
  #labels;
  #data = [[]];
  #raw = [];
  #range = [0, 1];

  /** `lines`: name, colour, how it looks; `format`: how a value reads. */
  constructor(id, lines, [format, short], make) {
    this.figure = document.getElementById(id);
    this.lines = lines;
    this.format = format;
    this.short = short;
    this.make = make;
    this.#labels = lines.map(({ name, color }) => {
      const swatch = el("i");
      swatch.style.background = `var(${color})`;
      const label = { item: el("li"), value: el("b") };
      label.item.append(swatch, el("span", {}, name), label.value);
      return label;
    });
    this.figure.querySelector(".legend").replaceChildren(...this.#labels.map(({ item }) => item));
    this.#draw();
    new ResizeObserver(() => this.#plot.setSize(this.#size())).observe(this.#place());
  }

  /** Begins anew, with the colours of now. */
  repaint() {
    this.#plot.destroy();
    this.#draw();
    this.#plot.setData(this.#data, false);
    this.#plot.setScale("x", { min: this.#range[0], max: this.#range[1] });
  }

  /** `raw`: what the legend tells of each line; `data`: what is drawn. */
  show(range, data, raw) {
    [this.#range, this.#data, this.#raw] = [range, data, raw];
    this.figure.classList.toggle("none", !raw.some((line) => line.some((value) => value)));
    this.#plot.batch(() => {
      this.#plot.setData(data, false);
      this.#plot.setScale("x", { min: range[0], max: range[1] });
    });
    this.#tell(this.#plot.cursor.idx);
  }

  #place() {
    return this.figure.querySelector(".plot");
  }

  #size() {
    return { width: Math.max(160, this.#place().clientWidth), height: HEIGHT };
  }

  #draw() {
    const options = { ...frame(this.short), ...this.#size(), ...this.make() };
    options.hooks = { setCursor: [(plot) => this.#tell(plot.cursor.idx)] };
    this.#plot = new uPlot(options, this.#data, this.#place());
  }

  #tell(at) {
    this.#labels.forEach(({ item, value }, line) => {
      const raw = this.#raw[line] ?? [];
      const told = at == null ? null : raw[at];
      value.textContent = told == null ? "" : this.format(told);
      // A line that never was anything needs no place in the legend.
      item.hidden = this.lines[line].rare === true && !raw.some((one) => one > 0);
    });
  }
}

/** What became of requests, piled up. */
export function requests() {
  const lines = PILE.map(({ name, color }, at) => ({ name, color, rare: at > 0 }));
  const chart = new Chart("chart-requests", lines, [rate, rateShort], () => ({
    // Drawn from the top of the pile down, each over the one before.
    series: [
      {},
      ...PILE.toReversed().map((line) => ({
        stroke: color(line.color),
        width: 1,
        // Opaque, so that nothing shines through from behind.
        fill: color(line.color, 62, "var(--surface)"),
        points: { show: false },
      })),
    ],
    cursor: { ...frame(rate).cursor, points: { show: false } },
  }));
  return {
    repaint: () => chart.repaint(),
    show(range, past) {
      const raw = PILE.map(({ column }) => past.requests[column].map((n) => n / past.step));
      let below = new Array(past.at.length).fill(0);
      const piles = raw.map((line) => (below = line.map((value, at) => value + below[at])));
      chart.show(range, [past.at, ...piles.toReversed()], raw);
    },
  };
}

/** How long the first token took. */
export function speed() {
  const lines = [
    { name: "median", color: "--ok" },
    { name: "95 % under", color: "--moved" },
  ];
  const chart = new Chart("chart-speed", lines, [ms, msShort], () => ({
    series: [
      {},
      { stroke: color("--ok"), width: 2, points: { show: false } },
      { stroke: color("--moved"), width: 1.5, points: { show: false } },
    ],
    bands: [{ series: [2, 1], fill: color("--moved", 12) }],
  }));
  return {
    repaint: () => chart.repaint(),
    show: (range, past) => chart.show(range, [past.at, past.p50, past.p95], [past.p50, past.p95]),
  };
}

/** What was spent and saved, summed up over the time that is shown. */
export function money() {
  const lines = [
    { name: "spent", color: "--ok" },
    { name: "routing saved", color: "--routing" },
    { name: "cache saved", color: "--cached" },
  ];
  const line = (name, alpha) => ({
    stroke: color(name),
    width: 2,
    fill: alpha ? color(name, alpha) : undefined,
    points: { show: false },
  });
  const chart = new Chart("chart-money", lines, [usd, usdShort], () => ({
    scales: {
      x: { time: true },
      y: { range: (_, low, top) => [Math.min(0, low * 1.12), top > 0 ? top * 1.12 : 0.01] },
    },
    series: [{}, line("--ok", 14), line("--routing"), line("--cached")],
  }));
  return {
    repaint: () => chart.repaint(),
    show(range, past) {
      const sums = [past.cost, past.routing, past.cache].map((values) => {
        let sum = 0;
        return values.map((value, at) => (past.at[at] < range[0] ? 0 : (sum += value)));
      });
      chart.show(range, [past.at, ...sums], sums);
    },
  };
}
