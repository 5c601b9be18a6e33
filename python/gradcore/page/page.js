// Draws what the element "data" holds. Names are text: they reach the page by textContent alone, or
// as labels with every character that means something to Plotly replaced.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);
const decode = (text, Kind) => new Kind(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const narrow = () => window.innerWidth < 640;
const config = { responsive: true, displaylogo: false,
  modeBarButtons: [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]] };
const curves = Object.fromEntries(Object.entries(data.curves).map(([k, v]) => [k, decode(v, Float64Array)]));
const map = data.map;
const ends = [curves.step[0] - 0.5, curves.step[curves.step.length - 1] + 0.5];
let range = ends; // of steps, in both drawings
let rows = map ? map.names.map((_, i) => i) : []; // of the map, that are shown

if (map) {
  for (const key of ["edges", "first", "last", "firstNonfinite"]) map[key] = decode(map[key], Float64Array);
  map.order = decode(map.order, Int32Array);
  map.logNorm = decode(map.logNorm, Float32Array);
  map.nonfinite = decode(map.nonfinite, Uint16Array);
  map.place = new Map(Array.from(map.order, (column, place) => [column, place]));
}

const norm = (log) => (log === -Infinity ? "0" : Number.isNaN(log) ? "unknown" : (10 ** log).toPrecision(3));
const at = (values, row, column) => values[row * map.columns + column];

function axis(more) {
  return { gridcolor: colour("line"), zeroline: false, linecolor: colour("line"), automargin: true, ...more };
}

function base(more) {
  return {
    paper_bgcolor: colour("paper"), plot_bgcolor: colour("paper"),
    font: { color: colour("ink"), size: narrow() ? 10 : 12 },
    hoverlabel: { bgcolor: colour("card"), font: { color: colour("ink") } },
    margin: { l: narrow() ? 48 : 64, r: 12, t: 28, b: 40 }, dragmode: "zoom", ...more,
  };
}

function pick(values, keep) {
  return Array.from(values, (v, i) => (keep(v, i) && Number.isFinite(v) ? v : null));
}

function wide(values) { // positive numbers that span more than a decade and a half
  const known = values.filter((v) => v !== null);
  const low = known.reduce((a, b) => Math.min(a, b), Infinity);
  return low > 0 && known.reduce((a, b) => Math.max(a, b), 0) > 30 * low;
}

function drawCurves() {
  const x = curves.step;
  const line = (name, y, yaxis, shade, more) => ({
    x, y, yaxis, name, type: "scatter", mode: "lines", line: { width: 1.3, color: colour(shade) }, hovertemplate: "%{y:.4g}", ...more,
  });
  const dots = (name, y, yaxis, shade, symbol) => line(name, y, yaxis, shade, { mode: "markers", marker: { symbol, size: 6, color: colour(shade) } });
  const good = (v, i) => v > 0 && !curves.event[i];
  const loss = pick(curves.loss, () => true);
  const known = loss.filter((v) => v !== null);
  const top = known.reduce((a, b) => Math.max(a, b), -Infinity);
  const lost = curves.lost.some(Boolean);
  const panels = [["loss", "yaxis"], ["gradient norm", "yaxis2"], ["non-finite", "yaxis3"], ["clip factor", "yaxis4"]];
  if (!known.length && !lost) panels.shift(); // no step was given a loss
  const traces = [
    ...(panels.length === 4 ? [line("loss", loss, "y", "blue")] : []),
    line("norm before clipping", pick(curves.norm, good), "y2", "blue"),
    line("after", pick(curves.clipped_norm, good), "y2", "green"),
    dots("bound, where reached", pick(curves.bound, () => true), "y2", "ink", "line-ew-open"),
    dots("norm of the finite elements", pick(curves.norm, (v, i) => v > 0 && curves.event[i]), "y2", "bad", "x"),
    dots("non-finite elements", pick(curves.nonfinite, (v) => v > 0), "y3", "bad", "circle"),
    dots("clip factor", pick(curves.scale, (v) => v < 1), "y4", "green", "circle"),
  ];
  if (lost) {
    traces.push(dots("loss not finite", pick(curves.lost, () => true).map((v) => (v ? (known.length ? top : 1) : null)), "y", "bad", "x"));
  }
  const most = curves.nonfinite.reduce((a, b) => Math.max(a, b), 0);
  const layout = base({
    height: (narrow() ? 170 : 195) * panels.length, legend: { orientation: "h", y: 1.0, yanchor: "bottom" }, hovermode: "x unified",
    xaxis: axis({ title: { text: "step" }, range: [...range], anchor: "y4" }),
  });
  const share = 1.02 / panels.length;
  panels.forEach(([text, name], i) => {
    const log = text === "gradient norm" || text === "non-finite" || (text === "loss" && wide(loss));
    const top = 0.985 - share * i;
    layout[name] = axis({
      title: { text }, domain: [Math.max(0, top - share + 0.035), top], exponentformat: "power", nticks: 5,
      ...(log ? { type: "log" } : {}), ...(text === "clip factor" ? { range: [-0.03, 1.05] } : {}),
      ...(text === "non-finite" ? { range: [-0.2, Math.log10(2 * Math.max(5, most))] } : {}),
    });
  });
  return Plotly.react("curves", traces, layout, config);
}

