// A chart over the order of runs or sessions: a figure with an SVG, and the same as a table.

import { element } from "./api.js";

const HEIGHT = 210;
const LEFT = 52;
const RIGHT = 12;
const TOP = 16;
const BOTTOM = 28;
const MOST_REACHES = 8; // a value further out than so many times the limits is at the edge, hollow

function drawn(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// Of a time as it was written: the day, or day and minute.
export function day(utc) {
  return utc.slice(0, 10);
}

export function minute(utc) {
  return `${utc.slice(0, 10)} ${utc.slice(11, 16)}`;
}

export function words(chart, value) {
  return value === null ? "–" : `${value.toFixed(chart.digits)} ${chart.unit}`.trim();
}

// Round numbers, some four of them, within a span.
function ticks(least, greatest) {
  const span = greatest - least;
  const power = 10 ** Math.floor(Math.log10(span / 4));
  const step = power * [1, 2, 5, 10].find((factor) => span / (factor * power) <= 5);
  const found = [];
  for (let at = Math.ceil(least / step); at * step <= greatest; at += 1) found.push(Number((at * step).toPrecision(6)));
  return found;
}

// Every level that is a line across: how it looks, what it is called, where it is.
function levels(chart) {
  const { limits } = chart;
  const found = [
    ["fixed", "floor", chart.floor],
    ["fixed", "ceiling", chart.ceiling],
    ["limit", "lower limit", limits && limits.low],
    ["limit", "upper limit", limits && limits.high],
    ["mean", "mean", limits && limits.mean],
  ];
  return found.filter(([, , value]) => value !== null && value !== undefined);
}

// What is drawn, from where to where: all values, but none so far out that the others could not be told apart.
function span(chart, values) {
  const { limits } = chart;
  const ends = limits ? [limits.low, limits.high].filter((end) => end !== null) : [];
  const reach = MOST_REACHES * Math.max(...ends.map((end) => Math.abs(end - limits.mean)));
  const near = limits ? values.filter((value) => Math.abs(value - limits.mean) <= reach) : values;
  const all = [...near, ...levels(chart).map(([, , value]) => value)];
  if (!all.length) all.push(...values);
  const least = Math.min(...all);
  const greatest = Math.max(...all);
  const room = 0.08 * (greatest - least) || Math.abs(greatest) * 0.1 || 1;
  return [least < 0 ? least - room : Math.max(0, least - room), greatest + room];
}

// A circle inside the limits; outside a triangle that points the way it is off; hollow where it is beyond the drawing.
function mark(x, y, off, title, beyond) {
  const shape = off
    ? drawn("path", { class: "point outside", d: `M${x - 6} ${y + 5 * off}h12l-6 ${-10 * off}z` })
    : drawn("circle", { class: "point", cx: x, cy: y, r: 3.5 });
  if (beyond) shape.classList.add("beyond");
  shape.append(drawn("title", {}, title));
  return shape;
}

function line(kind, places) {
  return drawn("path", { class: kind, d: `M${places.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}` });
}

function picture(chart, points, when, name) {
  const shown = points.map((point, at) => ({ point, at })).filter(({ point }) => point[chart.name] !== null);
  const svg = drawn("svg", { role: "img", "aria-label": name });
  const paint = () => {
    const width = Math.max(200, svg.clientWidth || 340);
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const values = shown.map(({ point }) => point[chart.name]);
    if (!values.length) return;
    const [least, greatest] = span(chart, values);
    const across = (at) =>
      points.length < 2 ? (LEFT + width - RIGHT) / 2 : LEFT + 8 + ((width - LEFT - RIGHT - 16) * at) / (points.length - 1);
    const within = (value) => Math.min(greatest, Math.max(least, value));
    const up = (value) => TOP + ((HEIGHT - TOP - BOTTOM) * (greatest - within(value))) / (greatest - least);
    svg.append(line("axis", [[LEFT, TOP], [LEFT, HEIGHT - BOTTOM], [width - RIGHT, HEIGHT - BOTTOM]]));
    for (const value of ticks(least, greatest)) {
      svg.append(drawn("text", { x: LEFT - 6, y: up(value) + 4, "text-anchor": "end" }, String(value)));
      svg.append(line("axis", [[LEFT - 3, up(value)], [LEFT, up(value)]]));
    }
    const ends = new Set([0, points.length - 1]);
    for (const at of ends) {
      const anchor = ends.size === 1 ? "middle" : at ? "end" : "start";
      const x = ends.size === 1 ? across(at) : at ? width - RIGHT : LEFT;
      svg.append(drawn("text", { x, y: HEIGHT - 8, "text-anchor": anchor }, day(points[at][when])));
    }
    for (const [kind, called, value] of levels(chart)) {
      svg.append(line(kind, [[LEFT, up(value)], [width - RIGHT, up(value)]]));
      const y = up(value) + (called === "lower limit" ? 13 : -4);
      if (kind !== "mean") svg.append(drawn("text", { x: width - RIGHT, y, "text-anchor": "end" }, called));
    }
    svg.append(line("trend", shown.map(({ point, at }) => [across(at), up(point[chart.name])])));
    for (const { point, at } of shown) {
      const value = point[chart.name];
      const said = point.outside[chart.name];
      const off = said ? (said.includes(", below") ? -1 : 1) : 0;
      svg.append(mark(across(at), up(value), off, said || `${minute(point[when])}: ${words(chart, value)}`, within(value) !== value));
    }
  };
  new ResizeObserver(paint).observe(svg);
  return svg;
}

// Rows of cells as a table that can be scrolled by keyboard.
export function table(name, head, rows) {
  const cells = (tag, row) =>
    row.map((value, at) => element(tag, { ...(tag === "th" ? { scope: "col" } : {}), ...(at ? { class: "number" } : {}) }, value));
  const made = element("table", {}, element("caption", { class: "hidden" }, name));
  made.append(element("thead", {}, element("tr", {}, ...cells("th", head))));
  made.append(element("tbody", {}, ...rows.map((row) => element("tr", {}, ...cells("td", row)))));
  return element("div", { class: "table", tabindex: "0", role: "region", "aria-label": name }, made);
}

// What the lines of a chart are, in a sentence.
function legend(chart, { enough, settled }) {
  const said = [];
  const { limits } = chart;
  if (chart.floor !== null) said.push(`fixed floor ${words(chart, chart.floor)}`);
  if (chart.ceiling !== null) said.push(`fixed ceiling ${words(chart, chart.ceiling)}`);
  if (limits) {
    const ends = [limits.low, limits.high].filter((value) => value !== null).map((value) => words(chart, value));
    const out = limits.left_out ? `, ${limits.left_out} far out left aside` : "";
    const made = limits.values < settled ? `${limits.values} values, narrower with ${settled}` : `the first ${settled} values`;
    said.push(`mean ${words(chart, limits.mean)}, ${ends.length > 1 ? "limits" : "limit"} ${ends.join(" and ")}, made by ${made}${out}`);
  } else if (!chart.judged) said.push("no limits");
  else if (chart.ceiling === null) said.push(`not enough values for limits yet: they need ${enough}`);
  return `${said.join("; ")}.`;
}

// `who` and `when`: which fields of a point name it and its time.
export function chartOf(chart, points, { who, when, what, ...rules }) {
  const outside = points.filter((point) => point.outside[chart.name]);
  const newest = points[points.length - 1];
  const name = `${chart.title} of ${points.length} ${what}, newest ${words(chart, newest[chart.name])}, ${outside.length} outside the limits`;
  const head = [who, "UTC", chart.title, "Outside"];
  const rows = [...points].reverse().map((point) => [
    String(point[who === "Run" ? "number" : "session_id"]),
    minute(point[when]),
    words(chart, point[chart.name]),
    point.outside[chart.name] || "",
  ]);
  return element(
    "figure",
    { class: "chart" },
    element("figcaption", {}, `${chart.title}${chart.unit ? `, ${chart.unit}` : ""}`),
    picture(chart, points, when, name),
    element("p", {}, legend(chart, rules)),
    element("details", {}, element("summary", {}, `${chart.title} as a table`), table(`${chart.title}, newest first`, head, rows)),
  );
}
