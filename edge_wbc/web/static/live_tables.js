// Differential, figures and notices, changed in place: what did not change is not touched.
import { element } from "./api.js";

function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function row(label, colour) {
  const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
  swatch.style.background = colour ?? "transparent";
  const reach = element("i", { class: "reach" }), part = element("i", { class: "part" });
  part.style.background = colour ?? "currentcolor";
  return element(
    "tr", { "data-label": label },
    element("th", { scope: "row" }, swatch, label.replaceAll("_", " ")),
    element("td", { class: "number" }), element("td", { class: "number" }), element("td", { class: "number" }),
    element("td", { class: "bar" }, element("div", { class: "bar-box", "aria-hidden": "true" }, reach, part)),
  );
}

export function showDifferential(classes, totals, differential, colours) {
  if (!differential) return;
  const labels = Object.keys(differential.shares);
  if (classes.rows.length !== labels.length || [...classes.rows].some((one, at) => one.dataset.label !== labels[at])) {
    classes.replaceChildren(...labels.map((label) => row(label, colours[label])));
  }
  for (const [at, share] of Object.values(differential.shares).entries()) {
    const [, cells, percent, interval, bar] = classes.rows[at].cells;
    const known = share.percent !== null;
    put(cells, String(share.count));
    put(percent, known ? share.percent.toFixed(1) : "");
    put(interval, known ? `${share.low.toFixed(1)}–${share.high.toFixed(1)}` : "");
    classes.rows[at].classList.toggle("nothing", share.count === 0);
    const [reach, part] = bar.firstElementChild.children;
    bar.firstElementChild.hidden = !known;
    if (!known) continue;
    reach.style.left = `${share.low}%`;
    reach.style.width = `${share.high - share.low}%`;
    part.style.width = `${share.percent}%`;
  }
  const lines = [["leukocytes", String(differential.total)], ["unidentified", String(differential.unidentified)]];
  if (differential.erythroblasts_per_100 !== null) {
    lines.push(["erythroblasts per 100", differential.erythroblasts_per_100.toFixed(1)]);
  }
  if (totals.rows.length !== lines.length) {
    totals.replaceChildren(...lines.map(([name]) => element(
      "tr", {}, element("th", { scope: "row" }, name), element("td", { class: "number" }), element("td", { colspan: "3" }),
    )));
  }
  for (const [at, [, text]] of lines.entries()) put(totals.rows[at].cells[1], text);
}

export function showFigures(list, state) {
  const lines = figuresOf(state);
  const names = lines.map(([name]) => name).join("\n");
  if (list.dataset.names !== names) {
    list.dataset.names = names;
    list.replaceChildren(...lines.flatMap(([name]) => [element("dt", {}, name), element("dd")]));
  }
  for (const [at, [, text, bad, title]] of lines.entries()) {
    const shown = list.children[2 * at + 1];
    put(shown, text);
    shown.classList.toggle("bad", Boolean(bad));
    if (title) shown.title = title;
  }
}

function figuresOf({ about, session, figures }) {
  const lines = [];
  if (figures) {
    const { frames, age_ms: age, source_lost: lost } = figures;
    lines.push(["Frames in", `${frames.given}`]);
    lines.push(["Processed", `${frames.processed}${figures.fps ? `, ${figures.fps.toFixed(1)} a second` : ""}`]);
    lines.push(["Dropped", `${frames.dropped}`], ["Refused", `${frames.refused}`, frames.refused > 0]);
    const reasons = Object.entries(frames.rejected).map(([reason, count]) => `${count} ${reason}`);
    lines.push(["Not judged", reasons.join(", ") || "0", reasons.length > 0]);
    if (age.p50 !== undefined) lines.push(["Age of a frame", `${age.p50.toFixed(0)} ms; 1 of 100 over ${age.p99.toFixed(0)} ms`]);
    lines.push(["Time", duration(figures.seconds)]);
    if (lost.times || lost.seconds) lines.push(["Source lost", `${lost.times} times, ${lost.seconds.toFixed(1)} s`, true]);
    for (const one of figures.outputs) lines.push([nameOf(one), said(one), one.error !== null, one.uri]);
  }
  lines.push(["Source", about.source], ["Mode", about.mode], ["Engine", about.engine], ["Model", about.model]);
  lines.push(["Graph", about.graph_sha256.slice(0, 16), false, about.graph_sha256]);
  if (session) lines.push(["Session", session.id]);
  return lines;
}

function nameOf(output) {
  if (output.instrument) return "Instrument";
  return output.uri.startsWith("session:") ? "Record" : `Output ${output.uri.split(":")[0]}`;
}

function said({ error, figures, instrument }) {
  if (error) return error;
  if (instrument) return `${figures.acknowledged} of ${figures.sent ?? "?"} acknowledged`;
  const shown = Object.entries(figures).filter(([, value]) => value).map(([name, value]) => `${value} ${name.replaceAll("_", " ")}`);
  return shown.join(", ") || "nothing yet";
}

function duration(seconds) {
  const whole = Math.floor(seconds);
  const minutes = Math.floor(whole / 60);
  return minutes ? `${minutes} min ${String(whole % 60).padStart(2, "0")} s` : `${whole} s`;
}

export function showNotices(list, notices) {
  const shown = notices.map((one) => one.number).join();
  if (list.dataset.shown === shown) return;
  list.dataset.shown = shown;
  list.replaceChildren(...[...notices].reverse().map((one) => element("li", {}, one.text)));
}