const shared = map ? sharedPrefix(map.names) : "";

function sharedPrefix(names) {
  if (names.length < 2) return "";
  let length = 0;
  while (length < names[0].length && names.every((name) => name[length] === names[0][length])) length += 1;
  return names[0].slice(0, names[0].lastIndexOf(".", length - 1) + 1);
}

function label(name) {
  const most = narrow() ? 14 : 32;
  const clean = name.slice(shared.length).replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
  const short = clean.length > most ? `…${clean.slice(1 - most)}` : clean;
  return short.replace(/[&<>$]/g, (c) => `&#${c.charCodeAt(0)};`);
}

function ticks(low, high, height) {
  const from = Math.max(0, Math.ceil(Math.min(low, high)));
  const to = Math.min(rows.length - 1, Math.floor(Math.max(low, high)));
  const every = Math.max(1, Math.ceil((to - from + 1) / (height / 15)));
  const values = [];
  for (let i = from; i <= to; i += every) values.push(i);
  return { tickvals: values, ticktext: values.map((i) => label(map.names[rows[i]])) };
}

function mapHeight() {
  return Math.max(90, Math.min(560, rows.length * 14));
}

function drawMap() {
  const cells = (value) => rows.map((row) => Array.from(map.order, (c) => (c < 0 ? null : value(row, c))));
  const flat = (name, test, shade) => ({
    type: "heatmap", x: map.edges, z: cells((r, c) => (test(r, c) ? 1 : null)), showscale: false, hoverinfo: "skip", name,
    colorscale: [[0, colour(shade)], [1, colour(shade)]], zmin: 0, zmax: 1,
  });
  const main = {
    type: "heatmap", x: map.edges, z: cells((r, c) => (Number.isFinite(at(map.logNorm, r, c)) ? at(map.logNorm, r, c) : null)),
    colorscale: "Viridis", zmin: map.range[0], zmax: map.range[1], hoverinfo: "none", name: "norm",
    colorbar: { title: { text: "log10 of the L2 norm", side: narrow() ? "top" : "right" }, thickness: 12, outlinewidth: 0,
      ...(narrow() ? { orientation: "h", y: -0.1, yanchor: "top" } : {}) },
  };
  const place = new Map(rows.map((row, i) => [row, i]));
  const crosses = map.crosses[1].map((row, i) => [map.first[map.crosses[0][i]], place.get(row)]).filter(([, y]) => y !== undefined);
  const marks = {
    type: "scatter", mode: "markers", x: crosses.map((c) => c[0]), y: crosses.map((c) => c[1]), hoverinfo: "skip", showlegend: false,
    marker: { symbol: "x-thin", size: 8, line: { width: 2, color: colour("bad") } },
  };
  const height = mapHeight();
  const limits = [rows.length - 0.5, -0.5];
  const layout = base({
    height: height + (narrow() ? 130 : 70), plot_bgcolor: colour("unknown"), hovermode: "closest",
    xaxis: axis({ title: { text: narrow() ? "" : "step" }, range: [...range], showgrid: false }),
    yaxis: axis({ range: limits, showgrid: false, ...ticks(...limits, height), title: { text: "" } }),
  });
  const layers = [main];
  if (map.logNorm.includes(-Infinity)) layers.push(flat("zero", (r, c) => at(map.logNorm, r, c) === -Infinity, "zero"));
  if (crosses.length) layers.push(flat("bad", (r, c) => at(map.nonfinite, r, c) > 0, "bad"), marks);
  return Plotly.react("map", layers, layout, config);
}

