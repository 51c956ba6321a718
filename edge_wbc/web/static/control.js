import { element, get, post, say } from "./api.js";
import { chartOf, minute, table, words } from "./control_chart.js";

const POLL_MS = 1500;
const MOST_FLAGS = 5;
const place = (id) => document.getElementById(id);
const chosen = { runs: 0, sessions: 0 };
let found;

// Points that are outside, as lines; the newest first, what is older than some is only counted.
function flags(points, named) {
  const outside = points.filter((one) => Object.keys(one.outside).length).reverse();
  const lines = outside.slice(0, MOST_FLAGS).map((one) =>
    element("p", { class: "outside" }, `▲ ${named(one)} was outside: ${Object.values(one.outside).join("; ")}.`),
  );
  if (outside.length > MOST_FLAGS) lines.push(element("p", {}, `${outside.length - MOST_FLAGS} earlier ones were outside too; see the tables.`));
  return lines;
}

// What is outside, and what is under way.
function state() {
  const lines = [];
  const group = found.runs[0];
  if (!group) lines.push(element("p", {}, "No run yet."));
  else {
    const newest = group.points[group.points.length - 1];
    const said = Object.keys(newest.outside).length ? "▲ outside its limits" : "within its limits";
    lines.push(element("p", {}, element("strong", {}, `Newest run, ${minute(newest.at_utc)} UTC: ${said}.`)));
    lines.push(...flags(group.points, (one) => `Run ${one.number}, ${minute(one.at_utc)} UTC,`));
  }
  for (const one of found.sessions) lines.push(...flags(one.points, ({ session_id: id }) => `Session ${id}`));
  if (found.waiting) lines.push(element("p", {}, `${found.waiting} finished sessions are taken in with the next run.`));
  for (const line of found.trouble) lines.push(element("p", { class: "outside" }, line));
  if (found.running) lines.push(element("p", {}, "A run is under way."));
  place("state").replaceChildren(...lines);
}

// The charts of one group, and which group where there are several.
function charts(where, groups, names, more) {
  const box = place(where);
  if (!groups.length) {
    box.replaceChildren(element("p", {}, "Nothing yet."));
    return;
  }
  chosen[where] = Math.min(chosen[where], groups.length - 1);
  const group = groups[chosen[where]];
  const parts = [];
  if (groups.length > 1) {
    const select = element("select", { id: `${where}-group` });
    groups.forEach((one, at) => {
      const flagged = one.outside ? `, ${one.outside} outside` : "";
      select.append(element("option", { value: at, ...(at === chosen[where] ? { selected: "" } : {}) }, `${one.title} (${one.count}${flagged})`));
    });
    select.addEventListener("change", () => {
      chosen[where] = Number(select.value);
      charts(where, groups, names, more);
      place(`${where}-group`).focus();
    });
    parts.push(element("p", { class: "group" }, element("label", { for: `${where}-group` }, "Shown: "), select));
  } else parts.push(element("p", {}, group.title));
  const rules = { ...names, enough: found.enough, settled: found.settled };
  parts.push(element("div", { class: "charts" }, ...group.charts.map((one) => chartOf(one, group.points, rules))));
  box.replaceChildren(...parts, ...more(group));
}

function classes(group) {
  const newest = group.points[group.points.length - 1];
  const percent = { digits: 1, unit: "%" };
  const rows = Object.entries(newest.by_class).map(([label, one]) => [
    label,
    `${one.same} of ${one.cells}`,
    words(percent, one.percent),
    `${one.low.toFixed(1)}–${one.high.toFixed(1)}`,
  ]);
  rows.push(["all", `${newest.same} of ${newest.cells}`, words(percent, newest.agreement), `${newest.low.toFixed(1)}–${newest.high.toFixed(1)}`]);
  const name = "Agreement by class in the newest run";
  const hashes = element("p", {}, "Graph ", element("code", {}, group.graph_sha256), ", known cells ", element("code", {}, group.set_sha256));
  return [element("h3", {}, name), table(name, ["Class", "Same", "Agreement", "95 % interval"], rows), hashes];
}

function known() {
  const one = found.set;
  const lines = [`${one.name[0].toUpperCase()}${one.name.slice(1)}.`];
  if (one.drawn) lines.push("They are drawn, not photographed: they show that this computer decides as before, not how good a model is on a real slide.");
  else {
    const counts = Object.entries(one.by_class).map(([label, count]) => `${count} ${label}`);
    lines.push(`${counts.join(", ")}.`, `Signed by ${one.signed_by}.`);
  }
  if (one.who) lines.push(`Set by ${one.who} at ${minute(one.at_utc)} UTC.`);
  place("set").replaceChildren(...lines.map((line) => element("p", {}, line)));
}

async function show() {
  found = await get("/api/control");
  state();
  charts("runs", found.runs, { who: "Run", when: "at_utc", what: "runs" }, classes);
  charts("sessions", found.sessions, { who: "Session", when: "started_utc", what: "sessions" }, () => []);
  known();
  if (place("run")) place("run").disabled = found.running;
  if (found.running) setTimeout(() => show().catch((error) => say(error.message)), POLL_MS);
}

// Do something, tell what came of it, and show what it changed.
async function act(work) {
  try {
    say(await work());
  } catch (error) {
    say(error.message);
  }
  await show().catch((error) => say(error.message));
}

async function run() {
  place("run").disabled = true;
  say("Running …");
  await act(async () => {
    const done = await post("/api/control/run");
    const said = Object.values(done.outside);
    return `Run ${done.number}: ${said.length ? `outside its limits: ${said.join("; ")}` : "within its limits"}.`;
  });
}

const choose = (sessionId) =>
  act(async () => `Known are now ${(await post("/api/control/set", { session_id: sessionId })).name}.`);

if (place("run")) place("run").addEventListener("click", run);
if (place("choose")) {
  place("choose").addEventListener("submit", (event) => {
    event.preventDefault();
    const id = place("session").value.trim();
    if (id) choose(id);
    else say("Name a session first.");
  });
  place("golden").addEventListener("click", () => choose(null));
}
await show().catch((error) => say(error.message));