function describe(row, column) {
  const [first, last] = [map.first[column], map.last[column]];
  const bad = at(map.nonfinite, row, column);
  const when = first === last ? `step ${first}` : `steps ${first} to ${last}`;
  const size = norm(at(map.logNorm, row, column));
  if (!bad) return `${map.names[row]}\n${when}: norm ${size}`;
  return `${map.names[row]}\n${when}: not finite${first === last ? "" : ` in ${bad} of them`}, norm of what was finite ${size}`;
}

function fillTable() {
  const facts = rows.map((row) => {
    let [bad, largest, latest] = [0, NaN, NaN];
    for (let c = 0; c < map.columns; c += 1) {
      const log = at(map.logNorm, row, c);
      bad += at(map.nonfinite, row, c);
      if (!Number.isNaN(log)) [largest, latest] = [largest > log ? largest : log, log];
    }
    return { row, bad, largest, latest };
  });
  const size = (log) => (Number.isNaN(log) ? -Infinity : log);
  facts.sort((a, b) => b.bad - a.bad || size(b.largest) - size(a.largest) || a.row - b.row);
  const most = 30;
  find("table").replaceChildren(...facts.slice(0, most).map((fact) => {
    const line = document.createElement("tr");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = map.names[fact.row];
    button.addEventListener("click", () => { find("filter").value = map.names[fact.row]; filter(); });
    const since = map.firstNonfinite[fact.row];
    const latest = at(map.nonfinite, fact.row, map.columns - 1) ? "not finite" : norm(fact.latest);
    const values = [button, fact.bad || "", Number.isNaN(since) ? "" : since, norm(fact.largest), latest];
    for (const value of values) line.insertCell().append(value);
    return line;
  }));
  find("more").textContent = facts.length > most ? `And ${facts.length - most} more: filter by name.` : "";
  find("matches").textContent = `${rows.length} of ${map.names.length}`;
}

function filter() {
  const wanted = find("filter").value.toLowerCase();
  rows = map.names.map((_, i) => i).filter((i) => map.names[i].toLowerCase().includes(wanted));
  fillTable();
  return drawMap();
}

function zoom(low, high) {
  range = [low, high];
  const change = { "xaxis.range": [...range] };
  return Promise.all([Plotly.relayout("curves", change), map && Plotly.relayout("map", change)]);
}

function follow(change) { // one drawing was zoomed: so is the other
  if (change["xaxis.autorange"]) { zoom(...ends); return; }
  const [low, high] = change["xaxis.range"] ?? [change["xaxis.range[0]"], change["xaxis.range[1]"]];
  if (low !== undefined && (low !== range[0] || high !== range[1])) zoom(low, high);
}

async function start() {
  for (const section of document.querySelectorAll(".drawn")) section.hidden = section.id === "parameters" && !map;
  await drawCurves();
  find("curves").on("plotly_relayout", follow);
  if (map) {
    fillTable();
    await drawMap();
    find("map").on("plotly_relayout", (change) => {
      follow(change);
      const rowsChanged = ["yaxis.range[0]", "yaxis.autorange"].some((key) => key in change);
      if (rowsChanged) Plotly.relayout("map", Object.fromEntries(Object.entries(
        ticks(...find("map").layout.yaxis.range, mapHeight())).map(([key, value]) => [`yaxis.${key}`, value])));
    });
    find("map").on("plotly_hover", ({ points, event }) => {
      const column = map.order[points[0].pointIndex[1]];
      if (column < 0) return;
      const words = describe(rows[points[0].pointIndex[0]], column);
      find("cell").textContent = words.replace("\n", ", ");
      find("tip").textContent = words;
      find("tip").hidden = false;
      const { width, height } = find("tip").getBoundingClientRect();
      find("tip").style.left = `${Math.max(4, Math.min(event.clientX + 14, window.innerWidth - width - 4))}px`;
      find("tip").style.top = `${Math.max(4, event.clientY - height - 12)}px`;
    });
    find("map").on("plotly_unhover", () => { find("tip").hidden = true; });
    find("filter").addEventListener("input", filter);
  }
  find("all").addEventListener("click", () => zoom(...ends));
  for (const button of document.querySelectorAll(".zoom")) {
    button.addEventListener("click", async () => {
      const [from, to] = [Number(button.dataset.from), Number(button.dataset.to)];
      const around = Math.max(5, to - from);
      await zoom(Math.max(ends[0], from - around), Math.min(ends[1], to + around));
      find("curves").scrollIntoView({ block: "center" });
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { drawCurves(); if (map) drawMap(); });
  document.documentElement.dataset.drawn = "yes";
}

start();
